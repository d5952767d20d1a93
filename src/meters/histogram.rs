//! How long attempts took, in buckets.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The upper bounds of the buckets of [`Histogram`], in seconds.
pub const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0,
];
/// The number of buckets, with that of what took longer than all bounds.
pub const CELLS: usize = BUCKETS.len() + 1;

/// How long attempts took, as a histogram.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; CELLS],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one that took so long.
    pub fn add(&self, took: Duration) {
        if let Some(count) = self.counts.get(cell(took)) {
            count.fetch_add(1, Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// How many are in each bucket.
    pub fn counts(&self) -> [u64; CELLS] {
        array::from_fn(|at| self.counts[at].load(Relaxed))
    }

    /// The cumulative buckets: each bound of [`BUCKETS`] with the number of attempts that took no longer. Then the
    /// number of all attempts, and the sum of their durations in seconds.
    pub fn cumulated(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let counts = self.counts();
        let mut sum = 0;
        let bounds = BUCKETS.iter().zip(&counts).map(|(bound, count)| {
            sum += count;
            (*bound, sum)
        });
        let bounds: Vec<(f64, u64)> = bounds.collect();
        let seconds = self.micros.load(Relaxed) as f64 / 1e6;
        (bounds, counts.iter().sum(), seconds)
    }
}

/// The bucket of a duration, from 0.
pub fn cell(took: Duration) -> usize {
    let seconds = took.as_secs_f64();
    let at = BUCKETS.iter().position(|bound| seconds <= *bound);
    at.unwrap_or(BUCKETS.len())
}

/// About how long at most a share of these took, in milliseconds, where `share` is from 0 to 1: as if those of a bucket
/// were evenly spread in it. `None` where there are none. What took longer than all bounds counts as the last bound.
pub fn quantile_ms(counts: &[u64; CELLS], share: f64) -> Option<f64> {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = share.clamp(0.0, 1.0) * all as f64;
    let (mut below, mut from) = (0.0, 0.0);
    for (count, to) in counts.iter().zip(BUCKETS) {
        let count = *count as f64;
        if count > 0.0 && below + count >= wanted {
            let part = ((wanted - below) / count).clamp(0.0, 1.0);
            return Some((from + (to - from) * part) * 1000.0);
        }
        below += count;
        from = to;
    }
    Some(from * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_cumulates() {
        let histogram = Histogram::default();
        for took in [
            Duration::from_micros(500),
            Duration::from_millis(30),
            Duration::from_secs(60),
        ] {
            histogram.add(took);
        }
        let (bounds, count, seconds) = histogram.cumulated();
        assert_eq!(
            (bounds[0], bounds[4], bounds[5]),
            ((0.001, 1), (0.025, 1), (0.05, 2))
        );
        assert_eq!((bounds[11].1, count), (2, 3));
        assert!((seconds - 60.0305).abs() < 1e-6);
        assert_eq!(histogram.counts()[CELLS - 1], 1);
    }

    #[test]
    fn a_quantile_is_within_its_bucket() {
        let counts = |pairs: &[(usize, u64)]| {
            let mut counts = [0; CELLS];
            pairs.iter().for_each(|(at, count)| counts[*at] = *count);
            counts
        };
        for (of, share, expected) in [
            (counts(&[]), 0.5, None),
            (counts(&[(0, 10)]), 0.5, Some(0.5)),
            (counts(&[(6, 4)]), 0.5, Some(75.0)),
            (counts(&[(6, 4)]), 1.0, Some(100.0)),
            (counts(&[(0, 95), (8, 5)]), 0.95, Some(1.0)),
            (counts(&[(0, 90), (8, 10)]), 0.95, Some(375.0)),
            (counts(&[(CELLS - 1, 3)]), 0.5, Some(15_000.0)),
        ] {
            let found = quantile_ms(&of, share);
            let is_near = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-6,
                (found, expected) => found == expected,
            };
            assert!(is_near, "{of:?} {share}: {found:?}, not {expected:?}");
        }
    }
}
