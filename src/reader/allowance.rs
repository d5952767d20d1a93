//! What the filters of an owner may take of the reader's time.
//!
//! One filter is bounded by itself, but an owner may have a thousand of them. Each owner has steps to spend. They come
//! back with time, so that an owner takes no more than a share of the reader, however many events there are. A few
//! come back with each event, so that filters which take little never fail because events come fast. When all are
//! spent, the owner's filters fail, and other owners do not wait for them.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::expression::filter::STEPS;

/// The most steps that an owner has: those of one evaluation.
const MOST: u64 = STEPS;
/// The time in which [`MOST`] comes back. It is a twentieth of a core.
const REFILL: Duration = Duration::from_secs(1);
/// The steps that come back with an event.
const EVENT: u64 = 5_000;
/// The steps that come back for each filter that is asked about an event: about what it takes to hand on a delivery.
const FILTER: u64 = 200;

/// The steps that owners have left.
#[derive(Debug, Default)]
pub(super) struct Allowances {
    /// Of owners that have not the most.
    left: HashMap<Option<Arc<str>>, Left>,
}

/// What an owner had left at some time.
#[derive(Debug)]
struct Left {
    steps: u64,
    at: Instant,
}

impl Allowances {
    /// The steps that the owner has now for `filters` on an event.
    pub(super) fn take(&mut self, owner: Option<&Arc<str>>, filters: u64, now: Instant) -> u64 {
        let Some(left) = self.left.remove(&owner.cloned()) else {
            return MOST;
        };
        (left.steps + refilled(now.saturating_duration_since(left.at)) + EVENT + FILTER * filters)
            .min(MOST)
    }

    /// Notes what the owner did not spend until now.
    pub(super) fn give_back(&mut self, owner: Option<&Arc<str>>, steps: u64, now: Instant) {
        if steps < MOST {
            self.left.insert(owner.cloned(), Left { steps, at: now });
        }
    }
}

/// The steps that have come back after this time.
fn refilled(passed: Duration) -> u64 {
    let passed = passed.min(REFILL).as_micros();
    u64::try_from(passed * u128::from(MOST) / REFILL.as_micros()).unwrap_or(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back_with_time_and_events_and_other_owners_have_their_own() {
        let mut allowances = Allowances::default();
        let anna = Arc::from("anna");
        let (anna, nobody) = (Some(&anna), None);
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(allowances.take(anna, 1, start), MOST);
        allowances.give_back(anna, 0, start);
        assert_eq!(allowances.take(anna, 10, start), EVENT + 10 * FILTER);
        assert_eq!(allowances.take(nobody, 10, start), MOST);
        allowances.give_back(anna, 0, start);
        assert_eq!(
            allowances.take(anna, 1, after(100)),
            MOST / 10 + EVENT + FILTER
        );
        allowances.give_back(anna, MOST - 1, after(100));
        assert_eq!(allowances.take(anna, 1, after(100)), MOST);
        allowances.give_back(anna, 0, after(100));
        assert_eq!(allowances.take(anna, 1, after(86_400_000)), MOST);
        // Of a clock that was read before, nothing comes back.
        allowances.give_back(anna, 0, after(100));
        assert_eq!(allowances.take(anna, 0, start), EVENT);
        allowances.give_back(anna, MOST, after(100));
        assert!(allowances.left.is_empty());
    }

    #[test]
    fn an_owner_takes_no_more_than_a_share_of_the_time() {
        let mut allowances = Allowances::default();
        let start = Instant::now();
        let mut spent = 0;
        // Fifty events a second for ten seconds, and filters that take whatever they get.
        for event in 0..500 {
            let now = start + Duration::from_millis(20 * event);
            spent += allowances.take(None, 25, now);
            allowances.give_back(None, 0, now);
        }
        assert!(
            spent <= MOST + 10 * MOST + 500 * (EVENT + 25 * FILTER),
            "{spent}"
        );
    }
}
