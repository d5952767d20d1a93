//! What the charts of the overview are drawn from: what all hooks together did in the last hour.

use std::{
    array,
    collections::VecDeque,
    sync::{Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use crate::{
    lock::lock,
    meters::{Meters, histogram::CELLS},
};

/// The time between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// The number of samples that are kept, which makes an hour.
const KEPT: usize = 360;

/// What happened in one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) delivered: u64,
    pub(super) failed: u64,
    /// How long requests took, by buckets.
    pub(super) took: [u64; CELLS],
    /// How far the stream was behind at its end, in seconds.
    pub(super) lag: f64,
}

/// The last samples, oldest first.
#[derive(Default)]
pub(super) struct Samples(Mutex<State>);

#[derive(Default)]
struct State {
    samples: VecDeque<Sample>,
    /// The totals when the last sample was taken.
    last: Option<Totals>,
}

/// Counters that only grow.
#[derive(Clone, Copy)]
struct Totals {
    delivered: u64,
    failed: u64,
    took: [u64; CELLS],
}

impl Samples {
    /// Takes a sample of what was counted since the last one, and of how far the stream is behind.
    pub(super) fn take(&self, meters: &Meters, lag: Duration) {
        let now = Totals {
            delivered: meters.delivered.load(Relaxed),
            failed: meters.failed.load(Relaxed),
            took: meters.took().counts(),
        };
        let mut state = lock(&self.0);
        if let Some(last) = state.last {
            state.samples.push_back(Sample::between(&last, &now, lag));
            if state.samples.len() > KEPT {
                state.samples.pop_front();
            }
        }
        state.last = Some(now);
    }

    /// The samples, oldest first.
    pub(super) fn read(&self) -> Vec<Sample> {
        let state = lock(&self.0);
        state.samples.iter().copied().collect()
    }
}

impl Sample {
    fn between(last: &Totals, now: &Totals, lag: Duration) -> Self {
        Self {
            delivered: now.delivered.saturating_sub(last.delivered),
            failed: now.failed.saturating_sub(last.failed),
            took: array::from_fn(|at| now.took[at].saturating_sub(last.took[at])),
            lag: lag.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_what_was_counted_since_the_one_before() {
        let (samples, meters) = (Samples::default(), Meters::default());
        meters.attempted(true, Duration::from_millis(1));
        samples.take(&meters, Duration::ZERO);
        assert!(samples.read().is_empty());
        meters.attempted(true, Duration::from_millis(1));
        meters.attempted(false, Duration::from_millis(30));
        samples.take(&meters, Duration::from_secs(7));
        samples.take(&meters, Duration::ZERO);
        let found = samples.read();
        let counts: Vec<_> = found
            .iter()
            .map(|sample| (sample.delivered, sample.failed, sample.lag))
            .collect();
        assert_eq!(counts, [(1, 1, 7.0), (0, 0, 0.0)]);
        assert_eq!(found[0].took.iter().sum::<u64>(), 2);
        for _ in 0..2 * KEPT {
            samples.take(&meters, Duration::ZERO);
        }
        assert_eq!(samples.read().len(), KEPT);
    }
}
