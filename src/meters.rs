//! Figures of what a running rowhook does, counted where it happens and read by whoever watches it.
//!
//! Counting is a relaxed addition; nobody waits for a reader.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The upper bounds of the histogram of attempts, in seconds.
pub const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0,
];

/// All figures.
#[derive(Debug, Default)]
pub struct Meters {
    /// Events that some hook heard.
    pub events: AtomicU64,
    /// Attempts that were accepted.
    pub delivered: AtomicU64,
    /// Attempts that were not, and after which there is another.
    pub failed: AtomicU64,
    /// Deliveries that were given up.
    pub dead: AtomicU64,
    /// Deliveries that were parked.
    pub parked: AtomicU64,
    /// Hooks that were disabled.
    pub disabled: AtomicU64,
    /// Whether owners might see rows, when they were asked about.
    pub permission: Counts,
    /// Messages of SQL that were no events.
    pub misunderstood: AtomicU64,
    /// Spans that were not sent.
    pub spans_dropped: AtomicU64,
    /// Endpoints that are left alone for a while, now.
    pub breakers_open: AtomicI64,
    /// Requests that are being made, now.
    pub in_flight: AtomicI64,
    took: Histogram,
}

/// How often there was which answer, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// May see it.
    pub yes: AtomicU64,
    /// May not.
    pub no: AtomicU64,
    /// Nobody could tell.
    pub unknown: AtomicU64,
}

/// How long attempts took.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Meters {
    /// An attempt has ended.
    pub fn attempted(&self, delivered: bool, took: Duration) {
        let counter = if delivered {
            &self.delivered
        } else {
            &self.failed
        };
        counter.fetch_add(1, Relaxed);
        self.took.add(took);
    }

    /// How long attempts took.
    pub fn took(&self) -> &Histogram {
        &self.took
    }

    /// Counts one more of something that is going on, until what it returns is dropped.
    pub fn going_on(self: &Arc<Self>, gauge: fn(&Self) -> &AtomicI64) -> Going {
        gauge(self).fetch_add(1, Relaxed);
        Going {
            meters: Arc::clone(self),
            gauge,
        }
    }
}

/// Something that goes on until this is dropped.
#[derive(Debug)]
pub struct Going {
    meters: Arc<Meters>,
    gauge: fn(&Meters) -> &AtomicI64,
}

impl Drop for Going {
    fn drop(&mut self) {
        (self.gauge)(&self.meters).fetch_sub(1, Relaxed);
    }
}

impl Histogram {
    fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BUCKETS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = self.counts.get(at.unwrap_or(BUCKETS.len())) {
            count.fetch_add(1, Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// For each bound, how many took no longer; then how many there were, and how many seconds in all.
    pub fn cumulated(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut sum = 0;
        let bounds = BUCKETS.iter().zip(&self.counts).map(|(bound, count)| {
            sum += count.load(Relaxed);
            (*bound, sum)
        });
        let bounds: Vec<(f64, u64)> = bounds.collect();
        let beyond = self.counts[BUCKETS.len()].load(Relaxed);
        let seconds = self.micros.load(Relaxed) as f64 / 1e6;
        (bounds, sum + beyond, seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_cumulates_and_what_goes_on_is_counted_until_it_ends() {
        let meters = Arc::new(Meters::default());
        meters.attempted(true, Duration::from_micros(500));
        meters.attempted(false, Duration::from_millis(30));
        meters.attempted(false, Duration::from_secs(60));
        let (bounds, count, seconds) = meters.took().cumulated();
        assert_eq!(
            (bounds[0], bounds[4], bounds[5]),
            ((0.001, 1), (0.025, 1), (0.05, 2))
        );
        assert_eq!((bounds[11].1, count), (2, 3));
        assert!((seconds - 60.0305).abs() < 1e-6);
        let going = meters.going_on(|meters| &meters.in_flight);
        assert_eq!(meters.in_flight.load(Relaxed), 1);
        drop(going);
        assert_eq!(meters.in_flight.load(Relaxed), 0);
    }
}
