//! Small bar charts of the last minutes, in the measures that a template draws SVG with.

use serde::Serialize;

use crate::server::samples::{KEPT, Sample};

/// The height of a chart, and the width of a bar with its gap, in pixels.
const HEIGHT: f64 = 40.0;
const STEP: usize = 4;

/// The bars of a chart, and the texts beside it.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    width: usize,
    height: f64,
    bars: Vec<Bar>,
    /// The newest value.
    now: String,
    /// The highest value.
    most: String,
}

#[derive(Debug, Serialize)]
struct Bar {
    x: usize,
    y: f64,
    height: f64,
}

/// Draws one figure of the samples, the newest at the right. The highest bar is as high as the chart.
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
