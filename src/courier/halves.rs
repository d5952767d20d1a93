//! The requests that a load is sent in: one, as long as the endpoint does not refuse what it carries. What it has
//! refused together goes in halves, one after the other, and at last alone, so that nobody suffers for another.
//!
//! Plain values: whoever makes the requests says how they ended.

use std::collections::HashSet;

use super::fate::{AT_ONCE, line_up};
use crate::{delivery::Delivery, store::Fate};

/// The deliveries of a load, each on its way to its end.
#[derive(Debug)]
pub(super) struct Halves {
    /// Those that have not been asked about, the next ones last.
    waiting: Vec<Vec<Delivery>>,
    /// Those of the request that is being made.
    going: Vec<Delivery>,
    ended: Vec<(Delivery, End)>,
    /// The lanes in which nothing may go before what has failed.
    held_up: HashSet<u64>,
}

/// How a delivery ended for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It has arrived.
    Arrived,
    /// It has not, and this becomes of it, for this reason.
    Left(Fate, String),
}

impl Halves {
    /// All of these go together at first. They are given in the order of their lanes.
    pub(super) fn of(deliveries: Vec<Delivery>) -> Self {
        Self {
            waiting: vec![deliveries],
            going: Vec::new(),
            ended: Vec::new(),
            held_up: HashSet::new(),
        }
    }

    /// The deliveries of the next request; `None` when there is none to be made. What would overtake another that has
    /// failed is left behind it.
    pub(super) fn next(&mut self) -> Option<&mut [Delivery]> {
        while let Some(together) = self.waiting.pop() {
            for delivery in together {
                if delivery
                    .place
                    .lanes()
                    .any(|lane| self.held_up.contains(&lane))
                {
                    let behind = "it waits for another".to_owned();
                    self.leave(delivery, Fate::Behind, behind);
                } else {
                    self.going.push(delivery);
                }
            }
            if !self.going.is_empty() {
                return Some(&mut self.going);
            }
        }
        None
    }

    /// The request was refused because of what it carries: each half is sent.
    pub(super) fn halve(&mut self) {
        let mut first = std::mem::take(&mut self.going);
        let second = first.split_off(first.len().div_ceil(2));
        self.waiting.extend([second, first]);
    }

    /// The request was a success.
    pub(super) fn arrived(&mut self) {
        let arrived = self.going.drain(..);
        self.ended
            .extend(arrived.map(|delivery| (delivery, End::Arrived)));
    }

    /// The request has failed: what becomes of each delivery, and why, in order.
    pub(super) fn failed(&mut self, fates: Vec<(Fate, String)>) {
        let failed = std::mem::take(&mut self.going);
        for (delivery, (fate, reason)) in failed.into_iter().zip(fates) {
            self.leave(delivery, fate, reason);
        }
    }

    /// No more requests are made: what is left goes as soon as it may.
    pub(super) fn stop(&mut self) {
        let going = std::mem::take(&mut self.going);
        let waiting = std::mem::take(&mut self.waiting);
        for delivery in waiting.into_iter().rev().flatten().chain(going) {
            let reason = "the requests before it have failed".to_owned();
            self.leave(delivery, Fate::Retry(AT_ONCE), reason);
        }
    }

    /// How each has ended, in the order of lanes. Of those that are left in one lane, only the first has a time.
    pub(super) fn into_ends(mut self) -> Vec<(Delivery, End)> {
        self.stop();
        let mut ended = self.ended;
        ended.sort_by_key(|(delivery, _)| delivery.position);
        let left = ended.iter_mut().filter_map(|(delivery, end)| match end {
            End::Left(fate, _) => Some((delivery.place, fate)),
            End::Arrived => None,
        });
        let left: Vec<_> = left.collect();
        let lined_up = line_up(left.iter().map(|(place, fate)| (*place, **fate)));
        for ((_, fate), lined_up) in left.into_iter().zip(lined_up) {
            *fate = lined_up;
        }
        ended
    }

