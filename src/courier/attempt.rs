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
    fate::{AT_ONCE, Failure},
    halves::{End, Halves},
    retry::{self, Past, Signal, Verdict},
};
use crate::{
    delivery::{Delivery, attempt::Attempt, load::Load},
    hook::Hook,
    journal::Entry,
    panics::caught,
    send::{Request, answer::Answer, traceparent},
    store::{DISOWNED, Fate, text::without_nul},
    trace::Ended,
};

/// A request that was made, and its answer.
struct Asked {
    begun: Instant,
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
        deliveries: Vec<Delivery>,
    ) -> (Outcome, Vec<(Delivery, Fate, String)>) {
        let (own, foreign) = self.part_foreign(hook, deliveries);
        let mut halves = Halves::of(own);
        let tried = caught(self.attempt(hook, &mut halves)).await;
        let (outcome, panic) = match tried {
            Ok(outcome) => (outcome, None),
            Err(panic) => {
                self.set_aside(Some(hook), &panic);
                (Outcome::Silent, Some(panic))
            }
        };
        let mut left: Vec<(Delivery, Fate, String)> = foreign;
        for (delivery, end) in halves.into_ends() {
            match (end, &panic) {
                (End::Arrived, _) => delivery.settle(),
                (End::Left(fate, _), Some(panic)) => left.push((delivery, fate, panic.as_reason())),
                (End::Left(fate, reason), None) => left.push((delivery, fate, reason)),
            }
        }
        (outcome, left)
    }

    /// Parts deliveries from those that are not of the hook's owner. These are dead.
    pub(super) fn part_foreign(
        &self,
        hook: &Hook,
        deliveries: Vec<Delivery>,
    ) -> (Vec<Delivery>, Vec<(Delivery, Fate, String)>) {
        let owner = hook.owner.as_deref();
        let (own, foreign): (Vec<_>, Vec<_>) = deliveries
            .into_iter()
            .partition(|delivery| delivery.whose.may_go_to(owner));
        let foreign = foreign.into_iter().map(|delivery| {
            self.log_dead(&delivery, DISOWNED);
            (delivery, Fate::Dead, DISOWNED.to_owned())
        });
        (own, foreign.collect())
    }

    /// Makes a request with all of these deliveries, and further ones with parts of them where the endpoint refuses
    /// what it carries. Returns what they say of the endpoint.
    pub(super) async fn attempt(&self, hook: &Arc<Hook>, halves: &mut Halves) -> Outcome {
        let begun = Instant::now();
        let (mut requests, mut has_arrived) = (0, false);
        while let Some(deliveries) = halves.next() {
            let in_time = begun.elapsed() < hook.delivery.timeout && self.goes_on(hook);
            let load =
                Load::new(hook.delivery.batch, deliveries).filter(|_| requests == 0 || in_time);
            let Some(load) = load else {
                halves.stop();
                break;
            };
            // The first has passed, with one event.
            match requests {
                0 => self.charge(hook, 0, deliveries.len() - 1),
                _ => self.charge(hook, 1, 0),
            }
            requests += 1;
            let asked = self.ask_endpoint(hook, &load).await;
            let is_of_content = retry::is_of_content(&asked.answer);
            let is_halved = is_of_content && deliveries.len() > 1;
            let answered = self.record_answer(hook, &load, asked, deliveries, is_halved);
            let Err(refused) = answered else {
                has_arrived = true;
                halves.arrived();
                continue;
            };
            if is_halved {
                halves.halve();
                continue;
            }
            if let Some(disabled) = &refused.disabled {
                // Boxed, because it is rare, and would double the memory that every request takes.
                Box::pin(self.disable(hook, disabled, &refused.answer)).await;
            }
            let Failure { fates, pause } = self.failure(hook, deliveries, refused);
            halves.failed(fates);
            if !is_of_content {
                halves.stop();
                return Outcome::Failed { pause };
            }
        }
        match (requests, has_arrived) {
            (0, _) => Outcome::Silent,
            (_, true) => Outcome::Arrived,
            (_, false) => Outcome::Failed { pause: None },
        }
    }

    async fn ask_endpoint(&self, hook: &Arc<Hook>, load: &Load) -> Asked {
        if let Some(tenure) = &self.context.tenure
            && tenure.has_ended()
        {
            // Others may have the hook by now. Whoever ends the tenure ends this.
            return std::future::pending().await;
        }
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
                    compress: hook.delivery.compress,
                    at: started_at,
                    timeout: hook.delivery.timeout,
                    span,
                };
                endpoint.send(request).await
            }
        };
        Asked {
            begun: started,
            started_at,
            took: started.elapsed(),
            span,
            answer,
        }
    }

    /// Counts the attempt, and passes it on to everyone who watches attempts. What is decided after one that
    /// `is_halved` is of no account: its halves are still to be sent.
    fn record_answer(
        &self,
        hook: &Arc<Hook>,
        load: &Load,
        asked: Asked,
        deliveries: &mut [Delivery],
        is_halved: bool,
    ) -> Result<(), Refused> {
        let signal = Signal::of(&asked.answer, SystemTime::now());
        let patience = self.keep_pace(hook, signal, asked.begun);
        let verdicts = count_attempt(hook, &asked.answer, deliveries, patience, is_halved);
        // Whether it is a success, or the end of the hook, depends on the answer alone.
        let delivered = verdicts.first() == Some(&Verdict::Delivered);
        let judged = verdicts.first().filter(|_| !is_halved);
        let disabled = self.should_disable(hook, judged, signal, asked.begun);
        let meters = &self.context.meters;
        meters.attempted(delivered, asked.took);
        let hook_id = hook.id.as_str();
        meters
            .traffic
            .record(hook_id, delivered, asked.took, Instant::now());
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

    /// Notes what an answer says of how much the endpoint can take. Returns for how long it is left alone at least if
    /// it asks for time.
    fn keep_pace(&self, hook: &Hook, signal: Signal, begun: Instant) -> Duration {
        let now = Instant::now();
        let pace = &mut self.state().pace;
        pace.record(signal, &hook.delivery, begun, now);
        pace.patience(now)
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
                whose: delivery.whose.clone(),
                about: Arc::clone(&delivery.about),
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
            Verdict::TryAgain {
                after,
                pause: asked_for,
                ..
            } => {
                pause = pause.max(asked_for);
                tracing::warn!(hook = %hook.id, event = %delivery.event, id = %delivery.id, attempt = delivery.attempts, retry_in = ?after, answer, "an attempt failed");
                (Fate::Retry(after), answer.clone())
            }
            Verdict::Dead { reason } => {
                self.log_dead(delivery, &reason);
                (Fate::Dead, reason)
            }
            Verdict::Delivered | Verdict::Disable { .. } => (Fate::Retry(AT_ONCE), answer.clone()),
        });
        Failure {
            fates: ends.collect(),
            pause,
        }
    }
}

/// Counts an attempt of each delivery, and decides what follows from the answer.
fn count_attempt(
    hook: &Hook,
    answer: &Answer,
    deliveries: &mut [Delivery],
    patience: Duration,
    is_halved: bool,
) -> Vec<Verdict> {
    let (now, jitter) = (SystemTime::now(), rand::random_range(0.0..1.0));
    let retries = &hook.delivery.retries;
    let verdicts = deliveries.iter_mut().map(|delivery| {
        delivery.attempts += 1;
        let past = Past {
            attempts: delivery.attempts,
            waited: delivery.waited,
        };
        let verdict = retry::verdict(answer, past, retries, patience, now, jitter);
        if let (Verdict::TryAgain { waited, .. }, false) = (&verdict, is_halved) {
            delivery.waited = Some(*waited);
        }
        verdict
    });
    verdicts.collect()
}
