//! Small charts of the last minutes, as SVG that a template can show.

use std::{
    collections::VecDeque,
    sync::{Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use serde::Serialize;

use crate::{lock::lock, meters::Meters};

/// How often a sample is taken, and how many are kept: ten minutes.
pub(in crate::server) const PAUSE: Duration = Duration::from_secs(10);
const KEPT: usize = 60;
const HEIGHT: f64 = 40.0;
const STEP: usize = 4;

/// What happened between two looks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) delivered_per_second: f64,
    pub(super) failed_per_second: f64,
    pub(super) mean_ms: f64,
}

/// The last samples.
#[derive(Default)]
pub(in crate::server) struct Samples(Mutex<State>);

#[derive(Default)]
struct State {
    samples: VecDeque<Sample>,
    last: Option<[f64; 4]>,
}

impl Samples {
    /// Takes a sample of what was counted since the last.
    pub(in crate::server) fn take(&self, meters: &Meters) {
        let (_, count, seconds) = meters.took().cumulated();
        let now = [
            meters.delivered.load(Relaxed) as f64,
            meters.failed.load(Relaxed) as f64,
            count as f64,
            seconds,
        ];
        let mut state = lock(&self.0);
        if let Some(last) = state.last {
            let since: Vec<f64> = now.iter().zip(last).map(|(now, last)| now - last).collect();
            let pause = PAUSE.as_secs_f64();
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
        let state = lock(&self.0);
        state.samples.iter().copied().collect()
    }
}

/// A chart: its bars, and what to say of it.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    width: usize,
    height: f64,
    bars: Vec<Bar>,
    now: String,
    most: String,
}

#[derive(Debug, Serialize)]
struct Bar {
    x: usize,
    y: f64,
    height: f64,
}

/// Bars of one figure of the samples, the newest at the right.
pub(super) fn bars(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Chart {
    let values: Vec<f64> = samples.iter().map(of).collect();
    let most = values.iter().copied().fold(0.0, f64::max);
    let from = KEPT.saturating_sub(values.len());
    let bars = values.iter().enumerate().map(|(at, value)| {
        let height = if most > 0.0 {
            value / most * HEIGHT
        } else {
            0.0
        };
        Bar {
            x: (from + at) * STEP,
            y: HEIGHT - height,
            height,
        }
    });
    Chart {
        width: KEPT * STEP,
        height: HEIGHT,
        bars: bars.collect(),
        now: format!("{:.1}", values.last().copied().unwrap_or(0.0)),
        most: format!("{most:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_is_as_high_as_the_chart_and_the_newest_at_its_right() {
        let samples: Vec<Sample> = [1.0, 4.0, 2.0]
            .map(|mean_ms| Sample {
                mean_ms,
                ..Sample::default()
            })
            .to_vec();
        let chart = bars(&samples, |sample| sample.mean_ms);
        let shown: Vec<(usize, f64)> = chart.bars.iter().map(|bar| (bar.x, bar.height)).collect();
        assert_eq!(shown, [(228, 10.0), (232, 40.0), (236, 20.0)]);
        assert_eq!((chart.now.as_str(), chart.most.as_str()), ("2.0", "4.0"));
        assert!(bars(&[], |sample| sample.mean_ms).bars.is_empty());
    }
}
