//! What the page's charts are drawn from: rates of the last ten minutes.

use std::{
    collections::VecDeque,
    sync::{Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use crate::{lock::lock, meters::Meters};

/// The time between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// The number of samples that are kept, which makes ten minutes.
pub(super) const KEPT: usize = 60;

/// What happened in one interval.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) delivered_per_second: f64,
    pub(super) failed_per_second: f64,
    pub(super) mean_ms: f64,
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
    delivered: f64,
    failed: f64,
    requests: f64,
    seconds: f64,
}

impl Samples {
    /// Takes a sample of what was counted since the last one.
    pub(super) fn take(&self, meters: &Meters) {
        let (_, requests, seconds) = meters.took().cumulated();
        let now = Totals {
            delivered: meters.delivered.load(Relaxed) as f64,
            failed: meters.failed.load(Relaxed) as f64,
            requests: requests as f64,
            seconds,
        };
        let mut state = lock(&self.0);
        if let Some(last) = state.last {
            state.samples.push_back(Sample::between(&last, &now));
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
    fn between(last: &Totals, now: &Totals) -> Self {
        let interval = INTERVAL.as_secs_f64();
        let requests = now.requests - last.requests;
        let mean_ms = if requests > 0.0 {
            (now.seconds - last.seconds) / requests * 1000.0
        } else {
            0.0
        };
        Self {
            delivered_per_second: (now.delivered - last.delivered) / interval,
            failed_per_second: (now.failed - last.failed) / interval,
            mean_ms,
        }
    }
}
