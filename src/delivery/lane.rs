//! Which deliveries of a hook may go next. Within a lane, one goes at a time, in the order of arrival.
//!
//! By default a lane is a row of a hook. An update that changes a row's key stands in two lanes, that of the old key
//! and that of the new one, and goes when it is first in both.

use std::collections::{HashMap, VecDeque};

/// Whether an item that could go in a run comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It comes along.
    Take,
    /// Neither it nor anything behind it comes along.
    Skip,
    /// Neither it nor anything else comes along: the run is complete.
    Stop,
}

/// The lanes that a delivery stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// One lane: it waits for the delivery before it.
    One(u64),
    /// Two different lanes, the old one and the new one: it waits for the delivery before it in each.
    Two(u64, u64),
}

impl Place {
    /// The place in the lanes `old` and `new`, which may be the same lane.
    pub fn both(old: u64, new: u64) -> Self {
        if old == new {
            Self::One(new)
        } else {
            Self::Two(old, new)
        }
    }

    /// The lanes, in no particular order.
    pub fn lanes(self) -> impl Iterator<Item = u64> {
        let (first, second) = match self {
            Self::One(lane) => (lane, None),
            Self::Two(old, new) => (old, Some(new)),
        };
        [first].into_iter().chain(second)
    }
}

/// The deliveries of one hook, or other items, each in one or two lanes.
#[derive(Debug)]
pub struct Lanes<T> {
    /// All turns of a lane in order of arrival, those that were taken and have not left included.
    lanes: HashMap<u64, VecDeque<Turn>>,
    /// The items that wait for another.
    waiting: HashMap<Turn, (Place, T)>,
    /// The items that are first in all of their lanes, in the order in which they became so.
    ready: VecDeque<(Turn, Place, T)>,
    next: u64,
}

