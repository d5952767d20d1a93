//! One request of a courier, and everything that follows from its answer.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    Courier,
    availability::Outcome,
    disable::Disabled,
    fate::{AT_ONCE, Failure, line_up},
    retry::{self, Verdict},
};
use crate::{
    delivery::{Delivery, attempt::Attempt, load::Load},
    hook::Hook,
    journal::Entry,
    panics::caught,
    send::{Request, answer::Answer, traceparent},
    store::{Fate, text::without_nul},
    trace::Ended,
};

/// A request that was made, and its answer.
struct Asked {
    started_at: SystemTime,
    took: Duration,
    span: Option<traceparent::Context>,
    answer: Answer,
}

/// A request that was not a success, as far as its answer says.
struct Refused {
    /// The verdict on each delivery, in order.
    verdicts: Vec<Verdict>,
    /// The answer, in a few words.
    answer: String,
    /// Why the hook is to be disabled, if it is.
    disabled: Option<Disabled>,
}

impl Courier {
    /// Makes one attempt of deliveries that the slot still keeps. Returns those that have not arrived, to be parked.
    pub(super) async fn try_fresh(
        self: &Arc<Self>,
        hook: &Arc<Hook>,
        mut deliveries: Vec<Delivery>,
    ) -> (Outcome, Vec<(Delivery, Fate, String)>) {
        match caught(self.attempt(hook, &mut deliveries)).await {
            Err(panic) => {
                self.set_aside(Some(hook), &panic);
                (Outcome::Silent, self.after_panic(deliveries, &panic))
            }
            Ok(Ok(())) => {
                deliveries.into_iter().for_each(Delivery::settle);
                (Outcome::Arrived, Vec::new())
            }
            Ok(Err(Failure { fates, pause })) => {
                let left = deliveries.into_iter().zip(fates);
                let left = left.map(|(delivery, (fate, reason))| (delivery, fate, reason));
                (Outcome::Failed { pause }, left.collect())
            }
        }
    }

    /// Makes a request with all of these deliveries.
    ///
    /// # Errors
    /// When it was not a success: what becomes of each delivery.
    pub(super) async fn attempt(
        &self,
        hook: &Arc<Hook>,
        deliveries: &mut [Delivery],
    ) -> Result<(), Failure> {
        let Some(load) = Load::new(hook.delivery.batch, deliveries) else {
            return Ok(());
        };
        let asked = self.ask_endpoint(hook, &load).await;
        let Err(refused) = self.record_answer(hook, &load, asked, deliveries) else {
            return Ok(());
        };
        if let Some(disabled) = &refused.disabled {
            // Boxed, because it is rare, and would double the memory that every request takes.
            Box::pin(self.disable(hook, disabled, &refused.answer)).await;
        }
        Err(self.failure(hook, deliveries, refused))
    }

    async fn ask_endpoint(&self, hook: &Arc<Hook>, load: &Load) -> Asked {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let span = self.context.traces.as_ref();
        let span = span.map(|traces| traces.begin(&load.id));
        let _going = self.context.meters.going_on(|meters| &meters.in_flight);
        let answer = match self.endpoint(hook) {
            Err(failure) => Answer::Failed(failure),
            Ok(endpoint) => {
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
                endpoint.send(request).await
            }
        };
        Asked {
            started_at,
            took: started.elapsed(),
            span,
            answer,
        }
    }

