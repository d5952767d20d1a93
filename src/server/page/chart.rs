//! Plots of the last minutes, in the measures that a template draws SVG with, and the table that says the same.

use std::time::Duration;

use serde::Serialize;

use crate::meters::histogram::{CELLS, quantile_ms};

/// The height and the width of a plot, in the units of its drawing.
const HEIGHT: f64 = 60.0;
const WIDTH: f64 = 360.0;
/// What a plot can show: the shortest of these in which all of it has room. So it shows something in the first minute.
const SPANS: [Duration; 3] = [
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
];
/// How many rows the table has at most.
const ROWS: u32 = 6;
/// What rates are of that are said in words.
const MINUTE: Duration = Duration::from_secs(60);

/// What happened in one step of time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// How many steps ago it was; the present one is 0.
    pub(super) ago: u32,
    pub(super) delivered: u64,
    pub(super) failed: u64,
    /// How long requests took, by buckets.
    pub(super) took: [u64; CELLS],
    /// How far the stream was behind, in seconds.
    pub(super) lag: Option<f64>,
}

/// All plots of one span.
#[derive(Debug, Serialize)]
pub(super) struct Charts {
    /// The span, for people.
    span: String,
    width: f64,
    height: f64,
    rates: Plot,
    times: Plot,
    lag: Option<Plot>,
    /// The same as a table, for whoever does not see the plots.
    rows: Vec<Row>,
    /// Whether anything is shown.
    is_empty: bool,
}

/// One plot.
#[derive(Debug, Serialize)]
struct Plot {
    /// Paths, each with its class.
    paths: Vec<Path>,
    /// The last values, in the order of the paths.
    now: Vec<String>,
    /// What the highest point stands for.
    most: String,
}

#[derive(Debug, Serialize)]
struct Path {
    class: &'static str,
    d: String,
}

#[derive(Debug, Serialize)]
struct Row {
    when: String,
    delivered: u64,
    failed: u64,
    median: String,
    slow: String,
    lag: String,
}

/// Draws what happened in `steps` of this length each. Steps that are missing had nothing.
pub(super) fn charts(steps: &[Step], step: Duration) -> Charts {
    let oldest = steps.iter().map(|step| step.ago + 1).max().unwrap_or(0);
    let [.., longest] = SPANS;
    let span = SPANS.into_iter().find(|span| *span >= step * oldest);
    let span = span.unwrap_or(longest);
    let count = u32::try_from(span.as_secs() / step.as_secs().max(1)).unwrap_or(u32::MAX);
    let grid = Grid { count };
    let shown: Vec<&Step> = steps.iter().filter(|step| step.ago < count).collect();
    Charts {
        span: words(span),
        width: WIDTH,
        height: HEIGHT,
        rates: rates(&shown, step, &grid),
        times: times(&shown, step, &grid),
        lag: lag(&shown, &grid),
        rows: rows(&shown, step, count),
        is_empty: shown.iter().all(|step| step.delivered + step.failed == 0),
    }
}

/// Where the steps of a plot are.
struct Grid {
    count: u32,
}

impl Grid {
    /// The left side of a step, and its width.
    fn step(&self, ago: u32) -> (f64, f64) {
        let width = WIDTH / f64::from(self.count);
        (WIDTH - width * f64::from(ago + 1), width)
    }
}

/// Bars of what was delivered, and of what failed on top of them.
fn rates(steps: &[&Step], step: Duration, grid: &Grid) -> Plot {
    let most = steps.iter().map(|step| step.delivered + step.failed).max();
    let most = most.unwrap_or(0);
    let height = |count: u64| count as f64 / most.max(1) as f64 * HEIGHT;
    let (mut delivered, mut failed) = (String::new(), String::new());
    for step in steps {
        let (x, width) = grid.step(step.ago);
        let (low, high) = (height(step.delivered), height(step.failed));
        bar(&mut delivered, x, width, HEIGHT, low);
        bar(&mut failed, x, width, HEIGHT - low, high);
    }
    let last = last_minute(steps, step);
    let per_second = |count: u64| rate(count as f64 / MINUTE.as_secs_f64());
    let sum = |of: fn(&Step) -> u64| last.iter().map(|step| of(step)).sum();
    Plot {
        paths: vec![
            Path {
                class: "bar good",
                d: delivered,
            },
            Path {
                class: "bar bad",
                d: failed,
            },
        ],
        now: vec![
            per_second(sum(|step| step.delivered)),
            per_second(sum(|step| step.failed)),
        ],
        most: rate(most as f64 / step.as_secs_f64()),
    }
}

