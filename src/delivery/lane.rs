//! Who may go next. Within a lane one delivery goes at a time, in the order of arrival.
//!
//! By default a lane is a row of a hook. An update that changes a row's key stands in two lanes, that of the old key
//! and that of the new, and goes when it is first in both.

use std::collections::{HashMap, VecDeque};

/// The lanes that one delivery stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// It waits for the one before it in this lane.
    One(u64),
    /// It waits in both.
    Two(u64, u64),
}

impl Place {
    /// The place in the lanes `old` and `new`, which may be the same.
    pub fn both(old: u64, new: u64) -> Self {
        if old == new {
            Self::One(new)
        } else {
            Self::Two(old, new)
        }
    }

    /// The lanes, in no order.
    pub fn lanes(self) -> impl Iterator<Item = u64> {
        let (first, second) = match self {
            Self::One(lane) => (lane, None),
            Self::Two(old, new) => (old, Some(new)),
        };
        [first].into_iter().chain(second)
    }
}

/// The waiting and the going deliveries of one hook.
#[derive(Debug)]
pub struct Lanes<T> {
    /// Everyone in a lane, the one that goes included, in order of arrival.
    lanes: HashMap<u64, VecDeque<Turn>>,
    /// Those that wait for another.
    waiting: HashMap<Turn, (Place, T)>,
    /// Those that are first in their lanes, in the order in which they became so.
    ready: VecDeque<(Turn, Place, T)>,
    next: u64,
}

/// A delivery's number in its lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Turn(u64);

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            lanes: HashMap::new(),
            waiting: HashMap::new(),
            ready: VecDeque::new(),
            next: 0,
        }
    }
}

impl<T> Lanes<T> {
    /// Puts `item` at the end of its lanes.
    pub fn push(&mut self, place: Place, item: T) {
        let turn = Turn(self.next);
        self.next += 1;
        for lane in place.lanes() {
            self.lanes.entry(lane).or_default().push_back(turn);
        }
        if self.is_first(turn, place) {
            self.ready.push_back((turn, place, item));
        } else {
            self.waiting.insert(turn, (place, item));
        }
    }

    /// Takes the next that may go. It keeps its lanes until [`leave`](Self::leave).
    pub fn take(&mut self) -> Option<(Turn, Place, T)> {
        self.ready.pop_front()
    }

    /// The one that was taken is done, and those behind it may go.
    pub fn leave(&mut self, turn: Turn, place: Place) {
        for lane in place.lanes() {
            let Some(queue) = self.lanes.get_mut(&lane) else {
                continue;
            };
            if queue.front() == Some(&turn) {
                queue.pop_front();
            }
            match queue.front() {
                None => {
                    self.lanes.remove(&lane);
                }
                Some(&first) => self.call(first),
            }
        }
    }

    /// How many wait or stand ready. Those that were taken do not count.
    pub fn waiting(&self) -> usize {
        self.ready.len() + self.waiting.len()
    }

    /// Does nobody wait or stand ready? Those that were taken do not count.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.waiting.is_empty()
    }

    fn call(&mut self, turn: Turn) {
        let Some(&(place, _)) = self.waiting.get(&turn) else {
            return;
        };
        if self.is_first(turn, place)
            && let Some((place, item)) = self.waiting.remove(&turn)
        {
            self.ready.push_back((turn, place, item));
        }
    }

    fn is_first(&self, turn: Turn, place: Place) -> bool {
        place
            .lanes()
            .all(|lane| self.lanes.get(&lane).and_then(VecDeque::front) == Some(&turn))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_do_not_wait_for_each_other_and_a_row_waits_for_itself() {
        let mut lanes = Lanes::default();
        lanes.push(Place::One(1), "a1");
        lanes.push(Place::One(1), "a2");
        lanes.push(Place::One(2), "b1");
        let (turn, place, first) = lanes.take().unwrap();
        assert_eq!(first, "a1");
        assert_eq!(lanes.take().unwrap().2, "b1");
        assert!(lanes.take().is_none());
        lanes.leave(turn, place);
        assert_eq!(lanes.take().unwrap().2, "a2");
        assert!(lanes.is_empty());
    }

    #[test]
    fn a_changed_key_waits_in_both_lanes_and_holds_both() {
        let mut lanes = Lanes::default();
        lanes.push(Place::One(1), "old row");
        lanes.push(Place::One(2), "other row");
        lanes.push(Place::both(1, 2), "moved");
        lanes.push(Place::One(1), "new at the old key");
        let (old, old_place, _) = lanes.take().unwrap();
        let (other, other_place, _) = lanes.take().unwrap();
        lanes.leave(old, old_place);
        assert!(lanes.take().is_none());
        lanes.leave(other, other_place);
        let (moved, moved_place, item) = lanes.take().unwrap();
        assert_eq!(item, "moved");
        assert!(lanes.take().is_none());
        lanes.leave(moved, moved_place);
        assert_eq!(lanes.take().unwrap().2, "new at the old key");
    }

    proptest! {
        /// Whoever finishes first: all go, none goes beside another of its lane, and each lane goes in order.
        #[test]
        fn all_go_in_the_order_of_each_lane(
            places in prop::collection::vec((0_u64..4, 0_u64..4), 1..40),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let mut lanes = Lanes::default();
            for (number, (old, new)) in places.iter().enumerate() {
                lanes.push(Place::both(*old, *new), number);
            }
            let mut going: Vec<(Turn, Place, usize)> = Vec::new();
            let mut gone: Vec<usize> = Vec::new();
            let mut choices = choices.into_iter();
            loop {
                while let Some(next) = lanes.take() {
                    let busy: Vec<u64> = going.iter().flat_map(|(_, place, _)| place.lanes()).collect();
                    prop_assert!(next.1.lanes().all(|lane| !busy.contains(&lane)));
                    going.push(next);
                }
                if going.is_empty() { break }
                let at = choices.next().unwrap().index(going.len());
                let (turn, place, number) = going.swap_remove(at);
                lanes.leave(turn, place);
                gone.push(number);
            }
            prop_assert_eq!(gone.len(), places.len());
            for lane in 0..4 {
                let in_lane: Vec<usize> =
                    gone.iter().copied().filter(|n| places[*n].0 == lane || places[*n].1 == lane).collect();
                prop_assert!(in_lane.is_sorted());
            }
        }
    }
}
