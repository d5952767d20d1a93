//! One round of a courier: what may go is sent, what may not is parked, what is due is claimed, and what came of it noted.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::{AT_ONCE, Courier};
use crate::{
    delivery::{
        Delivery,
        breaker::Breaker,
        lane::{Lanes, Place, Turn},
    },
    hook::Hook,
    store::{Claimed, Fate, Write},
};

/// A claimed delivery is due again after its hook's time-out and this, should we die over it.
const LEASE_BEYOND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait when the table could not be read.
const CLAIM_AGAIN: Duration = Duration::from_secs(2);

/// Something that has been waited for.
pub(super) enum Done {
    /// An attempt of a delivery of the stream.
    Fresh(Turn, Place, Outcome),
    /// An attempt of a delivery of the table, and the record of its end.
    Parked(Place, Outcome),
    /// What is due in the table.
    Claimed(anyhow::Result<Claimed>),
}

pub(super) enum Outcome {
    /// Delivered.
    Arrived,
    /// Given up, and on record.
    Dead,
    /// To be tried again. A delivery of the table has been postponed there already.
    Again {
        delivery: Box<Delivery>,
        after: Duration,
        whole_hook: bool,
        reason: String,
    },
}

pub(super) type Going = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What only the task knows.
pub(super) struct Round {
    pub(super) lanes: Lanes<Delivery>,
    pub(super) going: FuturesUnordered<Going>,
    /// How many of `going` are requests.
    pub(super) flying: usize,
    pub(super) claiming: bool,
    pub(super) breaker: Breaker,
    /// The endpoint has asked for a pause.
    pub(super) not_before: Instant,
    /// The endpoint is slower than what is committed for it. What cannot be sent at once is parked, until nothing is.
    pub(super) overwhelmed: bool,
}

impl Courier {
    /// Sends what may go, and parks what may not.
    pub(super) fn send_or_park(self: &Arc<Self>, round: &mut Round, hook: Option<&Arc<Hook>>) {
        let now = Instant::now();
        let mut shed = {
            let mut state = self.state();
            round.overwhelmed &= !state.backlog.is_empty();
            std::mem::take(&mut state.shed) || round.overwhelmed
        };
        loop {
            let limit = hook.map_or(usize::MAX, |hook| hook.delivery.concurrency.get());
            if round.flying >= limit && !shed {
                break;
            }
            let Some((turn, place, delivery)) = round.lanes.take() else {
                break;
            };
            if let Some(flaw) = delivery.flaw.clone() {
                self.lament(&delivery, &flaw);
                self.park(delivery, Fate::Dead, Some(flaw.replace('\0', "�")));
                round.lanes.leave(turn, place);
                continue;
            }
            if let (Some(held), Some(hook)) = (&delivery.held, hook)
                && now - held.since > hook.delivery.timeout
            {
                // The slot is held by no endpoint for longer than its time-out, be it ever so alive.
                (shed, round.overwhelmed) = (true, true);
            }
            let pause = round
                .not_before
                .max(round.breaker.opens_at().unwrap_or(now))
                .saturating_duration_since(now);
            let fate = if self.state().backlog.blocks(place) {
                Some(Fate::Behind)
            } else if hook.is_none() || shed && round.flying >= limit {
                Some(Fate::Tried(AT_ONCE))
            } else if !pause.is_zero() || !round.breaker.allows(now) {
                Some(Fate::Tried(pause))
            } else {
                None
            };
            match (fate, hook) {
                (None, Some(hook)) => {
                    round.flying += 1;
                    let (courier, hook) = (Arc::clone(self), Arc::clone(hook));
                    round.going.push(Box::pin(async move {
                        Done::Fresh(turn, place, courier.try_fresh(&hook, delivery).await)
                    }));
                }
                (fate, _) => {
                    self.park(delivery, fate.unwrap_or(Fate::Behind), None);
                    round.lanes.leave(turn, place);
                }
            }
        }
        self.state().waiting = round.lanes.waiting();
    }