/// Lines of the median answer time and of what 95 of 100 requests did not take longer than.
fn times(steps: &[&Step], step: Duration, grid: &Grid) -> Plot {
    let values = |share| {
        let values = steps.iter();
        values.map(move |step| (step.ago, quantile_ms(&step.took, share)))
    };
    let most = values(0.95).filter_map(|(_, value)| value);
    let most = most.fold(0.0, f64::max);
    let line = |share| line(values(share), most, grid);
    let last = sum_of(&last_minute(steps, step));
    Plot {
        paths: vec![
            Path {
                class: "line plain",
                d: line(0.5),
            },
            Path {
                class: "line dashed",
                d: line(0.95),
            },
        ],
        now: [0.5, 0.95]
            .map(|share| time(quantile_ms(&last, share)))
            .to_vec(),
        most: time(Some(most).filter(|most| *most > 0.0)),
    }
}

/// A line of how far the stream was behind; `None` where that is not known of any step.
fn lag(steps: &[&Step], grid: &Grid) -> Option<Plot> {
    let values = || steps.iter().map(|step| (step.ago, step.lag));
    let most = values().filter_map(|(_, value)| value).reduce(f64::max)?;
    let last = steps.iter().rev().find_map(|step| step.lag);
    Some(Plot {
        paths: vec![Path {
            class: "line plain",
            d: line(values(), most, grid),
        }],
        now: vec![seconds(last)],
        most: seconds(Some(most)),
    })
}

fn bar(path: &mut String, x: f64, width: f64, bottom: f64, height: f64) {
    if height > 0.0 {
        // Not thinner than can be seen, where there is little beside much.
        let height = height.max(0.75).min(bottom);
        path.push_str(&format!(
            "M{x:.1} {bottom:.1}v{:.1}h{:.1}v{height:.1}z",
            -height,
            (width * 0.9).max(0.5),
        ));
    }
}

/// A line through the values of steps, in order of time. It has a gap where a step has none, or is missing.
fn line(values: impl Iterator<Item = (u32, Option<f64>)>, most: f64, grid: &Grid) -> String {
    let (mut path, mut last) = (String::new(), None);
    for (ago, value) in values {
        let Some(value) = value else {
            last = None;
            continue;
        };
        let (x, width) = grid.step(ago);
        let height = if most > 0.0 { value / most } else { 0.0 };
        let y = HEIGHT - height * HEIGHT;
        // As wide as the step, so that one alone is seen too.
        let to = match last {
            Some(last) if last == ago + 1 => 'L',
            _ => 'M',
        };
        path.push_str(&format!("{to}{x:.1} {y:.1}h{width:.1}"));
        last = Some(ago);
    }
    path
}

fn rows(steps: &[&Step], step: Duration, count: u32) -> Vec<Row> {
    // Whole minutes.
    let minute = u32::try_from(MINUTE.as_secs() / step.as_secs().max(1)).unwrap_or(1);
    let each = count.div_ceil(ROWS).next_multiple_of(minute.max(1));
    let mut rows = Vec::new();
    for from in (0..count).step_by(each as usize).rev() {
        let part = |one: &&&Step| (from..from + each).contains(&one.ago);
        let part: Vec<&Step> = steps.iter().filter(part).copied().collect();
        if part.is_empty() {
            continue;
        }
        let took = sum_of(&part);
        rows.push(Row {
            when: match from {
                0 => format!("the last {}", words(step * each)),
                _ => format!(
                    "{} to {} ago",
                    length(step * (from + each)),
                    length(step * from)
                ),
            },
            delivered: part.iter().map(|step| step.delivered).sum(),
            failed: part.iter().map(|step| step.failed).sum(),
            median: time(quantile_ms(&took, 0.5)),
            slow: time(quantile_ms(&took, 0.95)),
            lag: seconds(part.iter().filter_map(|step| step.lag).reduce(f64::max)),
        });
    }
    rows
}

fn last_minute<'a>(steps: &[&'a Step], step: Duration) -> Vec<&'a Step> {
    let count = MINUTE.as_secs() / step.as_secs().max(1);
    let steps = steps.iter().copied();
    steps.filter(|step| u64::from(step.ago) < count).collect()
}

