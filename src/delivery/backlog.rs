//! Which lanes of a hook have deliveries in the table. Nothing may overtake those.
//!
//! A million rows may be parked for a hook, and memory has a budget, so lanes are counted in a limited number of buckets. One
//! that shares its bucket with a parked lane is parked too: it comes somewhat later, and never too early.

use std::collections::HashMap;

use super::lane::Place;

/// How many bits of a lane's hash tell its bucket. All buckets of a hook together are less than 10 MB.
const BUCKET_BITS: u32 = 18;

/// The parked deliveries of one hook, by lane.
#[derive(Debug, Default)]
pub struct Backlog {
    buckets: HashMap<u32, u64>,
}

impl Backlog {
    /// So many more deliveries are parked in this place.
    pub fn add(&mut self, place: Place, deliveries: u64) {
        for bucket in buckets(place) {
            *self.buckets.entry(bucket).or_default() += deliveries;
        }
    }

    /// All of these are parked too.
    pub fn extend(&mut self, more: Self) {
        for (bucket, deliveries) in more.buckets {
            *self.buckets.entry(bucket).or_default() += deliveries;
        }
    }

    /// One delivery that was parked in this place is so no more.
    pub fn remove(&mut self, place: Place) {
        for bucket in buckets(place) {
            if let Some(count) = self.buckets.get_mut(&bucket) {
                *count -= 1;
                if *count == 0 {
                    self.buckets.remove(&bucket);
                }
            }
        }
        if self.is_empty() {
            // What a large backlog took is given back.
            *self = Self::default();
        }
    }

    /// Would a delivery in this place overtake one that is parked?
    pub fn blocks(&self, place: Place) -> bool {
        buckets(place).any(|bucket| self.buckets.contains_key(&bucket))
    }

    /// Is nothing parked?
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

fn buckets(place: Place) -> impl Iterator<Item = u32> {
    // Lanes that are positions differ in few bits; a multiplication by 2^64 / φ spreads them (Knuth, 6.4).
    let bucket = |lane: u64| lane.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - BUCKET_BITS);
    place.lanes().map(move |lane| bucket(lane) as u32)
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

    #[test]
    fn a_lane_in_the_bucket_of_a_parked_one_is_blocked() {
        // Those of the rows 533 and 809 of public.book, with which a story sees that the second is sent all the same.
        let (parked, other) = (
            Place::One(0x4ac4_694d_20cc_c6ed),
            Place::One(0xcbe4_1e48_7bcb_476c),
        );
        let mut backlog = Backlog::default();
        backlog.add(parked, 1);
        assert!(backlog.blocks(other));
        backlog.remove(parked);
        assert!(!backlog.blocks(other));
    }

    #[test]
    fn a_million_parked_lanes_take_no_more_than_their_buckets_and_are_all_blocked() {
        let mut backlog = Backlog::default();
        let lane = |number: u64| Place::One(number.rotate_left(24));
        (0..1_000_000).for_each(|number| backlog.add(lane(number), 1));
        assert!(backlog.buckets.len() <= 1 << BUCKET_BITS);
        assert!((0..1_000_000).all(|number| backlog.blocks(lane(number))));
        (0..1_000_000).for_each(|number| backlog.remove(lane(number)));
        assert!(backlog.is_empty() && backlog.buckets.capacity() == 0);
    }
}
