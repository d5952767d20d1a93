//! Which deliveries of the table are leased to this courier.

use std::{collections::HashMap, sync::Arc};

use super::batch::Head;
use crate::delivery::{Delivery, lane::Place};

/// What was claimed from the table and is not done with.
///
/// Should a lease end in the table before the courier is done, the delivery is claimed again, but not sent beside
/// itself.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// How many attempts there had been when a delivery was claimed last, by its id.
    attempts: HashMap<Arc<str>, u32>,
    /// How many runs hold a lane. What stands in such a lane comes along in no other run.
    lanes: HashMap<u64, usize>,
}

impl Leases {
    /// These have been claimed.
    pub(super) fn begin(&mut self, heads: &[Head]) {
        for head in heads {
            self.attempts.insert(Arc::clone(&head.id), head.attempts);
            for lane in head.place.lanes() {
                *self.lanes.entry(lane).or_default() += 1;
            }
        }
    }

    /// These are done with, unless they have been claimed again since then.
    pub(super) fn end(&mut self, heads: &[Head]) {
        for head in heads {
            if self.attempts.get(&head.id) == Some(&head.attempts) {
                self.attempts.remove(&head.id);
            }
            for lane in head.place.lanes() {
                if let Some(runs) = self.lanes.get_mut(&lane) {
                    *runs -= 1;
                    if *runs == 0 {
                        self.lanes.remove(&lane);
                    }
                }
            }
        }
    }

    /// Whether a delivery that was just claimed is leased already, as it is.
    ///
    /// With more attempts than it had then it is not: its attempt is on record, but the round has not seen that yet.
    pub(super) fn has(&self, delivery: &Delivery) -> bool {
        let leased = self.attempts.get(&delivery.id);
        leased.is_some_and(|attempts| delivery.attempts <= *attempts)
    }

    /// Whether a run holds one of these lanes.
    pub(super) fn has_lane_of(&self, place: Place) -> bool {
        place.lanes().any(|lane| self.lanes.contains_key(&lane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: &str, lane: u64, attempts: u32) -> Head {
        Head {
            id: id.into(),
            place: Place::One(lane),
            attempts,
        }
    }

    #[test]
    fn what_was_claimed_again_stays_leased_when_its_earlier_run_ends() {
        let mut leases = Leases::default();
        let (first, again) = ([head("a", 1, 0), head("b", 2, 0)], [head("a", 1, 1)]);
        leases.begin(&first);
        leases.begin(&again);
        assert_eq!(leases.lanes, HashMap::from([(1, 2), (2, 1)]));
        leases.end(&first);
        assert_eq!(leases.attempts, HashMap::from([("a".into(), 1)]));
        assert_eq!(leases.lanes, HashMap::from([(1, 1)]));
        leases.end(&again);
        assert!(leases.attempts.is_empty() && leases.lanes.is_empty());
    }
}