fn sum_of(steps: &[&Step]) -> [u64; CELLS] {
    let mut sum = [0; CELLS];
    for step in steps {
        for (sum, count) in sum.iter_mut().zip(step.took) {
            *sum += count;
        }
    }
    sum
}

fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".to_owned(),
        rate if rate < 0.1 => format!("{rate:.2}"),
        rate => format!("{rate:.1}"),
    }
}

fn time(ms: Option<f64>) -> String {
    match ms {
        None => "–".to_owned(),
        Some(ms) if ms >= 1000.0 => format!("{:.1} s", ms / 1000.0),
        Some(ms) if ms >= 10.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{ms:.1} ms"),
    }
}

fn seconds(lag: Option<f64>) -> String {
    lag.map_or_else(|| "–".to_owned(), |lag| format!("{lag:.0} s"))
}

/// A span after "the last": `5 min` or `minute`.
fn words(span: Duration) -> String {
    match span.as_secs() {
        3600 => "hour".to_owned(),
        60 => "minute".to_owned(),
        _ => length(span),
    }
}

/// A span by itself: `5 min`.
fn length(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds % 60 {
        0 => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(20);

    fn step(ago: u32, delivered: u64, failed: u64) -> Step {
        let mut took = [0; CELLS];
        took[6] = delivered + failed;
        Step {
            ago,
            delivered,
            failed,
            took,
            lag: Some(f64::from(ago)),
        }
    }

    #[test]
    fn the_highest_bar_is_as_high_as_the_plot_and_the_newest_at_its_right() {
        let charts = charts(&[step(2, 10, 10), step(0, 5, 0)], STEP);
        assert_eq!(charts.span, "5 min");
        let [delivered, failed] = &charts.rates.paths[..] else {
            panic!("two paths");
        };
        assert_eq!(
            delivered.d,
            "M288.0 60.0v-30.0h21.6v30.0zM336.0 60.0v-15.0h21.6v15.0z"
        );
        assert_eq!(failed.d, "M288.0 30.0v-30.0h21.6v30.0z");
        assert_eq!(charts.rates.now, ["0.2", "0.2"]);
        assert_eq!(charts.rates.most, "1.0");
    }

    #[test]
    fn a_line_has_a_gap_where_nothing_was_asked() {
        let mut none = step(2, 0, 0);
        none.took = [0; CELLS];
        let steps = [step(4, 1, 0), step(3, 1, 0), none, step(0, 1, 0)];
        let charts = charts(&steps, STEP);
        let median = &charts.times.paths[0].d;
        assert_eq!(median, "M240.0 13.8h24.0L264.0 13.8h24.0M336.0 13.8h24.0");
        assert_eq!(charts.times.now, ["75 ms", "98 ms"]);
        assert_eq!(charts.lag.unwrap().now, ["0 s"]);
    }

    #[test]
    fn the_span_is_the_shortest_with_room_for_all_and_an_hour_at_most() {
        for (ago, span) in [
            (0, "5 min"),
            (14, "5 min"),
            (15, "15 min"),
            (45, "hour"),
            (500, "hour"),
        ] {
            let charts = charts(&[step(ago, 1, 0)], STEP);
            assert_eq!(charts.span, span, "{ago}");
            assert_eq!(charts.is_empty, ago == 500);
        }
        let nothing = charts(&[], STEP);
        assert!(nothing.is_empty && nothing.rows.is_empty() && nothing.lag.is_none());
    }

    #[test]
    fn the_table_says_the_same_in_a_few_rows() {
        let steps: Vec<Step> = (0..15).rev().map(|ago| step(ago, 1, 1)).collect();
        let charts = charts(&steps, STEP);
        let rows: Vec<_> = charts
            .rows
            .iter()
            .map(|row| {
                (
                    row.when.as_str(),
                    row.delivered,
                    row.failed,
                    row.lag.as_str(),
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("5 min to 4 min ago", 3, 3, "14 s"),
                ("4 min to 3 min ago", 3, 3, "11 s"),
                ("3 min to 2 min ago", 3, 3, "8 s"),
                ("2 min to 1 min ago", 3, 3, "5 s"),
                ("the last minute", 3, 3, "2 s"),
            ]
        );
        assert_eq!(charts.rows[0].median, "75 ms");
    }
}
