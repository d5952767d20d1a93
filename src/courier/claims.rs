//! Claims what is due in the table, and sends it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Courier, batch,
    pass::Pass,
    quota::hold,
    round::{Done, Round},
    run_length::LONGEST,
};
use crate::{
    delivery::memory_budget::{self, Permit},
    hook::Hook,
    panics::caught,
    store::{Claimed, Share},
};

/// For how long a claim lasts beyond the hook's time-out. Should we die over it, the delivery is due again then.
const LEASE_BEYOND_TIMEOUT: Duration = Duration::from_secs(60);
/// How many bytes of deliveries that go in requests of their own are claimed at once, but for a single larger one.
const CLAIMED_BYTES: usize = 4 << 20;
/// How long to wait when the table could not be read.
const CLAIM_AGAIN: Duration = Duration::from_secs(2);

impl Courier {
    /// How many requests may be made beside each other.
    pub(super) fn allowed(&self, hook: &Hook) -> usize {
        self.state().pace.allowed(hook.delivery.concurrency)
    }

    /// Sends what was claimed, as far as the hook allows.
    pub(super) fn send_claimed(self: &Arc<Self>, round: &mut Round) {
        let Some(hook) = self.hook_if_active() else {
            self.release(round);
            return;
        };
        let now = Instant::now();
        while round.in_flight < self.allowed(&hook) && !round.claims.queue.is_empty() {
            let breaker = round.availability.breaker();
            if !breaker.is_closed() && breaker.opens_at().is_none_or(|opens_at| opens_at > now) {
                if breaker.opens_at().is_some() {
                    self.release(round);
                }
                // Otherwise a probe is on its way, and its answer decides.
                return;
            }
            // What it carries has its memory already.
            if !self.has_pass(round, &hook) || !self.has_seat(round, &hook, 0) {
                return;
            }
            // Where the breaker is open, this is the probe.
            round.availability.breaker().allows(now);
            let Some((run, memory)) = round.claims.queue.pop_front() else {
                return;
            };
            round.pass = Pass::None;
            let seat = round.seating.take();
            round.in_flight += 1;
            let (courier, hook) = (Arc::clone(self), Arc::clone(&hook));
            let heads = run.heads.clone();
            round.tasks.push(Box::pin(async move {
                let report = hold(seat, courier.try_parked(&hook, run)).await;
                drop(memory);
                Done::Parked(heads, report)
            }));
        }
    }

    /// Makes due again what was claimed and is not on its way.
    fn release(self: &Arc<Self>, round: &mut Round) {
        self.release_ids(round.claims.release_all());
    }

    /// Claims what is due in the table, or returns when something will be.
    pub(super) fn claim_if_due(
        self: &Arc<Self>,
        round: &mut Round,
        hook: &Arc<Hook>,
        stopping: bool,
    ) -> Option<Instant> {
        // Where a rate spreads what was claimed, the next claim is made in time, so that none of it is lost.
        let has_enough = round.claims.queue.len() > self.claimed_ahead(hook);
        let busy = round.claims.is_pending || has_enough;
        let poll_at = {
            let state = self.state();
            if stopping || !state.active || busy || state.backlog.is_empty() {
                return None;
            }
            round.availability.not_before(state.poll_at?)
        };
        if poll_at > Instant::now() {
            return Some(poll_at);
        }
        let share = share(round, hook, self.allowed(hook), self.soon(hook))?;
        // What is claimed takes memory that others wait for.
        if round.claims.queue.is_empty()
            && (!self.has_pass(round, hook) || !self.has_seat(round, hook, 0))
        {
            return None;
        }
        self.state().poll_at = None;
        round.claims.is_pending = true;
        let (courier, hook_then) = (Arc::clone(self), Arc::clone(hook));
        let lease = hook.delivery.timeout + LEASE_BEYOND_TIMEOUT;
        round.tasks.push(Box::pin(async move {
            let claimed = caught(courier.claim(&hook_then, share, lease)).await;
            Done::Claimed(claimed.unwrap_or_else(|panic| {
                courier.set_aside(Some(&hook_then), &panic);
                Err(panic.into())
            }))
        }));
        None
    }

