//! What the page's charts are made of: rates of the last ten minutes.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use crate::meters::Meters;

/// The time between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// The number of samples that are kept: ten minutes of them.
pub(super) const KEPT: usize = 60;

/// What happened between two looks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) delivered_per_second: f64,
    pub(super) failed_per_second: f64,
    pub(super) mean_ms: f64,
}

/// The last samples.
#[derive(Default)]
pub(super) struct Samples(Mutex<State>);

#[derive(Default)]
struct State {
    samples: VecDeque<Sample>,
    last: Option<[f64; 4]>,
}

impl Samples {
    /// Takes a sample of what was counted since the last.
    pub(super) fn take(&self, meters: &Meters) {
        let (_, count, seconds) = meters.took().cumulated();
        let now = [
            meters.delivered.load(Relaxed) as f64,
            meters.failed.load(Relaxed) as f64,
            count as f64,
            seconds,
        ];
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = state.last {
            let since: Vec<f64> = now.iter().zip(last).map(|(now, last)| now - last).collect();
            let pause = INTERVAL.as_secs_f64();
            state.samples.push_back(Sample {
                delivered_per_second: since[0] / pause,
                failed_per_second: since[1] / pause,
                mean_ms: if since[2] > 0.0 {
                    since[3] / since[2] * 1000.0
                } else {
                    0.0
                },
            });
            if state.samples.len() > KEPT {
                state.samples.pop_front();
            }
        }
        state.last = Some(now);
    }

    pub(super) fn read(&self) -> Vec<Sample> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.samples.iter().copied().collect()
    }
}
