//! What becomes of the deliveries of a request that failed.

use std::{collections::HashSet, time::Duration};

use crate::{delivery::lane::Place, store::Fate};

/// The wait of a delivery that has no reason to wait: it goes as soon as the hook and its endpoint allow.
pub(super) const AT_ONCE: Duration = Duration::ZERO;

/// A request that was not a success.
pub(super) struct Failure {
    /// What becomes of each delivery, and why, in order.
    pub(super) fates: Vec<(Fate, String)>,
    /// The pause that the endpoint has asked for, which all of the hook's deliveries keep.
    pub(super) pause: Option<Duration>,
}

/// Lines up the deliveries of a request that failed, given in order. Of those in one lane that are tried again, only
/// the first gets its time; the others wait behind it.
pub(super) fn line_up(members: impl IntoIterator<Item = (Place, Fate)>) -> Vec<Fate> {
    let mut taken: HashSet<u64> = HashSet::new();
    let fates = members.into_iter().map(|(place, fate)| {
        if fate == Fate::Dead {
            return fate;
        }
        let waits = place.lanes().any(|lane| taken.contains(&lane));
        taken.extend(place.lanes());
        if waits { Fate::Behind } else { fate }
    });
    fates.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_the_first_of_a_lane_has_a_time() {
        let (one, again, behind, dead) =
            (Place::One, Fate::Retry(SECOND), Fate::Behind, Fate::Dead);
        for (members, expected) in [
            (vec![(one(1), again), (one(2), again)], vec![again, again]),
            (
                vec![(one(1), again), (one(1), again), (one(2), again)],
                vec![again, behind, again],
            ),
            (
                vec![(one(1), again), (Place::both(1, 2), again), (one(2), again)],
                vec![again, behind, behind],
            ),
            (
                vec![(one(1), dead), (one(1), again), (one(1), dead)],
                vec![dead, again, dead],
            ),
        ] {
            assert_eq!(line_up(members), expected);
        }
    }
}
