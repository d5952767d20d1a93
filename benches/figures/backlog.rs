//! A backlog that was parked because its endpoint was away, drained once that is back: the rate beside a drain of what
//! was never parked, and what another hook notices of it.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use harness::{DEADLINE, SECRET};

use super::{
    Scale, drain,
    figure::{Figure, Samples},
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, EVENTS, Source},
    strangers::dead_url,
    writer,
};

/// Commits a second that the other hook hears.
const COMMITS: f64 = 50.0;
/// Parking takes its time; it is not measured here.
const PATIENCE: Duration = Duration::from_secs(600);
const GLANCE: Duration = Duration::from_millis(100);

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let rows = scale.large;
    let mut receivers = Receivers::open(1)?;
    let mut other = Receivers::open(1)?;
    let mut flowing = Source::new("backlog_flowing", BOOK, EVENTS)?;
    let backlog = flowing.write(scale.events, 1, 100)?;
    let one = drain::hooks_by_owner(&receivers, 1, "");
    let mut drained = Samples::default();
    for _ in 0..scale.rounds {
        drained.push(drain::drain(&mut flowing, &backlog, &mut receivers, &one)?.rate);
    }
    flowing.finish()?;

    let mut source = Source::new("backlog", BOOK, EVENTS)?;
    let events = EVENTS.replace("book.created\"", "book.created+\"");
    let (dead, back) = (dead_url()?, receivers.url(0));
    source.sql(&format!(
        "insert into rowhook.hook (owner, event, target, secret, concurrency)
         values ('away', 'book.added', '{dead}', '{SECRET}', 64);
         insert into rowhook.hook (owner, event, target, secret, payload)
         values ('other', 'book.added', '{}timed', '{SECRET}', 'standard')",
        other.url(0)
    ))?;
    let slot = source.new_slot()?;
    let (sidecar, _) = Sidecar::attach(&source.config(&slot, &events))?;
    let [mut late_alone, mut late_beside, mut rate, mut most] =
        [(); 4].map(|()| Samples::default());
    late_alone.push(late(&source, &mut other, scale.watch)?);

    source.write(rows, 1, 1)?;
    until(
        &source,
        &format!("select count(*) >= {rows} from rowhook.delivery where state = 'parked'"),
    )?;
    other.until(rows)?;
    // Postgres cleans and analyzes by itself elsewhere; here it is told to, so that each run finds the same.
    source.sql("vacuum analyze rowhook.delivery")?;

    receivers.reset()?;
    source.sql(&format!(
        "update rowhook.hook set target = '{back}' where owner = 'away'"
    ))?;
    let draining = thread::spawn(move || -> Result<(f64, Receivers)> {
        let begun = Instant::now();
        while receivers.count()? < rows {
            ensure!(begun.elapsed() < PATIENCE, "not all of it was sent");
            thread::sleep(GLANCE);
        }
        let last = receivers.until(rows)?;
        let took = last.duration_since(receivers.first()?)?;
        Ok((rows as f64 / took.as_secs_f64(), receivers))
    });
    while !draining.is_finished() {
        late_beside.push(late(&source, &mut other, scale.watch)?);
    }
    let drained_again = draining.join();
    let (drained_again, _receivers) = drained_again.map_err(|_| anyhow!("the wait failed"))??;
    rate.push(drained_again);
    most.push(sidecar.peak()?);
    sidecar.stop_despite_warnings()?;
    source.drop_slot(&slot)?;
    source.finish()?;
    Ok(vec![
        Figure::ratio(
            format!("{rows} parked deliveries once the endpoint is back, beside a drain"),
            "events/s",
            ("parked before", &rate),
            ("never parked", &drained),
        )
        .at_least(0.5),
        Figure::ratio(
            "latency of another hook meanwhile, p99",
            "ms",
            ("while they are sent", &late_beside),
            ("before", &late_alone),
        )
        .at_most(1.5),
        Figure::new("most memory meanwhile", "MiB", most).at_most(96.0),
    ])
}

/// The p99 from commit to arrival at the other hook, in ms.
fn late(source: &Source, other: &mut Receivers, watch: Duration) -> Result<f64> {
    other.reset()?;
    let commits = writer::write(source, COMMITS, 1, watch)?;
    other.until(commits.0.len() as u64)?;
    Ok(other.latencies()?.part(0.99))
}

/// Waits until the query returns true.
fn until(source: &Source, sql: &str) -> Result<()> {
    let begun = Instant::now();
    while source.ask(sql).context("look")? != "t" {
        ensure!(begun.elapsed() < 5 * DEADLINE, "never came true: {sql}");
        thread::sleep(GLANCE);
    }
    Ok(())
}