    fn leave(&mut self, delivery: Delivery, fate: Fate, reason: String) {
        if fate != Fate::Dead {
            self.held_up.extend(delivery.place.lanes());
        }
        self.ended.push((delivery, End::Left(fate, reason)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{
        delivery::{lane::Place, whose::Whose},
        event::Position,
        postgres::Lsn,
    };

    const LATER: Fate = Fate::Retry(Duration::from_secs(5));

    fn delivery(number: u64, lane: u64) -> Delivery {
        Delivery {
            id: format!("msg_{number}").into(),
            event: "a".into(),
            position: Position {
                commit_lsn: Lsn(1),
                index: number,
            },
            commit_time: SystemTime::UNIX_EPOCH,
            place: Place::One(lane),
            body: "{}".into(),
            content_type: "application/json".into(),
            whose: Whose::Everyone,
            about: std::sync::Arc::default(),
            outline: None,
            attempts: 0,
            waited: Some(Duration::ZERO),
            unfit: None,
            asked: None,
            held: None,
        }
    }

    /// Sends these to an endpoint that refuses each request with one of `poison`. Returns the numbers of each request,
    /// and how each delivery ended.
    fn send(
        deliveries: &[(u64, u64)],
        poison: &[u64],
        fate: Fate,
    ) -> (Vec<Vec<u64>>, Vec<Option<Fate>>) {
        let deliveries = deliveries
            .iter()
            .map(|(number, lane)| delivery(*number, *lane));
        let (mut halves, mut requests) = (Halves::of(deliveries.collect()), Vec::new());
        while let Some(going) = halves.next() {
            let numbers = going.iter().map(|delivery| delivery.position.index);
            let numbers: Vec<u64> = numbers.collect();
            let is_refused = numbers.iter().any(|number| poison.contains(number));
            requests.push(numbers);
            match is_refused {
                false => halves.arrived(),
                true if requests.last().is_some_and(|request| request.len() > 1) => halves.halve(),
                true => halves.failed(vec![(fate, "400".to_owned())]),
            }
        }
        let ends = halves.into_ends().into_iter().map(|(_, end)| match end {
            End::Arrived => None,
            End::Left(fate, _) => Some(fate),
        });
        (requests, ends.collect())
    }

    #[test]
    fn what_is_refused_together_goes_in_halves_and_then_alone() {
        let all = [(1, 1), (2, 2), (3, 3), (4, 4)];
        let (requests, ends) = send(&all, &[], Fate::Dead);
        assert_eq!((requests, ends), (vec![vec![1, 2, 3, 4]], vec![None; 4]));
        let (requests, ends) = send(&all, &[3], Fate::Dead);
        assert_eq!(
            requests,
            [vec![1, 2, 3, 4], vec![1, 2], vec![3, 4], vec![3], vec![4]]
        );
        assert_eq!(ends, [None, None, Some(Fate::Dead), None]);
        let (requests, ends) = send(&all, &[1, 2, 3, 4], LATER);
        assert_eq!((requests.len(), ends), (7, vec![Some(LATER); 4]));
    }

    #[test]
    fn nothing_overtakes_what_is_tried_again_and_what_is_dead_holds_nobody_up() {
        let all = [(1, 1), (2, 2), (3, 1), (4, 1)];
        let (requests, ends) = send(&all, &[1], LATER);
        assert_eq!(requests, [vec![1, 2, 3, 4], vec![1, 2], vec![1], vec![2]]);
        let behind = Some(Fate::Behind);
        assert_eq!(ends, [Some(LATER), None, behind, behind]);
        let (_, ends) = send(&all, &[1], Fate::Dead);
        assert_eq!(ends, [Some(Fate::Dead), None, None, None]);
    }

    #[test]
    fn what_was_not_asked_about_goes_as_soon_as_it_may() {
        let mut halves = Halves::of(vec![delivery(1, 1), delivery(2, 2), delivery(3, 2)]);
        assert_eq!(halves.next().unwrap().len(), 3);
        halves.halve();
        assert_eq!(halves.next().unwrap().len(), 2);
        halves.failed(vec![(LATER, "500".into()), (LATER, "500".into())]);
        let ends = halves.into_ends().into_iter().map(|(_, end)| match end {
            End::Arrived => None,
            End::Left(fate, _) => Some(fate),
        });
        let ends: Vec<_> = ends.collect();
        assert_eq!(ends, [Some(LATER), Some(LATER), Some(Fate::Behind)]);
    }
}