/// The number of an item in the order of arrival.
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

    /// The next item that may go.
    pub fn first(&self) -> Option<&T> {
        self.ready.front().map(|(_, _, item)| item)
    }

    /// Takes the next item that may go. It keeps its place until [`leave`](Self::leave).
    pub fn take(&mut self) -> Option<(Turn, Place, T)> {
        self.ready.pop_front()
    }

    /// Chooses a run: items that could go together. They are those that may go, and those that wait only for others of
    /// the run. Returns their turns in the order of arrival.
    ///
    /// `admit` decides on each item; its last argument says whether the item may go by itself. Those that may come
    /// first.
    pub fn run(&self, mut admit: impl FnMut(Turn, Place, &T, bool) -> Admission) -> Vec<Turn> {
        let (mut run, mut lanes) = (Vec::new(), VecDeque::new());
        // How many items at the head of each lane are in the run.
        let mut ahead: HashMap<u64, usize> = HashMap::new();
        let mut stopped = false;
        for (turn, place, item) in &self.ready {
            match admit(*turn, *place, item, true) {
                Admission::Take => {
                    run.push(*turn);
                    for lane in place.lanes() {
                        ahead.insert(lane, 1);
                        lanes.push_back(lane);
                    }
                }
                Admission::Skip => {}
                Admission::Stop => {
                    stopped = true;
                    break;
                }
            }
        }
        while let Some(lane) = lanes.pop_front().filter(|_| !stopped) {
            let next = |lane: u64| {
                let at = ahead.get(&lane).copied().unwrap_or(0);
                self.lanes.get(&lane).and_then(|queue| queue.get(at))
            };
            let Some(turn) = next(lane).copied() else {
                continue;
            };
            let Some((place, item)) = self.waiting.get(&turn) else {
                continue;
            };
            if !place.lanes().all(|lane| next(lane) == Some(&turn)) {
                // It is looked at again when the run has reached it in its other lane.
                continue;
            }
            match admit(turn, *place, item, false) {
                Admission::Take => {
                    run.push(turn);
                    for lane in place.lanes() {
                        *ahead.entry(lane).or_default() += 1;
                        lanes.push_back(lane);
                    }
                }
                Admission::Skip => {}
                Admission::Stop => stopped = true,
            }
        }
        run.sort();
        run
    }

    /// Whether anything stands behind a whole [`run`](Self::run) in one of its lanes.
    pub fn is_followed(&self, run: &[Turn]) -> bool {
        let place = |turn: &Turn| match self.waiting.get(turn) {
            Some((place, _)) => Some(*place),
            None => {
                let mut ready = self.ready.iter();
                ready.find_map(|(other, place, _)| (other == turn).then_some(*place))
            }
        };
        let mut lanes = run.iter().filter_map(place).flat_map(Place::lanes);
        lanes.any(|lane| {
            let last = self.lanes.get(&lane).and_then(VecDeque::back);
            last.is_some_and(|last| !run.contains(last))
        })
    }

    /// Takes an item of a [`run`](Self::run). The items of the run that stand before it in its lanes have to be taken
    /// too, and have to [leave](Self::leave) before it does.
    pub fn pick(&mut self, turn: Turn) -> Option<(Place, T)> {
        match self.ready.iter().position(|(ready, ..)| *ready == turn) {
            Some(at) => self.ready.remove(at).map(|(_, place, item)| (place, item)),
            None => self.waiting.remove(&turn),
        }
    }

    /// Takes an item that is done out of its lanes, so that those behind it may go.
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
                Some(&first) => self.make_ready(first),
            }
        }
    }

    /// All items that wait or may go, in the order of arrival. Those that were taken are with whoever took them.
    pub fn into_items(self) -> impl Iterator<Item = T> {
        let ready = self.ready.into_iter().map(|(turn, _, item)| (turn, item));
        let waiting = self.waiting.into_iter();
        let waiting = waiting.map(|(turn, (_, item))| (turn, item));
        let mut items: Vec<(Turn, T)> = ready.chain(waiting).collect();
        items.sort_by_key(|(turn, _)| *turn);
        items.into_iter().map(|(_, item)| item)
    }

    /// Changes all items that wait or may go, in no particular order.
    pub fn each(&mut self, mut change: impl FnMut(&mut T)) {
        let ready = self.ready.iter_mut().map(|(_, _, item)| item);
        let waiting = self.waiting.values_mut().map(|(_, item)| item);
        ready.chain(waiting).for_each(&mut change);
    }

    /// How many items wait or may go. Those that were taken do not count.
    pub fn waiting(&self) -> usize {
        self.ready.len() + self.waiting.len()
    }

    /// Whether no item waits or may go. Those that were taken do not count.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.waiting.is_empty()
    }

    fn make_ready(&mut self, turn: Turn) {
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
    fn the_items_come_out_in_the_order_of_arrival_but_for_those_that_were_taken() {
        let mut lanes = Lanes::default();
        for (lane, item) in [(1, "a1"), (1, "a2"), (2, "b1"), (1, "a3"), (2, "b2")] {
            lanes.push(Place::One(lane), item);
        }
        lanes.take();
        let items: Vec<_> = lanes.into_items().collect();
        assert_eq!(items, ["a2", "b1", "a3", "b2"]);
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

    fn run(lanes: &Lanes<&'static str>, most: usize) -> Vec<Turn> {
        let mut taken = 0;
        lanes.run(|_, _, _, _| {
            taken += 1;
            if taken > most {
                Admission::Stop
            } else {
                Admission::Take
            }
        })
    }

    fn pick(lanes: &mut Lanes<&'static str>, run: &[Turn]) -> Vec<&'static str> {
        let picked = run.iter().map(|turn| lanes.pick(*turn).unwrap().1);
        picked.collect()
    }

    #[test]
    fn a_run_takes_those_along_that_wait_for_nobody_else() {
        let mut lanes = Lanes::default();
        lanes.push(Place::One(1), "a1");
        lanes.push(Place::One(1), "a2");
        lanes.push(Place::One(2), "b1");
        lanes.push(Place::both(1, 2), "moved");
        lanes.push(Place::both(2, 3), "b2");
        lanes.push(Place::One(3), "c1");
        for (most, expected) in [
            (1, vec!["a1"]),
            (2, vec!["a1", "b1"]),
            (3, vec!["a1", "a2", "b1"]),
            (9, vec!["a1", "a2", "b1", "moved", "b2", "c1"]),
        ] {
            let mut lanes = Lanes {
                lanes: lanes.lanes.clone(),
                waiting: lanes.waiting.clone(),
                ready: lanes.ready.clone(),
                next: lanes.next,
            };
            let turns = run(&lanes, most);
            assert_eq!(pick(&mut lanes, &turns), expected);
        }
    }

    #[test]
    fn a_run_is_followed_by_those_that_it_leaves_behind_in_its_lanes() {
        let mut lanes = Lanes::default();
        for (place, item) in [
            (Place::One(1), "a1"),
            (Place::One(1), "a2"),
            (Place::One(2), "b1"),
            (Place::both(2, 3), "moved"),
        ] {
            lanes.push(place, item);
        }
        let followed = [true, true, true, false];
        for (most, followed) in (1..).zip(followed) {
            let turns = run(&lanes, most);
            assert_eq!((turns.len(), lanes.is_followed(&turns)), (most, followed));
        }
        assert!(!lanes.is_followed(&[Turn(3)]));
    }

    #[test]
    fn nobody_behind_one_that_is_skipped_comes_along() {
        let mut lanes = Lanes::default();
        for (place, item) in [
            (Place::One(1), "a1"),
            (Place::One(1), "a2"),
            (Place::One(1), "a3"),
            (Place::One(2), "b1"),
            (Place::both(1, 2), "moved"),
        ] {
            lanes.push(place, item);
        }
        let turns = lanes.run(|_, _, item, _| match *item {
            "a2" => Admission::Skip,
            _ => Admission::Take,
        });
        assert_eq!(pick(&mut lanes, &turns), ["a1", "b1"]);
    }

    #[test]
    fn while_a_run_is_going_nobody_of_its_lanes_goes() {
        let mut lanes = Lanes::default();
        for item in ["a1", "a2", "a3"] {
            lanes.push(Place::One(1), item);
        }
        let turns = run(&lanes, 2);
        assert_eq!(pick(&mut lanes, &turns), ["a1", "a2"]);
        assert!(lanes.first().is_none() && run(&lanes, 9).is_empty());
        for turn in turns {
            lanes.leave(turn, Place::One(1));
        }
        assert_eq!(lanes.take().unwrap().2, "a3");
    }

    proptest! {
        /// Whoever finishes first, in runs of any length: all go, no two runs share a lane, and each lane goes in
        /// order.
        #[test]
        fn all_go_in_the_order_of_each_lane_in_runs_too(
            places in prop::collection::vec((0_u64..4, 0_u64..4), 1..40),
            choices in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..6), 200),
        ) {
            let mut lanes = Lanes::default();
            for (number, (old, new)) in places.iter().enumerate() {
                lanes.push(Place::both(*old, *new), number);
            }
            let mut going: Vec<Vec<(Turn, Place, usize)>> = Vec::new();
            let mut gone: Vec<usize> = Vec::new();
            let mut choices = choices.into_iter();
            loop {
                let (choice, most) = choices.next().unwrap();
                loop {
                    let mut taken = 0;
                    let turns = lanes.run(|_, _, _, _| {
                        taken += 1;
                        if taken > most { Admission::Stop } else { Admission::Take }
                    });
                    if turns.is_empty() { break }
                    prop_assert!(turns.len() <= most);
                    let picked = turns.into_iter().map(|turn| {
                        let (place, number) = lanes.pick(turn).unwrap();
                        (turn, place, number)
                    });
                    let run: Vec<_> = picked.collect();
                    let busy: Vec<u64> = going.iter().flatten().flat_map(|(_, place, _)| place.lanes()).collect();
                    prop_assert!(run.iter().flat_map(|(_, place, _)| place.lanes()).all(|lane| !busy.contains(&lane)));
                    going.push(run);
                }
                if going.is_empty() { break }
                for (turn, place, number) in going.swap_remove(choice.index(going.len())) {
                    lanes.leave(turn, place);
                    gone.push(number);
                }
            }
            prop_assert_eq!(gone.len(), places.len());
            for lane in 0..4 {
                let in_lane: Vec<usize> =
                    gone.iter().copied().filter(|n| places[*n].0 == lane || places[*n].1 == lane).collect();
                prop_assert!(in_lane.is_sorted());
            }
        }

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
