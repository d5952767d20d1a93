//! A healthy owner beside a hundred hostile hooks of another, and beside a crowd: what these cost the healthy one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};
use harness::{Hostile, Kind, NameServer};

use super::{
    Scale,
    figure::{Figure, Samples},
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, EVENTS, Source},
    strangers::{Watched, watch_slot},
    writer,
};

const HOOKS: usize = 100;
/// Commits a second, each heard by all hooks.
const COMMITS: f64 = 20.0;
/// Longer than an attempt may take, so that the slot is seen to move although endpoints keep their requests, and long
/// enough for a p99.
const WATCH: Duration = Duration::from_secs(30);
/// How long the confirmed position may stand still: the 15 s that an attempt may take, and a few for what follows it.
const HELD: f64 = 20.0;
/// The part of the events of a full run that the crowd has hooks.
const PART: u64 = 10;

/// The latencies of the healthy owner in each round.
#[derive(Default)]
struct Latency {
    median: Samples,
    late: Samples,
    latest: Samples,
}

impl Latency {
    fn push(&mut self, latencies: &Samples) {
        self.median.push(latencies.median());
        self.late.push(latencies.part(0.99));
        self.latest.push(latencies.max());
    }
}

/// The healthy owner's receiver, and the database where all hooks are.
struct Scene<'a> {
    source: &'a Source,
    healthy: Receivers,
    slot: String,
    watch: Duration,
}

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let events = EVENTS.replace("book.created\"", "book.created+\"");
    let events = format!("{events}\"crowd.called\" = \"custom\"\n");
    let mut source = Source::new("hostile", BOOK, &events)?;
    let slot = source.new_slot()?;
    let (hostile, names) = source.block_on(async {
        let names = NameServer::of(&[]).await;
        (Hostile::open().await, names)
    });
    let healthy = Receivers::open(1)?;
    source.sql(&format!(
        "insert into rowhook.hook (owner, event, target, payload)
         values ('7', 'book.added', '{}timed', 'standard')",
        healthy.url(0)
    ))?;
    let resolver = format!("resolver = [\"{}\"]", names.address());
    let config = source.config(
        &slot,
        &format!("{resolver}\n{events}\n[limits]\ntemplate = true\n"),
    );
    let (sidecar, _) = Sidecar::attach(&config)?;
    let mut scene = Scene {
        source: &source,
        healthy,
        slot: slot.clone(),
        watch: scale.watch.max(WATCH),
    };
    let [mut alone, mut beside] = [(); 2].map(|()| Latency::default());
    let [mut unconfirmed, mut stood_still, mut usually] = [(); 3].map(|()| Samples::default());
    for _ in 0..scale.rounds {
        let (latencies, watched) = scene.watch()?;
        alone.push(&latencies);
        usually.push(watched.stood_still);
        make_hooks(&source, &hostile.kinds)?;
        let (latencies, watched) = scene.watch()?;
        beside.push(&latencies);
        unconfirmed.push(watched.unconfirmed);
        stood_still.push(watched.stood_still);
        source.sql("delete from rowhook.hook where owner = '8'")?;
    }
    let mut figures = vec![
        Figure::ratio(
            format!("latency beside {HOOKS} hostile hooks, p99"),
            "ms",
            ("beside them", &beside.late),
            ("alone", &alone.late),
        )
        .at_most(2.0),
        Figure::ratio(
            "the same, p50",
            "ms",
            ("beside them", &beside.median),
            ("alone", &alone.median),
        ),
        Figure::new(
            "the longest time in which the confirmed position stood still meanwhile",
            "s",
            stood_still,
        )
        .at_most(HELD)
        .with("without them", "s", usually)
        .with("WAL not confirmed, the most", "MB", unconfirmed),
    ];
    figures.push(crowd(scale, &mut scene)?);
    sidecar.stop_despite_warnings()?;
    source.drop_slot(&slot)?;
    source.finish()?;
    Ok(figures)
}

impl Scene<'_> {
    /// The latencies of the healthy owner while rows are written, and what was seen of the slot.
    fn watch(&mut self) -> Result<(Samples, Watched)> {
        // Opens the connections and warms the caches, which is not to be measured.
        let warm = writer::write(self.source, COMMITS, 1, Duration::from_secs(1))?;
        self.healthy.until(warm.0.len() as u64)?;
        self.watch_at_once()
    }

    fn watch_at_once(&mut self) -> Result<(Samples, Watched)> {
        self.healthy.reset()?;
        let done = Arc::new(AtomicBool::new(false));
        let (stop, url, slot) = (
            Arc::clone(&done),
            self.source.url.clone(),
            self.slot.clone(),
        );
        let watching = thread::spawn(move || watch_slot(&url, &slot, &stop));
        let commits = writer::write(self.source, COMMITS, 1, self.watch)?;
        self.healthy.until(commits.0.len() as u64)?;
        let latencies = self.healthy.latencies()?;
        done.store(true, Ordering::Relaxed);
        let watched = watching.join();
        let watched = watched.map_err(|_| anyhow!("the look at the slot failed"))??;
        Ok((latencies, watched))
    }
}

/// Makes the hostile hooks, of these kinds in turns. What the table refuses harms nobody either.
fn make_hooks(source: &Source, kinds: &[Kind]) -> Result<()> {
    for (number, kind) in (0..HOOKS).zip(kinds.iter().cycle()) {
        let insert = kind.insert(number, "8").replace('\'', "''");
        source.sql(&format!(
            "do $$ begin execute '{insert}'; exception when check_violation then null; end $$"
        ))?;
    }
    Ok(())
}

/// The healthy owner's longest wait while a crowd of hooks hears one event, beside how long the crowd takes.
fn crowd(scale: &Scale, scene: &mut Scene<'_>) -> Result<Figure> {
    let hooks = scale.events / PART;
    let mut receivers = Receivers::open(1)?;
    scene.source.sql(&format!(
        "insert into rowhook.hook (owner, event, target)
         select '9', 'crowd.called', '{}' || n from generate_series(1, {hooks}) as n",
        receivers.url(0)
    ))?;
    let (mut beside, mut alone, mut took) =
        (Latency::default(), Latency::default(), Samples::default());
    for _ in 0..scale.rounds {
        alone.push(&scene.watch()?.0);
        receivers.reset()?;
        let call = "select rowhook.emit('crowd.called', '{}', '9')";
        scene.source.sql(call)?;
        let called = std::time::SystemTime::now();
        let (latencies, _) = scene.watch_at_once()?;
        beside.push(&latencies);
        let last = receivers.until(hooks)?;
        took.push(last.duration_since(called)?.as_secs_f64());
    }
    let name = format!("latency while {hooks} hooks of one owner hear one event, max");
    Ok(Figure::new(name, "ms", beside.latest)
        .at_most(1000.0)
        .with("p50", "ms", beside.median)
        .with("max without them", "ms", alone.latest)
        .with("until all of them have heard it", "s", took))
}
