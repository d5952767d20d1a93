//! Which lanes of a hook have parked deliveries, which nothing may overtake.
//!
//! A million rows may be parked for a hook, and memory has a budget, so lanes are counted in a limited number of
//! buckets. A lane that shares its bucket with a parked one is parked too: its deliveries come somewhat later, but
//! never too early.

use std::collections::HashMap;

use super::lane::Place;

/// How many bits of a lane's hash choose its bucket. More buckets would take more memory, and fewer would block more
/// lanes that need not be: with a million parked lanes, this number blocks one of five others.
const BUCKET_BITS: u32 = 22;
/// With more buckets than this in use, all buckets are counted in one array of 4 MiB.
const FEW: usize = 1 << 16;
/// Stands for a count that a byte cannot hold.
const CROWDED: u8 = u8::MAX;

/// The parked deliveries of one hook, by lane.
#[derive(Debug, Default)]
pub struct Backlog {
    /// How many deliveries there are, once for each of their lanes.
    parked: u64,
    /// The buckets in use, while there are few of them; then those that are crowded.
    sparse: HashMap<u32, u64>,
    /// All buckets, once there are many in use.
    dense: Option<Box<[u8]>>,
}

impl Backlog {
    /// Counts more deliveries that are parked in this place.
    pub fn add(&mut self, place: Place, deliveries: u64) {
        for bucket in buckets(place) {
            self.add_to(bucket, deliveries);
        }
    }

    /// Counts everything that another backlog has counted.
    pub fn extend(&mut self, more: Self) {
        if self.is_empty() {
            *self = more;
            return;
        }
        let dense = more.dense.iter().flatten().zip(0..);
        for (&deliveries, bucket) in dense.filter(|(count, _)| !matches!(**count, 0 | CROWDED)) {
            self.add_to(bucket, deliveries.into());
        }
        for (bucket, deliveries) in more.sparse {
            self.add_to(bucket, deliveries);
        }
    }

    /// One delivery that was parked in this place is not any more.
    pub fn remove(&mut self, place: Place) {
        for bucket in buckets(place) {
            self.remove_from(bucket);
        }
        if self.is_empty() {
            // Frees the memory of a large backlog.
            *self = Self::default();
        }
    }

    /// Whether a delivery in this place would overtake one that is parked.
    pub fn blocks(&self, place: Place) -> bool {
        buckets(place).any(|bucket| match &self.dense {
            Some(dense) => dense[bucket as usize] > 0,
            None => self.sparse.contains_key(&bucket),
        })
    }

    /// Whether nothing is parked.
    pub fn is_empty(&self) -> bool {
        self.parked == 0
    }

    fn add_to(&mut self, bucket: u32, deliveries: u64) {
        self.parked += deliveries;
        if let Some(small) = small(&mut self.dense, bucket) {
            let count = u64::from(*small) + deliveries;
            *small = u8::try_from(count).unwrap_or(CROWDED);
            if *small == CROWDED {
                self.sparse.insert(bucket, count);
            }
            return;
        }
        *self.sparse.entry(bucket).or_default() += deliveries;
        if self.dense.is_none() && self.sparse.len() > FEW {
            self.spread();
        }
    }

    /// Moves the counts into the array of all buckets.
    fn spread(&mut self) {
        let sparse = std::mem::take(self).sparse;
        self.dense = Some(vec![0; 1 << BUCKET_BITS].into());
        for (bucket, deliveries) in sparse {
            self.add_to(bucket, deliveries);
        }
    }

    fn remove_from(&mut self, bucket: u32) {
        if let Some(small) = small(&mut self.dense, bucket) {
            if *small > 0 {
                *small -= 1;
                self.parked -= 1;
            }
            return;
        }
        if let Some(count) = self.sparse.get_mut(&bucket) {
            *count -= 1;
            self.parked -= 1;
            if *count == 0 {
                self.sparse.remove(&bucket);
                if let Some(dense) = &mut self.dense {
                    dense[bucket as usize] = 0;
                }
            }
        }
    }
}

/// The count of a bucket in the array of all buckets; `None` where it is crowded, or there is no such array.
fn small(dense: &mut Option<Box<[u8]>>, bucket: u32) -> Option<&mut u8> {
    let count = dense.as_mut()?.get_mut(bucket as usize)?;
    (*count != CROWDED).then_some(count)
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
        // Those of the rows 698 and 2660 of public.book, with which a story sees that the second is sent all the same.
        let (parked, other) = (
            Place::One(0xc782_e89f_6919_6001),
            Place::One(0xed61_a060_f6f2_2f66),
        );
        let mut backlog = Backlog::default();
        backlog.add(parked, 1);
        assert!(backlog.blocks(other));
        backlog.remove(parked);
        assert!(!backlog.blocks(other));
    }

    /// Lanes that are positions, as those of hooks in no order are.
    fn lane(number: u64) -> Place {
        Place::One(number.rotate_left(24))
    }

    #[test]
    fn a_million_parked_lanes_take_no_more_than_their_buckets_and_are_all_blocked() {
        let mut backlog = Backlog::default();
        (0..1_000_000).for_each(|number| backlog.add(lane(number), 1));
        assert!(backlog.sparse.is_empty() && backlog.dense.is_some());
        assert!((0..1_000_000).all(|number| backlog.blocks(lane(number))));
        let others = (1_000_000..1_010_000).filter(|number| backlog.blocks(lane(*number)));
        assert!(others.count() < 2_500);
        (0..1_000_000).for_each(|number| backlog.remove(lane(number)));
        assert!(backlog.is_empty() && backlog.dense.is_none());
    }

    #[test]
    fn a_lane_with_more_deliveries_than_a_byte_counts_is_blocked_until_the_last_is_gone() {
        let mut backlog = Backlog::default();
        backlog.add(lane(0), 300);
        (0..=FEW as u64).for_each(|number| backlog.add(lane(number), 254));
        assert!(backlog.dense.is_some());
        let mut more = Backlog::default();
        more.add(lane(1), 1);
        more.extend(backlog);
        more.add(lane(1), 1);
        for (number, deliveries) in [(0, 554), (1, 256), (2, 254)] {
            for _ in 0..deliveries {
                assert!(more.blocks(lane(number)));
                more.remove(lane(number));
            }
            assert!(!more.blocks(lane(number)));
        }
        assert!(!more.is_empty());
    }
}
