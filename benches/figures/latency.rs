//! The latency from a commit, as Postgres stamps it, to the receiver's handler, on one machine and by one clock. It
//! includes the time in which Postgres makes the commit durable.

use std::time::Duration;

use anyhow::Result;
use harness::SECRET;

use super::{
    Scale, drain,
    figure::{Figure, Samples},
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, EVENTS, Source},
    writer,
};

/// Rows in each commit at the higher of the two rates. With one row in each, the commits alone would keep the machine
/// busy.
const TOGETHER: i64 = 10;

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut source = Source::new("latency", BOOK, EVENTS)?;
    let mut receivers = Receivers::open(1)?;
    let backlog = source.write(scale.events, 1, 100)?;
    let hooks = drain::hooks_by_owner(&receivers, 1, "");
    let mut drained = Samples::default();
    for _ in 0..scale.rounds {
        drained.push(drain::drain(&mut source, &backlog, &mut receivers, &hooks)?.rate);
    }
    let drained = drained.median();
    let mut figures = watch(
        scale,
        &mut source,
        &mut receivers,
        "500 commits/s",
        500.0,
        1,
    )?;
    let half = format!("half of the drain's rate ({:.0} events/s)", drained / 2.0);
    let commits = drained / 2.0 / TOGETHER as f64;
    figures.extend(watch(
        scale,
        &mut source,
        &mut receivers,
        &half,
        commits,
        TOGETHER,
    )?);
    source.finish()?;
    Ok(figures)
}

fn watch(
    scale: &Scale,
    source: &mut Source,
    receivers: &mut Receivers,
    rate: &str,
    commits: f64,
    rows: i64,
) -> Result<Vec<Figure>> {
    let slot = source.new_slot()?;
    let target = receivers.url(0);
    let hooks = format!(
        "{EVENTS}
[[hooks]]
name = \"timed\"
events = [\"book.added\"]
target = \"{target}timed\"
secret = \"{SECRET}\"
payload = \"standard\"
"
    );
    let (sidecar, _) = Sidecar::attach(&source.config(&slot, &hooks))?;
    // Opens the connections and warms the caches, which is not to be measured.
    writer::write(source, commits, rows, Duration::from_secs(1))?;
    let [mut median, mut late, mut later, mut latest] = [(); 4].map(|()| Samples::default());
    let [mut took, mut took_late, mut took_later] = [(); 3].map(|()| Samples::default());
    for _ in 0..scale.rounds {
        receivers.reset()?;
        let commits = writer::write(source, commits, rows, scale.watch)?;
        receivers.until(commits.0.len() as u64 * rows.unsigned_abs())?;
        let latencies = receivers.latencies()?;
        median.push(latencies.median());
        late.push(latencies.part(0.99));
        later.push(latencies.part(0.999));
        latest.push(latencies.max());
        took.push(commits.median());
        took_late.push(commits.part(0.99));
        took_later.push(commits.part(0.999));
    }
    sidecar.stop()?;
    source.drop_slot(&slot)?;
    let name = |what: &str| format!("latency at {rate}, {what}");
    Ok(vec![
        Figure::new(name("p50"), "ms", median).at_most(2.0).with(
            "the commit itself, as its session sees it, p50",
            "ms",
            took,
        ),
        Figure::new(name("p99"), "ms", late).at_most(10.0).with(
            "the commit itself, p99",
            "ms",
            took_late,
        ),
        Figure::new(name("p99.9"), "ms", later).at_most(30.0).with(
            "the commit itself, p99.9",
            "ms",
            took_later,
        ),
        Figure::new(name("max"), "ms", latest),
    ])
}
