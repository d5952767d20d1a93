//! Whether what the table keeps may still be sent: where a table has `visible`, it is asked anew before each attempt.

use std::time::SystemTime;

use super::{AT_ONCE, Courier, attempt::Failure};
use crate::{
    courier::{
        batch,
        retry::{self, Verdict},
    },
    delivery::Delivery,
    hook::Hook,
    lookup::permission::{self, VisibilityCheck},
    send::answer::{self, Answer},
    store::Fate,
};

/// What may be sent.
pub(super) struct Permitted {
    /// All that is left to be sent.
    pub(super) deliveries: Vec<Delivery>,
    /// Those that may not be seen. They are struck off with the others: nothing behind them may go before.
    pub(super) withheld: Vec<Delivery>,
    /// Why nothing is sent: of some of them nobody can tell.
    pub(super) unknown: Option<Failure>,
}

impl Courier {
    /// Asks whether the owner may see what is about to be sent.
    pub(super) async fn permitted(&self, hook: &Hook, mut deliveries: Vec<Delivery>) -> Permitted {
        let answers = self.ask(&deliveries).await;
        let unknown =
            |answer: &permission::Answer| matches!(answer, permission::Answer::Unknown(_));
        if answers.iter().any(unknown) {
            let each = deliveries.iter_mut().zip(&answers);
            let fates: Vec<(Fate, String)> = each
                .map(|(delivery, answer)| match answer {
                    permission::Answer::Unknown(reason) => {
                        delivery.attempts += 1;
                        (
                            self.doubt(delivery, hook, reason),
                            reason.replace('\0', "�"),
                        )
                    }
                    permission::Answer::Yes | permission::Answer::No => {
                        (Fate::Tried(AT_ONCE), "it waits for another".to_owned())
                    }
                })
                .collect();
            let places = deliveries.iter().zip(&fates);
            let lined_up =
                batch::line_up(places.map(|(delivery, (fate, _))| (delivery.place, *fate)));
            let reasons = fates.into_iter().map(|(_, reason)| reason);
            return Permitted {
                deliveries,
                withheld: Vec::new(),
                unknown: Some(Failure {
                    fates: lined_up.into_iter().zip(reasons).collect(),
                    pause: None,
                }),
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

    /// The answers for all of them; yes where nothing is asked.
    async fn ask(&self, deliveries: &[Delivery]) -> Vec<permission::Answer> {
        let questions: Vec<&VisibilityCheck> = deliveries
            .iter()
            .filter_map(|delivery| delivery.asked.as_deref())
            .collect();
        let mut answers = if questions.is_empty() {
            Vec::new()
        } else {
            let asked = self.desk.permission.ask(&questions).await;
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

    /// What becomes of a delivery of which nobody can tell whether it may be seen: the same as after an attempt that failed.
    pub(super) fn doubt(&self, delivery: &Delivery, hook: &Hook, reason: &str) -> Fate {
        let answer = Answer::Failed(answer::Failure::Unasked(reason.to_owned()));
        let (now, jitter) = (SystemTime::now(), rand::random_range(0.0..1.0));
        let retries = &hook.delivery.retries;
        match retry::verdict(&answer, delivery.attempts, retries, now, jitter) {
            Verdict::TryAgain { after, .. } => {
                tracing::warn!(hook = %hook.id, event = %delivery.event, id = %delivery.id, retry_in = ?after, reason, "a delivery is held back");
                Fate::Tried(after)
            }
            Verdict::Dead { reason } => {
                self.lament(delivery, &reason);
                Fate::Dead
            }
            Verdict::Delivered | Verdict::Disable { .. } => Fate::Tried(AT_ONCE),
        }
    }
}
