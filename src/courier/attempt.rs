//! One request of a courier: what it says of its deliveries, of the hook and of its endpoint.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{AT_ONCE, Courier, permit::Permitted};
use crate::{
    courier::{
        batch::{self, Load, Run},
        retry::{self, Verdict},
    },
    delivery::{Delivery, lane::Place},
    history::Attempt,
    hook::Hook,
    journal::Entry,
    send::{Request, answer::Answer},
    store::{Disabling, Failed, Fate, Write},
    trace::{self, Ended},
};

/// A run ends after this time at the latest, but for its last request: what it has sent comes again if we die before it is noted.
const LONGEST_RUN: Duration = Duration::from_secs(1);

/// What a request says of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has taken what was sent.
    Arrived,
    /// It has not, and may have asked for a pause of all of the hook's deliveries.
    Failed { pause: Option<Duration> },
    /// Nothing: it was not asked.
    Silent,
}

/// How a run of the table's deliveries went.
#[derive(Debug)]
pub(super) struct Report {
    /// What it says of the endpoint, in order: any number of successes is one.
    pub(super) outcomes: Vec<Outcome>,
    /// Where those stood that are parked no more.
    pub(super) gone: Vec<Place>,
    /// When to look into the table again.
    pub(super) look_after: Duration,
}

/// A request that was not a success.
pub(super) struct Failure {
    /// What becomes of each delivery, and why, in order.
    pub(super) fates: Vec<(Fate, String)>,
    pub(super) pause: Option<Duration>,
}

/// A request that was made.
struct Asked {
    started_at: SystemTime,
    took: Duration,
    span: Option<trace::Context>,
    answer: Answer,
}

/// A request that was not a success, as far as its answer says.
struct Refused {
    /// Of each delivery, in order.
    verdicts: Vec<Verdict>,
    /// The answer, in a few words.
    told: String,
    /// The end of the hook.
    disabled: Option<Disabled>,
}

/// Why a hook is disabled.
struct Disabled {
    reason: String,
    gone: bool,
}

impl Courier {
    /// One attempt of deliveries that the slot still keeps. Those that have not arrived are returned, to be parked.
    pub(super) async fn try_fresh(
        self: &Arc<Self>,
        hook: &Arc<Hook>,
        mut deliveries: Vec<Delivery>,
    ) -> (Outcome, Vec<(Delivery, Fate, String)>) {
        match self.attempt(hook, &mut deliveries).await {
            Ok(()) => {
                deliveries.into_iter().for_each(Delivery::settle);
                (Outcome::Arrived, Vec::new())
            }
            Err(Failure { fates, pause }) => {
                let left = deliveries.into_iter().zip(fates);
                let left = left.map(|(delivery, (fate, reason))| (delivery, fate, reason));
                (Outcome::Failed { pause }, left.collect())
            }
        }
    }

