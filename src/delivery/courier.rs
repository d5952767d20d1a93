//! Carries the deliveries of one hook, in order, beside each other as far as the hook allows, and again when they fail.
//!
//! Each hook has its own courier, so that endpoints are strangers to each other. Its task lives only while there is
//! something to carry. What decides (lanes, breaker, verdict) are plain values; this loop only asks them.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::SystemTime,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::Notify, time::Instant};

use super::{
    Delivery, Desk,
    breaker::Breaker,
    lane::{Lanes, Place, Turn},
    retry::{self, Verdict},
    send::Request,
};
use crate::{hook::Hook, journal::Entry};

/// The courier of one hook.
pub struct Courier {
    desk: Arc<Desk>,
    inbox: Mutex<Inbox>,
    /// Rings when something is put into the inbox of a running task.
    bell: Notify,
}

struct Inbox {
    hook: Arc<Hook>,
    /// Its target has answered 410, and nothing more is sent there.
    gone: bool,
    arrived: Vec<Delivery>,
    /// Is there a task that will look at `arrived`?
    running: bool,
}

/// A request that is on its way, and what is recorded of its end.
type Going = Pin<Box<dyn Future<Output = (Turn, Place, Outcome)> + Send>>;

enum Outcome {
    /// Delivered, or recorded as dead.
    Settled { delivered: bool },
    /// To be tried again.
    Postponed {
        delivery: Delivery,
        until: Instant,
        whole_hook: bool,
    },
}

impl Courier {
    /// A courier for `hook`, at rest.
    pub fn new(desk: Arc<Desk>, hook: Arc<Hook>) -> Arc<Self> {
        let inbox = Inbox {
            hook,
            gone: false,
            arrived: Vec::new(),
            running: false,
        };
        Arc::new(Self {
            desk,
            inbox: Mutex::new(inbox),
            bell: Notify::new(),
        })
    }

    /// Takes a delivery over. From here on the courier owes its settlement.
    pub fn hand(self: &Arc<Self>, delivery: Delivery) {
        let mut inbox = self.inbox();
        inbox.arrived.push(delivery);
        if inbox.running {
            self.bell.notify_one();
        } else {
            inbox.running = true;
            self.desk.tasks.spawn(Arc::clone(self).run());
        }
    }

    /// The hook has been changed. What waits goes where it points now.
    pub fn follow(&self, hook: Arc<Hook>) {
        let mut inbox = self.inbox();
        inbox.hook = hook;
        inbox.gone = false;
    }

    /// Is nothing to do, and may the courier be forgotten?
    pub fn is_at_rest(&self) -> bool {
        let inbox = self.inbox();
        !inbox.running && !inbox.gone
    }