    /// Claims what is due, once there is memory for it. A single delivery that is larger than what is claimed at once
    /// takes its memory from a pool of its own, so that the others need not wait for it.
    async fn claim(
        &self,
        hook: &Hook,
        mut share: Share,
        lease: Duration,
    ) -> anyhow::Result<(Claimed, Permit)> {
        let memory = &self.context.memory;
        // Others want to claim too.
        share.bytes = share.bytes.min(memory.table.bytes() / 4);
        let quota = self.context.quotas.of(hook);
        let (table, large) = match &quota.own {
            Some(own) => (&own.table, &own.large),
            None => (&memory.table, &memory.large),
        };
        let mut memory = table.acquire(share.bytes).await;
        loop {
            let claimed = self.context.store.claim(&self.id, share, lease).await?;
            let Some(bytes) = claimed.too_large else {
                let all = claimed.deliveries.iter().chain(&claimed.behind);
                memory.shrink(
                    all.map(|one| one.body.len() + memory_budget::DELIVERY)
                        .sum(),
                );
                return Ok((claimed, memory));
            };
            drop(memory);
            memory = large.acquire(bytes).await;
            share = Share {
                lanes: 1,
                behind: 0,
                of_lane: 0,
                bytes,
            };
        }
    }

    /// Records what a claim has returned, and divides it into runs.
    pub(super) fn record_claimed(
        &self,
        round: &mut Round,
        claimed: anyhow::Result<(Claimed, Permit)>,
    ) {
        let mut state = self.state();
        let (claimed, memory) = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(hook = %self.id, error = format!("{error:#}"), retry_in = ?CLAIM_AGAIN, "could not look for due deliveries");
                state.poll_by(Instant::now() + CLAIM_AGAIN);
                return;
            }
        };
        let Claimed {
            mut deliveries,
            mut behind,
            next,
            ..
        } = claimed;
        let leases = &mut round.claims.leases;
        deliveries.retain(|delivery| !leases.has(delivery));
        behind.retain(|delivery| !leases.has_lane_of(delivery.place));
        if let Some(next) = next {
            state.poll_by(Instant::now() + next);
        }
        let rule = state.hook.as_ref().and_then(|hook| hook.delivery.batch);
        let length = round.claims.length.now();
        let runs = batch::divide(rule, length, deliveries, behind);
        for run in &runs {
            leases.begin(&run.heads);
        }
        let memory = Arc::new(memory);
        let runs = runs.into_iter().map(|run| (run, Arc::clone(&memory)));
        round.claims.queue.extend(runs);
    }
}

/// How much is to be claimed now; `None` where nothing is. `allowed` requests may be made beside each
/// other, and `soon` say how many of them the rates let go.
fn share(round: &mut Round, hook: &Hook, allowed: usize, soon: usize) -> Option<Share> {
    let breaker = round.availability.breaker();
    // As many runs are claimed as can be on their way, and as many again that wait for their turn.
    let runs = match (breaker.is_closed(), breaker.opens_at()) {
        (true, _) => (allowed * 2).saturating_sub(round.in_flight),
        (false, Some(_)) => 1,
        // A probe is on its way, and its answer decides whether more is claimed.
        (false, None) => 0,
    };
    if runs == 0 {
        return None;
    }
    // Where a rate says how many may go, runs of their own keep to it best.
    let length = match soon {
        usize::MAX => round.claims.length.now(),
        _ => 1,
    };
    let (runs, run) = (runs.min(soon), LONGEST.min(soon));
    Some(match hook.delivery.batch {
        None => Share {
            lanes: runs * length,
            behind: (runs * LONGEST).min(soon - runs),
            of_lane: run,
            bytes: CLAIMED_BYTES,
        },
        // Of batches, one run is claimed at a time.
        Some(rule) => Share {
            lanes: rule.max.get(),
            behind: rule.max.get().saturating_mul(run),
            of_lane: usize::MAX,
            bytes: rule.max_bytes.max(CLAIMED_BYTES),
        },
    })
}
