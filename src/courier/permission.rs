//! Whether parked deliveries may still be sent: where a table has `visible`, the database is asked again before each
//! attempt.

use std::time::{Duration, SystemTime};

use super::{
    Courier,
    fate::{AT_ONCE, Failure, line_up},
    retry::{self, Past, Verdict},
};
use crate::{
    delivery::Delivery,
    hook::Hook,
    lookup::permission::{self, VisibilityCheck},
    send::answer::{self, Answer},
    store::Fate,
};

/// Which deliveries of a request may be sent.
pub(super) struct Permitted {
    /// All that are left to be sent.
    pub(super) deliveries: Vec<Delivery>,
    /// Those that the owner may not see. They are deleted together with the others, because nothing behind them may go
    /// before.
    pub(super) withheld: Vec<Delivery>,
    /// Why nothing is sent: for some of them the answer is not known.
    pub(super) unknown: Option<Failure>,
}

impl Courier {
    /// Asks whether the owner may see what is about to be sent.
    pub(super) async fn check_permission(
        &self,
        hook: &Hook,
        mut deliveries: Vec<Delivery>,
    ) -> Permitted {
        let answers = self.ask_permission(&deliveries).await;
        let is_unknown =
            |answer: &permission::Answer| matches!(answer, permission::Answer::Unknown(_));
        if answers.iter().any(is_unknown) {
            let failure = self.hold_back(hook, &mut deliveries, &answers);
            return Permitted {
                deliveries,
                withheld: Vec::new(),
                unknown: Some(failure),
            };
        }
        let each = deliveries.into_iter().zip(answers);
        let (seen, unseen): (Vec<_>, Vec<_>) =
            each.partition(|(_, answer)| *answer == permission::Answer::Yes);
        let bare = |pairs: Vec<(Delivery, _)>| -> Vec<Delivery> {
            pairs.into_iter().map(|(delivery, _)| delivery).collect()
        };
        Permitted {
            deliveries: bare(seen),
            withheld: bare(unseen),
            unknown: None,
        }
    }

    /// What becomes of deliveries that are not sent because the answer for some of them is not known.
    fn hold_back(
        &self,
        hook: &Hook,
        deliveries: &mut [Delivery],
        answers: &[permission::Answer],
    ) -> Failure {
        let each = deliveries.iter_mut().zip(answers);
        let fates: Vec<(Fate, String)> = each
            .map(|(delivery, answer)| match answer {
                permission::Answer::Unknown(reason) => {
                    delivery.attempts += 1;
                    let fate = self.postpone_unknown(delivery, hook, reason);
                    (fate, reason.clone())
                }
                permission::Answer::Yes | permission::Answer::No => {
                    (Fate::Retry(AT_ONCE), "it waits for another".to_owned())
                }
            })
            .collect();
        let places = deliveries.iter().zip(&fates);
        let lined_up = line_up(places.map(|(delivery, (fate, _))| (delivery.place, *fate)));
        let reasons = fates.into_iter().map(|(_, reason)| reason);
        Failure {
            fates: lined_up.into_iter().zip(reasons).collect(),
            pause: None,
        }
    }

    /// The answers for all of the deliveries; yes for those that need not be asked about.
    async fn ask_permission(&self, deliveries: &[Delivery]) -> Vec<permission::Answer> {
        let questions: Vec<&VisibilityCheck> = deliveries
            .iter()
            .filter_map(|delivery| delivery.asked.as_deref())
            .collect();
        let mut answers = if questions.is_empty() {
            Vec::new()
        } else {
            let asked = self.context.permission.ask(&questions).await;
            asked.unwrap_or_else(|error| {
                let unknown = permission::Answer::Unknown(format!("{error:#}"));
                vec![unknown; questions.len()]
            })
        }
        .into_iter();
        let each = deliveries.iter().map(|delivery| match delivery.asked {
            None => permission::Answer::Yes,
            Some(_) => answers
                .next()
                .unwrap_or(permission::Answer::Unknown("it was not asked".to_owned())),
        });
        each.collect()
    }

    /// What becomes of a delivery for which it is not known whether the owner may see it: the same as after an attempt
    /// that failed.
    pub(super) fn postpone_unknown(
        &self,
        delivery: &mut Delivery,
        hook: &Hook,
        reason: &str,
    ) -> Fate {
        let answer = Answer::Failed(answer::Failure::Unasked(reason.to_owned()));
        let (now, jitter) = (SystemTime::now(), rand::random_range(0.0..1.0));
        let retries = &hook.delivery.retries;
        let past = Past {
            attempts: delivery.attempts,
            waited: delivery.waited,
        };
        match retry::verdict(&answer, past, retries, Duration::ZERO, now, jitter) {
            Verdict::TryAgain { after, waited, .. } => {
                delivery.waited = Some(waited);
                tracing::warn!(hook = %hook.id, event = %delivery.event, id = %delivery.id, retry_in = ?after, reason, "a delivery is held back");
                Fate::Retry(after)
            }
            Verdict::Dead { reason } => {
                self.log_dead(delivery, &reason);
                Fate::Dead
            }
            Verdict::Delivered | Verdict::Disable { .. } => Fate::Retry(AT_ONCE),
        }
    }
}