    async fn run(self: Arc<Self>) {
        let mut lanes = Lanes::default();
        let mut going: FuturesUnordered<Going> = FuturesUnordered::new();
        let mut postponed: BTreeMap<(Instant, Turn), (Place, Delivery)> = BTreeMap::new();
        let mut breaker = Breaker::default();
        let mut not_before = Instant::now();
        loop {
            let stopping = self.desk.stop.is_cancelled();
            let (hook, arrived) = self.look();
            for delivery in arrived {
                lanes.push(delivery.place, delivery);
            }
            let now = Instant::now();
            while let Some(entry) = postponed.first_entry()
                && entry.key().0 <= now
            {
                let ((_, turn), (place, delivery)) = entry.remove_entry();
                lanes.again(turn, place, delivery);
            }
            let limit = hook.delivery.concurrency.get();
            while !stopping
                && going.len() < limit
                && now >= not_before
                && lanes.has_ready()
                && breaker.allows(now)
            {
                let Some((turn, place, delivery)) = lanes.take() else {
                    break;
                };
                going.push(Box::pin(Arc::clone(&self).go(turn, place, delivery)));
            }
            if going.is_empty()
                && (stopping || (lanes.is_empty() && postponed.is_empty()))
                && self.rest(stopping)
            {
                return;
            }
            let alarm = postponed.keys().map(|(at, _)| *at).next();
            let blocked = lanes
                .has_ready()
                .then(|| not_before.max(breaker.opens_at().unwrap_or(not_before)));
            let alarm = alarm
                .into_iter()
                .chain(blocked.filter(|at| *at > now))
                .min();
            tokio::select! {
                Some((turn, place, outcome)) = going.next() => match outcome {
                    Outcome::Settled { delivered } => {
                        lanes.leave(turn, place);
                        if delivered { breaker.succeeded() }
                    }
                    Outcome::Postponed { delivery, until, whole_hook } => {
                        if whole_hook { not_before = not_before.max(until) }
                        breaker.failed(Instant::now());
                        postponed.insert((until, turn), (place, delivery));
                    }
                },
                () = self.bell.notified() => {}
                () = until(alarm) => {}
                () = self.desk.stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// One attempt, and what follows from its answer.
    async fn go(
        self: Arc<Self>,
        turn: Turn,
        place: Place,
        mut delivery: Delivery,
    ) -> (Turn, Place, Outcome) {
        let (hook, gone) = {
            let inbox = self.inbox();
            (Arc::clone(&inbox.hook), inbox.gone)
        };
        let reason = if gone {
            "the hook's target answered 410 Gone".to_owned()
        } else {
            match self.attempt(&hook, &mut delivery).await {
                Verdict::Delivered => {
                    delivery.ticket.settle();
                    return (turn, place, Outcome::Settled { delivered: true });
                }
                Verdict::TryAgain { after, throttle } => {
                    let until = Instant::now() + after;
                    let outcome = Outcome::Postponed {
                        delivery,
                        until,
                        whole_hook: throttle,
                    };
                    return (turn, place, outcome);
                }
                Verdict::Gone => {
                    self.stop_for(&hook);
                    let reason = "the target answered 410 Gone";
                    tracing::warn!(hook = %hook.id, target = hook.target.display(), "{reason}; the hook is disabled");
                    self.desk.store.disable(&hook, reason).await;
                    reason.to_owned()
                }
                Verdict::Dead { reason } => reason,
            }
        };
        // The lane is left only when the end is on record, so that nothing overtakes a delivery that a crash brings back.
        self.desk.store.bury(&hook.id, &delivery, &reason).await;
        tracing::error!(hook = %hook.id, event = %delivery.event, id = %delivery.id, attempts = delivery.attempts, reason, "a delivery is dead");
        delivery.ticket.settle();
        (turn, place, Outcome::Settled { delivered: false })
    }

    async fn attempt(&self, hook: &Arc<Hook>, delivery: &mut Delivery) -> Verdict {
        let request = Request {
            target: &hook.target,
            id: &delivery.id,
            body: delivery.body.clone(),
            content_type: delivery.content_type,
            timeout: hook.delivery.timeout,
        };
        let started = Instant::now();
        let answer = self.desk.sender.send(request).await;
        delivery.attempts += 1;
        let verdict = retry::verdict(
            &answer,
            delivery.attempts,
            &hook.delivery.retries,
            SystemTime::now(),
            rand::random_range(0.0..1.0),
        );
        let delivered = matches!(verdict, Verdict::Delivered);
        if let Verdict::TryAgain { after, .. } = &verdict {
            tracing::warn!(hook = %hook.id, event = %delivery.event, id = %delivery.id, attempt = delivery.attempts, retry_in = ?after, answer = %answer, "an attempt failed");
        }
        self.desk.journal.tell(|| Entry::Attempted {
            id: Arc::clone(&delivery.id),
            event: Arc::clone(&delivery.event),
            hook: hook.id.clone(),
            target: hook.target.display().into(),
            answer: answer.to_string(),
            delivered,
            took: started.elapsed(),
            commit_time: delivery.commit_time,
        });
        verdict
    }

    /// The target that `hook` points to is gone; a hook that has been pointed elsewhere since is not.
    fn stop_for(&self, hook: &Arc<Hook>) {
        let mut inbox = self.inbox();
        if inbox.hook.target.display() == hook.target.display() {
            inbox.gone = true;
        }
    }

    fn look(&self) -> (Arc<Hook>, Vec<Delivery>) {
        let mut inbox = self.inbox();
        (Arc::clone(&inbox.hook), std::mem::take(&mut inbox.arrived))
    }

    /// Ends the task, unless something has arrived. What has arrived when rowhook stops stays unsettled.
    fn rest(&self, stopping: bool) -> bool {
        let mut inbox = self.inbox();
        let done = stopping || inbox.arrived.is_empty();
        inbox.running = !done;
        done
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Nothing that is done under the lock can panic.
        self.inbox
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Waits until `at`, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
