//! One dead and one slow endpoint among a hundred: what they cost the others, and how much WAL the slot keeps.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use super::{
    Scale, drain,
    figure::{Figure, Samples},
    receiver::Receivers,
    sidecar::Sidecar,
    source::{self, BOOK, EVENTS, Source},
    writer,
};

const HOOKS: usize = 100;
/// The endpoints that are healthy in every run.
const HEALTHY: usize = 98;
const SLOW: Duration = Duration::from_secs(5);
/// Commits a second while the WAL is watched.
const COMMITS: f64 = 500.0;
/// How often the slot is read.
const INTERVAL: Duration = Duration::from_millis(200);

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut source = Source::new("strangers", BOOK, EVENTS)?;
    let backlog = source.write(scale.events, 1, HOOKS as u64)?;
    let healthy_rows = backlog.rows * HEALTHY as u64 / HOOKS as u64;
    let mut healthy = Receivers::open(HEALTHY)?;
    let others = Receivers::open(HOOKS - HEALTHY)?;
    let slow = Receivers::slow(1, SLOW)?;
    let dead = dead_url()?;
    let good = hooks(&healthy, [&others.url(0), &others.url(1)]);
    let bad = hooks(&healthy, [&dead, &slow.url(0)]);
    let (mut alone, mut beside) = (Samples::default(), Samples::default());
    for round in 0..scale.rounds {
        let mut runs = [(&good, &mut alone), (&bad, &mut beside)];
        // The second run has warmer caches and a warmer machine, so they take turns.
        if round % 2 == 1 {
            runs.reverse();
        }
        for (config, samples) in runs {
            let slot = source.copy_slot()?;
            healthy.reset()?;
            let (sidecar, attached) = Sidecar::attach(&source.config(&slot, config))?;
            let done = healthy.until(healthy_rows)?;
            sidecar.stop_despite_warnings()?;
            source.drop_slot(&slot)?;
            // What was parked must not be sent in the next round.
            source.sql("truncate rowhook.delivery")?;
            samples.push(healthy_rows as f64 / done.duration_since(attached)?.as_secs_f64());
        }
    }
    let (kept_anyway, _) = wal_kept(scale, &mut source, &good)?;
    let (kept, unconfirmed) = wal_kept(scale, &mut source, &bad)?;
    source.finish()?;
    Ok(vec![
        Figure::ratio(
            "rate of 98 hooks beside a dead and a 5-second one",
            "events/s",
            ("beside them", &beside),
            ("all healthy", &alone),
        )
        .at_least(0.95),
        Figure::new(
            "WAL kept beside a dead and a 5-second endpoint at 500 commits/s, the most",
            "MB",
            kept,
        )
        .at_most(16.0)
        .with("of it not yet confirmed", "MB", unconfirmed)
        .with("kept while all are healthy", "MB", kept_anyway),
    ])
}

/// The configuration: the last two hooks go to `others`.
fn hooks(healthy: &Receivers, others: [&str; 2]) -> String {
    let mut config = drain::hooks_by_owner(healthy, HOOKS, "");
    // The last two hooks have no healthy port of their own and share the first two. Point them to the other URLs.
    for (number, other) in (HEALTHY..HOOKS).zip(others) {
        let (name, url) = (format!("name = \"h{number}\""), healthy.url(number));
        if let Some(at) = config.find(&name) {
            let tail = config.split_off(at);
            config.push_str(&tail.replacen(&url, other, 1));
        }
    }
    config
}

/// The most WAL that the slot kept in each round, and the most that was not yet confirmed, in MB.
fn wal_kept(scale: &Scale, source: &mut Source, config: &str) -> Result<(Samples, Samples)> {
    let slot = source.new_slot()?;
    let (sidecar, _) = Sidecar::attach(&source.config(&slot, config))?;
    let (mut kept, mut unconfirmed) = (Samples::default(), Samples::default());
    for _ in 0..scale.rounds {
        let done = Arc::new(AtomicBool::new(false));
        let (stop, url, slot) = (Arc::clone(&done), source.url.clone(), slot.clone());
        let watching = thread::spawn(move || watch_slot(&url, &slot, &stop));
        writer::write(source, COMMITS, 1, scale.watch)?;
        done.store(true, Ordering::Relaxed);
        let watched = watching
            .join()
            .map_err(|_| anyhow!("the look at the slot failed"))??;
        kept.push(watched.kept);
        unconfirmed.push(watched.unconfirmed);
    }
    sidecar.stop_despite_warnings()?;
    source.drop_slot(&slot)?;
    Ok((kept, unconfirmed))
}

/// What was seen of a slot while rows were written.
#[derive(Default)]
pub struct Watched {
    /// The most WAL that it kept, in MB.
    pub kept: f64,
    /// The most WAL that was not yet confirmed, in MB.
    pub unconfirmed: f64,
    /// The longest time in which the confirmed position stood still, in seconds.
    pub stood_still: f64,
}

/// Reads the slot until `stop`.
pub fn watch_slot(url: &str, slot: &str, stop: &AtomicBool) -> Result<Watched> {
    let sql = "select (pg_current_wal_lsn() - restart_lsn)::float8, (pg_current_wal_lsn() - confirmed_flush_lsn)::float8,
                   confirmed_flush_lsn::text
               from pg_replication_slots where slot_name = $1";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = source::open(url).await?;
        let mut watched = Watched::default();
        let (mut position, mut moved) = (String::new(), Instant::now());
        while !stop.load(Ordering::Relaxed) {
            let row = client.query_one(sql, &[&slot]).await?;
            watched.kept = watched.kept.max(row.try_get::<_, f64>(0)? / 1e6);
            watched.unconfirmed = watched.unconfirmed.max(row.try_get::<_, f64>(1)? / 1e6);
            watched.stood_still = watched.stood_still.max(moved.elapsed().as_secs_f64());
            let confirmed: String = row.try_get(2)?;
            if confirmed != position {
                (position, moved) = (confirmed, Instant::now());
            }
            tokio::time::sleep(INTERVAL).await;
        }
        Ok(watched)
    })
}

/// A URL on whose port nobody listens.
pub fn dead_url() -> Result<String> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok(format!("http://{address}/"))
}
