//! The task of a courier: it runs while there is something to deliver.

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::time::Instant;

use super::{
    Courier,
    pass::Pass,
    round::{Done, Round},
    seating::Seating,
    standing::Said,
};
use crate::{hook::Hook, meters::standing::Standing};

impl Courier {
    /// Sends, parks and claims, until there is nothing left to do or rowhook stops. A panic over it sets the hook
    /// aside, and what was in memory is parked.
    pub(super) async fn run(self: Arc<Self>) {
        self.run_guarded(|courier, round| Box::pin(courier.work(round)))
            .await;
    }

    /// Sends, parks and claims, until there is nothing left to do or rowhook stops.
    pub(super) async fn work(self: &Arc<Self>, round: &mut Round) {
        loop {
            let stopping = self.context.stop.is_cancelled();
            let hook = self.collect(round);
            let again_at = if stopping {
                // What was claimed is due again for whoever holds the slot next.
                round.claims.release_all();
                None
            } else {
                self.send_claimed(round);
                self.send_or_park(round, hook.as_ref())
            };
            let poll_at = hook
                .as_ref()
                .and_then(|hook| self.claim_if_due(round, hook, stopping));
            if round.tasks.is_empty() && self.rest(round, stopping) {
                return;
            }
            // A claim brings what the seat is for. Otherwise it would be used by now.
            if !round.claims.is_pending {
                round.seating.release();
            }
            self.say_standing(round);
            tokio::select! {
                Some(done) = round.tasks.next() => self.record(round, done),
                () = round.pass.come() => {}
                () = round.seating.come() => {}
                () = self.wake.notified() => {}
                () = until([poll_at, again_at].into_iter().flatten().min()) => {}
                () = self.context.stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// Says what keeps the hook waiting, if that is not what was said last.
    fn say_standing(&self, round: &mut Round) {
        let of_endpoint = round.availability.standing(Instant::now());
        let standing = of_endpoint.or(match (&round.pass, &round.seating) {
            (Pass::Awaited { .. }, _) => Some(Standing::Rate),
            (_, Seating::Awaited { .. }) => Some(Standing::Quota),
            _ => None,
        });
        if round.said.as_ref().map(Said::standing) != standing {
            // What was said before is taken back first.
            round.said = None;
            let meters = &self.context.meters;
            round.said = standing.map(|standing| Said::of(&self.id, standing, meters));
        }
    }

    /// Puts what has arrived into its lanes, and returns the hook as it is now.
    pub(super) fn collect(self: &Arc<Self>, round: &mut Round) -> Option<Arc<Hook>> {
        let (hook, has_forgotten) = {
            let mut state = self.state();
            for delivery in state.arrived.drain(..) {
                round.lanes.push(delivery.place, delivery);
            }
            let has_forgotten = std::mem::take(&mut state.has_forgotten);
            (state.hook.clone(), has_forgotten)
        };
        if has_forgotten {
            let forgotten = self.context.store.forgotten();
            round.lanes.each(|delivery| forgotten.apply(delivery));
            // The table has what is left of these.
            self.release_ids(round.claims.release_all());
        }
        hook
    }

    /// Records what came of something that the round has waited for.
    fn record(self: &Arc<Self>, round: &mut Round, done: Done) {
        let now = Instant::now();
        let meters = &self.context.meters;
        match done {
            Done::Claimed(claimed) => {
                round.claims.is_pending = false;
                self.record_claimed(round, claimed);
            }
            Done::Fresh {
                taken,
                outcome,
                left,
            } => {
                round.in_flight -= 1;
                round.availability.record(outcome, now, meters);
                for (delivery, fate, reason) in left {
                    self.park(delivery, fate, Some(reason));
                }
                for (turn, place) in taken {
                    round.lanes.leave(turn, place);
                }
            }
            Done::Parked(heads, report) => {
                round.in_flight -= 1;
                for outcome in report.outcomes {
                    round.availability.record(outcome, now, meters);
                }
                round.claims.leases.end(&heads);
                let length = &mut round.claims.length;
                length.record(report.requests, report.arrived, report.took);
                let mut state = self.state();
                for place in report.gone {
                    state.backlog.remove(place);
                }
                state.poll_by(Instant::now() + report.poll_after);
            }
        }
    }

    /// Ends the task, unless there is something left to do. When rowhook stops, what the stream has handed over stays
    /// unsettled, and comes again.
    fn rest(&self, round: &Round, stopping: bool) -> bool {
        let mut state = self.state();
        let nothing_to_wait_for = !state.active || state.backlog.is_empty();
        let done =
            stopping || (state.arrived.is_empty() && round.lanes.is_empty() && nothing_to_wait_for);
        state.running = !done;
        if done {
            state.endpoint = None;
        }
        done
    }
}

/// Waits until `at`, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
