//! Attempts of deliveries of the table, in runs of requests.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Courier,
    availability::Outcome,
    batch::{Head, Run},
    fate::{AT_ONCE, Failure},
    halves::{End, Halves},
    permission::Permitted,
};
use crate::{
    delivery::{Delivery, lane::Place},
    hook::Hook,
    panics::caught,
    store::{Failed, Fate, Write},
};

/// How long a run takes at most, beside its last request. What it has sent comes again if we die before that is on
/// record.
const LONGEST_RUN: Duration = Duration::from_secs(1);

/// How a run went.
#[derive(Debug)]
pub(super) struct Report {
    /// What it says of the endpoint, in order. Several successes in a row are one.
    pub(super) outcomes: Vec<Outcome>,
    /// Where those stood that are not parked any more.
    pub(super) gone: Vec<Place>,
    /// After which time to look again for what is due in the table.
    pub(super) poll_after: Duration,
    /// How many requests there were to be.
    pub(super) requests: usize,
    /// Whether all of them were made, and what they carry has arrived.
    pub(super) arrived: bool,
    /// How long it took, until that was on record.
    pub(super) took: Duration,
}

/// What has come of the requests of a run.
#[derive(Default)]
struct Results {
    outcomes: Vec<Outcome>,
    /// The ids of deliveries that are not needed any more, and where they stood.
    gone: Vec<(Arc<str>, Place)>,
    failed: Vec<Failed>,
}

impl Courier {
    /// Attempts deliveries of the table, one request after the other until one fails, and records how it ended. What
    /// was claimed and has not had its turn by then is due again, and what stands behind it stays where it is.
    pub(super) async fn try_parked(self: &Arc<Self>, hook: &Arc<Hook>, run: Run) -> Report {
        let begun = Instant::now();
        let mut results = Results::default();
        let requests = run.loads.len();
        for (number, deliveries) in run.loads.into_iter().enumerate() {
            let latest = begun + LONGEST_RUN;
            let goes_on = || Instant::now() < latest && self.goes_on(hook);
            if number > 0 && !(goes_on() && self.next_pass(hook, latest).await && goes_on()) {
                break;
            }
            let tried = caught(self.try_load(hook, deliveries, &mut results)).await;
            if let Err(panic) = tried {
                self.set_aside(Some(hook), &panic);
                break;
            }
            if !results.failed.is_empty() {
                break;
            }
        }
        let unsent = results.unsent(&run.heads);
        let mut report = results.report(requests, unsent.is_empty());
        let Results { gone, failed, .. } = results;
        let hook = self.id.clone();
        let write = |done| Write::Attempted {
            hook,
            gone,
            failed,
            done,
        };
        self.context.store.persist(write).await;
        self.release_ids(unsent);
        report.took = begun.elapsed();
        report
    }

    /// Whether a run of this hook may go on. What waits goes where the hook points now, and nowhere when we stop.
    pub(super) fn goes_on(&self, hook: &Arc<Hook>) -> bool {
        let now = self.hook_if_active();
        !self.context.stop.is_cancelled() && now.is_some_and(|now| Arc::ptr_eq(&now, hook))
    }

    /// Makes one request of a run, as far as the owner may still see what it carries.
    async fn try_load(
        self: &Arc<Self>,
        hook: &Arc<Hook>,
        deliveries: Vec<Delivery>,
        results: &mut Results,
    ) {
        let (own, foreign) = self.part_foreign(hook, deliveries);
        for (delivery, fate, reason) in foreign {
            results.add_left(delivery, fate, reason);
        }
        let Permitted {
            deliveries,
            withheld,
            unknown,
        } = self.check_permission(hook, own).await;
        results.gone.extend(withheld.into_iter().map(stood));
        if let Some(failure) = unknown {
            results.add_outcome(Outcome::Silent);
            return results.add_failed(deliveries, failure);
        }
        let mut halves = Halves::of(deliveries);
        results.add_outcome(self.attempt(hook, &mut halves).await);
        for (delivery, end) in halves.into_ends() {
            match end {
                End::Arrived => results.gone.push(stood(delivery)),
                End::Left(fate, reason) => results.add_left(delivery, fate, reason),
            }
        }
    }
}

impl Results {
    fn add_outcome(&mut self, outcome: Outcome) {
        if self.outcomes.last() != Some(&outcome) {
            self.outcomes.push(outcome);
        }
    }

    fn add_failed(&mut self, deliveries: Vec<Delivery>, failure: Failure) {
        for (delivery, (fate, reason)) in deliveries.into_iter().zip(failure.fates) {
            self.add_left(delivery, fate, reason);
        }
    }

    fn add_left(&mut self, delivery: Delivery, fate: Fate, reason: String) {
        self.failed.push(Failed {
            id: delivery.id,
            place: delivery.place,
            attempts: delivery.attempts,
            waited: delivery.waited,
            fate,
            reason,
        });
    }

    /// Which of those that were claimed have not been attempted.
    fn unsent(&self, heads: &[Head]) -> Vec<Arc<str>> {
        let gone = self.gone.iter().map(|(id, _)| id);
        let failed = self.failed.iter().map(|failed| &failed.id);
        let ended: HashSet<&Arc<str>> = gone.chain(failed).collect();
        let heads = heads.iter().map(|head| &head.id);
        heads.filter(|id| !ended.contains(id)).cloned().collect()
    }

    /// What came of a run of so many requests, which may have ended before all of its heads were attempted.
    fn report(&mut self, requests: usize, is_whole: bool) -> Report {
        let arrived = is_whole && self.failed.is_empty();
        let mut outcomes = std::mem::take(&mut self.outcomes);
        if outcomes.len() > 1 {
            outcomes.retain(|outcome| *outcome != Outcome::Silent);
        }
        let dead = self.failed.iter();
        let dead = dead.filter(|failed| failed.fate == Fate::Dead);
        let dead = dead.map(|failed| failed.place);
        let gone: Vec<Place> = self
            .gone
            .iter()
            .map(|(_, place)| *place)
            .chain(dead)
            .collect();
        let times = self.failed.iter().filter_map(|failed| match failed.fate {
            Fate::Retry(after) => Some(after),
            Fate::Behind | Fate::Dead => None,
        });
        let poll_after = match times.min() {
            Some(after) if gone.is_empty() && is_whole => after,
            _ => AT_ONCE,
        };
        Report {
            outcomes,
            gone,
            poll_after,
            requests,
            arrived,
            took: Duration::ZERO,
        }
    }
}

/// The id of a delivery that is not needed any more, and where it stood.
fn stood(delivery: Delivery) -> (Arc<str>, Place) {
    (delivery.id, delivery.place)
}
