//! Which lanes of a hook have deliveries in the table. Nothing may overtake those.

use std::collections::HashMap;

use super::lane::Place;

/// The parked deliveries of one hook, by lane.
#[derive(Debug, Default)]
pub struct Backlog {
    lanes: HashMap<u64, u64>,
    deliveries: u64,
}

impl Backlog {
    /// So many more deliveries are parked in this place.
    pub fn add(&mut self, place: Place, deliveries: u64) {
        self.deliveries += deliveries;
        for lane in place.lanes() {
            *self.lanes.entry(lane).or_default() += deliveries;
        }
    }

    /// One delivery that was parked in this place is so no more.
    pub fn remove(&mut self, place: Place) {
        self.deliveries = self.deliveries.saturating_sub(1);
        for lane in place.lanes() {
            if let Some(count) = self.lanes.get_mut(&lane) {
                *count -= 1;
                if *count == 0 {
                    self.lanes.remove(&lane);
                }
            }
        }
    }

    /// Would a delivery in this place overtake one that is parked?
    pub fn blocks(&self, place: Place) -> bool {
        place.lanes().any(|lane| self.lanes.contains_key(&lane))
    }

    /// Is nothing parked?
    pub fn is_empty(&self) -> bool {
        self.deliveries == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_blocked_while_something_is_parked_in_it() {
        let mut backlog = Backlog::default();
        backlog.add(Place::both(1, 2), 1);
        backlog.add(Place::One(2), 2);
        assert!(backlog.blocks(Place::One(1)) && backlog.blocks(Place::both(2, 3)));
        assert!(!backlog.blocks(Place::One(3)));
        backlog.remove(Place::both(1, 2));
        assert!(!backlog.blocks(Place::One(1)) && backlog.blocks(Place::One(2)));
        backlog.remove(Place::One(2));
        backlog.remove(Place::One(2));
        assert!(!backlog.blocks(Place::One(2)) && backlog.is_empty());
    }
}