    /// Attempts of deliveries of the table, one request after the other until one fails, and the record of how it ended. What
    /// has not had its turn by then stays where it is, behind the others.
    pub(super) async fn try_parked(self: &Arc<Self>, hook: &Arc<Hook>, run: Run) -> Report {
        let begun = Instant::now();
        let (mut outcomes, mut gone, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (number, deliveries) in run.loads.into_iter().enumerate() {
            if number > 0 && (begun.elapsed() >= LONGEST_RUN || !self.goes_on(hook)) {
                break;
            }
            let Permitted {
                mut deliveries,
                withheld,
                unknown,
            } = self.permitted(hook, deliveries).await;
            let attempt = match unknown {
                Some(failure) => Err((Outcome::Silent, failure)),
                None if deliveries.is_empty() => Ok(Outcome::Silent),
                None => match self.attempt(hook, &mut deliveries).await {
                    Ok(()) => Ok(Outcome::Arrived),
                    Err(failure) => {
                        let pause = failure.pause;
                        Err((Outcome::Failed { pause }, failure))
                    }
                },
            };
            gone.extend(withheld.into_iter().map(stood));
            let (outcome, fates) = match attempt {
                Ok(outcome) => {
                    gone.extend(deliveries.drain(..).map(stood));
                    (outcome, Vec::new())
                }
                Err((outcome, failure)) => (outcome, failure.fates),
            };
            if outcomes.last() != Some(&outcome) {
                outcomes.push(outcome);
            }
            let each = deliveries.into_iter().zip(fates);
            failed.extend(each.map(|(delivery, (fate, reason))| Failed {
                id: delivery.id,
                place: delivery.place,
                attempts: delivery.attempts,
                fate,
                reason,
            }));
            if !failed.is_empty() {
                break;
            }
        }
        if outcomes.len() > 1 {
            outcomes.retain(|outcome| *outcome != Outcome::Silent);
        }
        let left = failed.iter().filter(|failed| failed.fate == Fate::Dead);
        let left = left.map(|failed| failed.place);
        let places: Vec<Place> = gone.iter().map(|(_, place)| *place).chain(left).collect();
        let times = failed.iter().filter_map(|failed| match failed.fate {
            Fate::Tried(after) => Some(after),
            Fate::Behind | Fate::Dead => None,
        });
        let look_after = match times.min() {
            Some(after) if places.is_empty() => after,
            _ => AT_ONCE,
        };
        let hook = self.id.clone();
        let write = |done| Write::Tried {
            hook,
            gone,
            failed,
            done,
        };
        self.desk.store.done(write).await;
        Report {
            outcomes,
            gone: places,
            look_after,
        }
    }

    /// May a run of this hook go on? What waits goes where the hook points now, and nowhere when we stop.
    fn goes_on(&self, hook: &Arc<Hook>) -> bool {
        let now = self.hook_if_active();
        !self.desk.stop.is_cancelled() && now.is_some_and(|now| Arc::ptr_eq(&now, hook))
    }

    /// Makes the request, and says what becomes of each of its deliveries when it is no success.
    async fn attempt(&self, hook: &Arc<Hook>, deliveries: &mut [Delivery]) -> Result<(), Failure> {
        let Some(load) = Load::new(hook.delivery.batch, deliveries) else {
            return Ok(());
        };
        let asked = self.ask_endpoint(hook, &load).await;
        let Err(refused) = self.record(hook, &load, asked, deliveries) else {
            return Ok(());
        };
        if let Some(disabled) = &refused.disabled {
            // Boxed, because it is rare, and would make what each request takes in memory twice as large.
            Box::pin(self.disable(hook, disabled, &refused.told)).await;
        }
        Err(self.failure(hook, deliveries, refused))
    }

    /// Makes the request.
    async fn ask_endpoint(&self, hook: &Arc<Hook>, load: &Load) -> Asked {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let span = self.desk.traces.as_ref();
        let span = span.map(|traces| traces.begin(&load.id));
        let _going = self.desk.meters.going_on(|meters| &meters.in_flight);
        let answer = match self.door(hook) {
            Err(failure) => Answer::Failed(failure),
            Ok(door) => {
                let request = Request {
                    target: &hook.target,
                    id: &load.id,
                    batch: load.members.as_deref(),
                    body: load.body.clone(),
                    content_type: &load.content_type,
                    at: started_at,
                    timeout: hook.delivery.timeout,
                    span,
                };
                door.send(request).await
            }
        };
        Asked {
            started_at,
            took: started.elapsed(),
            span,
            answer,
        }
    }

    /// Counts the attempt, and tells everyone of it who wants to know.
    fn record(
        &self,
        hook: &Arc<Hook>,
        load: &Load,
        asked: Asked,
        deliveries: &mut [Delivery],
    ) -> Result<(), Refused> {
        let Asked {
            started_at,
            took,
            span,
            answer,
        } = asked;
        let (now, jitter) = (SystemTime::now(), rand::random_range(0.0..1.0));
        let mut verdicts = Vec::with_capacity(deliveries.len());
        for delivery in deliveries.iter_mut() {
            delivery.attempts += 1;
            let retries = &hook.delivery.retries;
            verdicts.push(retry::verdict(
                &answer,
                delivery.attempts,
                retries,
                now,
                jitter,
            ));
        }
        // Whether it is a success, or the end of the hook, depends on the answer alone.
        let delivered = verdicts.first() == Some(&Verdict::Delivered);
        let disabled = self.weigh(hook, verdicts.first());
        self.desk.meters.attempted(delivered, took);
        if let (Some(traces), Some(context)) = (&self.desk.traces, span) {
            let ended = Ended {
                hook,
                answer: &answer,
                delivered,
                started_at,
                took,
            };
            traces.note(context, load, deliveries, &ended);
        }
        // A text in Postgres has no zero bytes; and of what has arrived nothing is told.
        let told = match delivered {
            true => String::new(),
            false => answer.to_string().replace('\0', "�"),
        };
        let batch = load.members.is_some().then_some(&load.id);
        // The last of them is moved and not cloned, which is all that happens to most requests.
        let answers = std::iter::repeat_n(answer, deliveries.len());
        for (delivery, answer) in deliveries.iter().zip(answers) {
            self.desk.journal.record(|| Entry::Attempted {
                id: Arc::clone(&delivery.id),
                event: Arc::clone(&delivery.event),
                hook: hook.id.clone(),
                target: hook.target.display().into(),
                answer: answer.to_string(),
                delivered,
                took,
                commit_time: delivery.commit_time,
            });
            self.desk.history.note(Attempt {
                hook: Arc::clone(hook),
                delivery: Arc::clone(&delivery.id),
                batch: batch.cloned(),
                event: Arc::clone(&delivery.event),
                position: delivery.position,
                commit_time: delivery.commit_time,
                place: delivery.place,
                content_type: Arc::clone(&load.content_type),
                number: delivery.attempts,
                started_at,
                took,
                delivered,
                body: Some(delivery.body.clone()),
                answer,
            });
        }
        if delivered {
            return Ok(());
        }
        Err(Refused {
            verdicts,
            told,
            disabled,
        })
    }

    /// What becomes of the deliveries of a request that was no success.
    fn failure(&self, hook: &Hook, deliveries: &[Delivery], refused: Refused) -> Failure {
        let Refused {
            verdicts,
            told,
            disabled,
        } = refused;
        let mut pause = None;
        let ends = deliveries.iter().zip(verdicts);
        let ends = ends.map(|(delivery, verdict)| match verdict {
            _ if disabled.is_some() => (Fate::Tried(AT_ONCE), told.clone()),
            Verdict::TryAgain { after, throttle } => {
                pause = pause.max(throttle.then_some(after));
                tracing::warn!(hook = %hook.id, event = %delivery.event, id = %delivery.id, attempt = delivery.attempts, retry_in = ?after, answer = told, "an attempt failed");
                (Fate::Tried(after), told.clone())
            }
            Verdict::Dead { reason } => {
                self.lament(delivery, &reason);
                (Fate::Dead, reason.replace('\0', "�"))
            }
            Verdict::Delivered | Verdict::Disable { .. } => (Fate::Tried(AT_ONCE), told.clone()),
        });
        let (fates, reasons): (Vec<Fate>, Vec<String>) = ends.unzip();
        let places = deliveries.iter().map(|delivery| delivery.place);
        let lined_up = batch::line_up(places.zip(fates));
        Failure {
            fates: lined_up.into_iter().zip(reasons).collect(),
            pause,
        }
    }

    /// What a verdict comes to for the hook: whether it is disabled, because its target is gone or it has failed for long.
    fn weigh(&self, hook: &Hook, verdict: Option<&Verdict>) -> Option<Disabled> {
        let now = Instant::now();
        let spell = &mut self.state().spell;
        match verdict? {
            Verdict::Delivered => {
                if spell.succeeded() {
                    self.tell_spell(None);
                }
                None
            }
            Verdict::Disable { reason, gone } => Some(Disabled {
                reason: reason.clone(),
                gone: *gone,
            }),
            Verdict::TryAgain { .. } | Verdict::Dead { .. } => {
                if spell.failed(now) {
                    self.tell_spell(Some(SystemTime::now()));
                }
                let reason = spell.verdict(hook.delivery.disable_after, now)?;
                Some(Disabled {
                    reason,
                    gone: false,
                })
            }
        }
    }

    /// Has it written down since when there has been no success, so that it survives us.
    fn tell_spell(&self, since: Option<SystemTime>) {
        let hook = self.id.clone();
        self.desk.store.put(Write::Failing { hook, since });
    }

    /// Disables the hook. Memory first, the table after; but a hook that has been pointed elsewhere since the request was
    /// made is not concerned.
    async fn disable(&self, hook: &Arc<Hook>, disabled: &Disabled, last_answer: &str) {
        let Disabled { reason, gone } = disabled;
        let lasted = {
            let mut state = self.state();
            let here = hook.target.display();
            // Other requests of the hook may have come to the same, and one word is enough.
            if state
                .hook
                .as_ref()
                .is_none_or(|now| now.target.display() != here)
            {
                return;
            }
            state.hook = None;
            state.active = false;
            let lasted = state.spell.lasted(Instant::now());
            // When it is enabled again, it begins anew.
            if state.spell.succeeded() {
                self.tell_spell(None);
            }
            lasted
        };
        self.desk.meters.disabled.fetch_add(1, Relaxed);
        tracing::warn!(hook = %hook.id, target = hook.target.display(), reason, "the hook is disabled, and its deliveries are kept");
        let disabling = Disabling {
            hook,
            reason,
            gone: *gone,
            since: SystemTime::now()
                .checked_sub(lasted)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            last_answer,
        };
        self.desk.store.disable(&disabling).await;
    }

    pub(super) fn lament(&self, delivery: &Delivery, reason: &str) {
        self.desk.meters.dead.fetch_add(1, Relaxed);
        tracing::error!(hook = %self.id, event = %delivery.event, id = %delivery.id, attempts = delivery.attempts, reason, "a delivery is dead");
    }
}

/// A delivery that is not needed any more, and where it stood.
fn stood(delivery: Delivery) -> (Arc<str>, Place) {
    (delivery.id, delivery.place)
}
