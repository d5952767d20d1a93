//! Rates: before a request goes, its courier passes the gates of its hook, its owner and its host, and takes a seat.
//!
//! What waits for that waits as behind other requests: in memory while it can, and parked when it is late. So a rate
//! keeps neither the slot nor memory, and nothing dies of it. Where passes are scarce, what was parked goes first.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Courier,
    gate::{self, Passage},
    pass::Pass,
    round::Round,
};
use crate::hook::Hook;

/// Which part of what may go soon is left when more is claimed.
const CLAIMED_AHEAD: usize = 4;

impl Courier {
    /// The gates that requests of this hook pass; empty where it has no rate.
    fn passages(&self, hook: &Hook) -> Vec<Passage> {
        let mut passages = Vec::new();
        if let Some(rate) = hook.delivery.rate {
            let interval = self.state().pace.interval(rate);
            passages.push(Passage::own(&self.gate, interval));
        }
        self.context.gates.add_passages(hook, &mut passages);
        passages
    }

    /// Whether the next request may go. If not, that is waited for.
    pub(super) fn has_pass(&self, round: &mut Round, hook: &Arc<Hook>) -> bool {
        if matches!(round.pass, Pass::Held) {
            return true;
        }
        if round.pass.is_awaited(hook) {
            return false;
        }
        let passages = self.passages(hook);
        if passages.is_empty() {
            round.pass = Pass::None;
            return true;
        }
        let is_held = gate::try_pass(&passages, Instant::now());
        round.pass = match is_held {
            true => Pass::Held,
            false => Pass::Awaited {
                hook: Arc::clone(hook),
                passed: Box::pin(async move { gate::pass(&passages).await }),
            },
        };
        is_held
    }

    /// As [`Self::has_pass`], for a delivery of the stream: it lets those of the table go first that are due.
    pub(super) fn has_fresh_pass(&self, round: &mut Round, hook: &Arc<Hook>) -> bool {
        if self.has_due(round) && !self.passages(hook).is_empty() {
            return false;
        }
        self.has_pass(round, hook)
    }

    /// Whether a request of so many bytes may go beside what all hooks, and those of its owner, have going. If not,
    /// that is waited for. A seat that is not taken before the courier waits for anything is left to others.
    pub(super) fn has_seat(&self, round: &mut Round, hook: &Hook, bytes: usize) -> bool {
        round.seating.has(self.context.quotas.of(hook), bytes)
    }

    /// Whether something of the table is due, or about to go.
    fn has_due(&self, round: &Round) -> bool {
        let poll_at = self.state().poll_at;
        let is_due = poll_at.is_some_and(|poll_at| poll_at <= Instant::now());
        is_due || round.claims.is_pending || !round.claims.queue.is_empty()
    }

    /// Waits until a further request may go, but not beyond `latest`. Returns whether it may.
    pub(super) async fn next_pass(&self, hook: &Hook, latest: Instant) -> bool {
        let passages = self.passages(hook);
        if passages.is_empty() {
            return true;
        }
        let passed = tokio::time::timeout_at(latest, gate::pass(&passages));
        passed.await.is_ok()
    }

    /// Counts what goes beside the first event of a request that has passed.
    pub(super) fn charge(&self, hook: &Hook, requests: usize, events: usize) {
        let [requests, events] =
            [requests, events].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        if requests > 0 || events > 0 {
            gate::charge(&self.passages(hook), requests, events, Instant::now());
        }
    }

    /// How many runs are still to go when more are claimed.
    pub(super) fn claimed_ahead(&self, hook: &Hook) -> usize {
        match self.soon(hook) {
            usize::MAX => 0,
            soon => soon / CLAIMED_AHEAD,
        }
    }

    /// How many requests may go soon.
    pub(super) fn soon(&self, hook: &Hook) -> usize {
        gate::soon(&self.passages(hook))
    }
}