    /// Counts the attempt, and passes it on to everyone who watches attempts.
    fn record_answer(
        &self,
        hook: &Arc<Hook>,
        load: &Load,
        asked: Asked,
        deliveries: &mut [Delivery],
    ) -> Result<(), Refused> {
        let verdicts = count_attempt(hook, &asked.answer, deliveries);
        // Whether it is a success, or the end of the hook, depends on the answer alone.
        let delivered = verdicts.first() == Some(&Verdict::Delivered);
        let disabled = self.should_disable(hook, verdicts.first());
        self.context.meters.attempted(delivered, asked.took);
        if let (Some(traces), Some(span)) = (&self.context.traces, asked.span) {
            let ended = Ended {
                hook,
                answer: &asked.answer,
                delivered,
                started_at: asked.started_at,
                took: asked.took,
            };
            traces.record(span, load, deliveries, &ended);
        }
        // Nothing is said of what has arrived.
        let answer = match delivered {
            true => String::new(),
            false => without_nul(&asked.answer.to_string()).into_owned(),
        };
        self.record_attempts(hook, load, asked, deliveries, delivered);
        if delivered {
            return Ok(());
        }
        Err(Refused {
            verdicts,
            answer,
            disabled,
        })
    }

    /// Passes the attempt of each delivery on to the journal and to the history.
    fn record_attempts(
        &self,
        hook: &Arc<Hook>,
        load: &Load,
        asked: Asked,
        deliveries: &[Delivery],
        delivered: bool,
    ) {
        let batch = load.members.is_some().then_some(&load.id);
        // The last answer is moved and not cloned, which is all that happens to most requests.
        let answers = std::iter::repeat_n(asked.answer, deliveries.len());
        for (delivery, answer) in deliveries.iter().zip(answers) {
            self.context.journal.record(|| Entry::Attempted {
                id: Arc::clone(&delivery.id),
                event: Arc::clone(&delivery.event),
                hook: hook.id.clone(),
                target: hook.target.display().into(),
                answer: answer.to_string(),
                delivered,
                took: asked.took,
                commit_time: delivery.commit_time,
            });
            self.context.history.record(Attempt {
                hook: Arc::clone(hook),
                delivery: Arc::clone(&delivery.id),
                batch: batch.cloned(),
                event: Arc::clone(&delivery.event),
                position: delivery.position,
                commit_time: delivery.commit_time,
                place: delivery.place,
                content_type: Arc::clone(&load.content_type),
                number: delivery.attempts,
                started_at: asked.started_at,
                took: asked.took,
                delivered,
                body: Some(delivery.body.clone()),
                answer,
            });
        }
    }

    /// What becomes of the deliveries of a request that was no success.
    fn failure(&self, hook: &Hook, deliveries: &[Delivery], refused: Refused) -> Failure {
        let Refused {
            verdicts,
            answer,
            disabled,
        } = refused;
        let mut pause = None;
        let ends = deliveries.iter().zip(verdicts);
        let ends = ends.map(|(delivery, verdict)| match verdict {
            _ if disabled.is_some() => (Fate::Retry(AT_ONCE), answer.clone()),
            Verdict::TryAgain { after, throttle } => {
                pause = pause.max(throttle.then_some(after));
                tracing::warn!(hook = %hook.id, event = %delivery.event, id = %delivery.id, attempt = delivery.attempts, retry_in = ?after, answer, "an attempt failed");
                (Fate::Retry(after), answer.clone())
            }
            Verdict::Dead { reason } => {
                self.log_dead(delivery, &reason);
                (Fate::Dead, reason)
            }
            Verdict::Delivered | Verdict::Disable { .. } => (Fate::Retry(AT_ONCE), answer.clone()),
        });
        let (fates, reasons): (Vec<Fate>, Vec<String>) = ends.unzip();
        let places = deliveries.iter().map(|delivery| delivery.place);
        let lined_up = line_up(places.zip(fates));
        Failure {
            fates: lined_up.into_iter().zip(reasons).collect(),
            pause,
        }
    }
}

/// Counts an attempt of each delivery, and decides what follows from the answer.
fn count_attempt(hook: &Hook, answer: &Answer, deliveries: &mut [Delivery]) -> Vec<Verdict> {
    let (now, jitter) = (SystemTime::now(), rand::random_range(0.0..1.0));
    let retries = &hook.delivery.retries;
    let verdicts = deliveries.iter_mut().map(|delivery| {
        delivery.attempts += 1;
        retry::verdict(answer, delivery.attempts, retries, now, jitter)
    });
    verdicts.collect()
}