    /// Claims what is due, or says when to look again.
    pub(super) fn look_into_table(
        self: &Arc<Self>,
        round: &mut Round,
        hook: &Arc<Hook>,
        stopping: bool,
    ) -> Option<Instant> {
        let mut state = self.state();
        let free = hook.delivery.concurrency.get().saturating_sub(round.flying);
        if stopping || !state.active || round.claiming || free == 0 || state.backlog.is_empty() {
            return None;
        }
        let look_at = state.look_at?.max(round.not_before);
        let look_at = round
            .breaker
            .opens_at()
            .map_or(look_at, |opens_at| look_at.max(opens_at));
        if look_at > Instant::now() {
            return Some(look_at);
        }
        // While a probe is out, the answer decides whether more is claimed.
        let limit = match (round.breaker.is_closed(), round.breaker.opens_at()) {
            (true, _) => free,
            (false, Some(_)) => 1,
            (false, None) => return None,
        };
        state.look_at = None;
        round.claiming = true;
        let (courier, lease) = (
            Arc::clone(self),
            hook.delivery.timeout + LEASE_BEYOND_TIMEOUT,
        );
        round.going.push(Box::pin(async move {
            Done::Claimed(courier.desk.store.claim(&courier.id, limit, lease).await)
        }));
        None
    }

    pub(super) fn note(self: &Arc<Self>, round: &mut Round, done: Done) {
        match done {
            Done::Claimed(claimed) => {
                round.claiming = false;
                self.note_claimed(round, claimed);
            }
            Done::Fresh(turn, place, outcome) => {
                round.flying -= 1;
                if let Outcome::Again {
                    delivery,
                    after,
                    reason,
                    ..
                } = self.judge(round, outcome)
                {
                    self.park(*delivery, Fate::Tried(after), Some(reason));
                }
                round.lanes.leave(turn, place);
            }
            Done::Parked(place, outcome) => {
                round.flying -= 1;
                let outcome = self.judge(round, outcome);
                let mut state = self.state();
                let look_at = match outcome {
                    Outcome::Again { after, .. } => Instant::now() + after,
                    Outcome::Arrived | Outcome::Dead => {
                        state.backlog.remove(place);
                        Instant::now()
                    }
                };
                state.look_at = Some(
                    state
                        .look_at
                        .map_or(look_at, |earlier| earlier.min(look_at)),
                );
            }
        }
    }

    fn note_claimed(self: &Arc<Self>, round: &mut Round, claimed: anyhow::Result<Claimed>) {
        let now = Instant::now();
        let (deliveries, next) = match claimed {
            Ok(Claimed { deliveries, next }) => (deliveries, next),
            Err(error) => {
                tracing::warn!(hook = %self.id, error = format!("{error:#}"), retry_in = ?CLAIM_AGAIN, "could not look for due deliveries");
                (Vec::new(), Some(CLAIM_AGAIN))
            }
        };
        let mut state = self.state();
        if let Some(next) = next {
            let next = now + next;
            state.look_at = Some(state.look_at.map_or(next, |earlier| earlier.min(next)));
        }
        // A hook that has been halted meanwhile gets them when the lease is over.
        let Some(hook) = state.hook.clone().filter(|_| state.active) else {
            return;
        };
        drop(state);
        for delivery in deliveries {
            if !round.breaker.allows(now) && round.breaker.opens_at().is_some() {
                break;
            }
            round.flying += 1;
            let (courier, hook, place) = (Arc::clone(self), Arc::clone(&hook), delivery.place);
            round.going.push(Box::pin(async move {
                Done::Parked(place, courier.try_parked(&hook, delivery).await)
            }));
        }
    }

    /// What an outcome says of the endpoint.
    fn judge(&self, round: &mut Round, outcome: Outcome) -> Outcome {
        let now = Instant::now();
        match &outcome {
            Outcome::Arrived => round.breaker.succeeded(),
            Outcome::Again {
                after, whole_hook, ..
            } => {
                if *whole_hook {
                    round.not_before = round.not_before.max(now + *after);
                }
                round.breaker.failed(now);
            }
            Outcome::Dead => round.breaker.failed(now),
        }
        outcome
    }

    /// Hands a delivery over to the table. Its lane is blocked from now on.
    pub(super) fn park(self: &Arc<Self>, delivery: Delivery, fate: Fate, reason: Option<String>) {
        if fate != Fate::Dead {
            self.state().backlog.add(delivery.place, 1);
        }
        let (hook, courier) = (self.id.clone(), Arc::clone(self));
        self.desk.store.put(Write::Keep {
            hook,
            delivery,
            fate,
            reason,
            courier,
        });
    }
}
