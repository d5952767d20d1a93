//! The cost of a million hooks: processor time for each event, memory for each hook, and the time to load them.

use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::{
    Scale,
    figure::{Figure, Samples},
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, Backlog, Source},
};

/// Each owner has a hook on each of these events. The rows are one of them.
const EVENTS: u64 = 100;
/// Hooks to compare with: one for each of this many owners.
const FEW: u64 = 10;

/// The cost of a run.
struct Run {
    /// The time from the start of the process until it was attached.
    start: Duration,
    /// Resident memory in MiB, once attached.
    resident: f64,
    /// Processor time for each event, in microseconds.
    cpu: f64,
}

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut few = prepare("few_hooks", FEW, 1, scale)?;
    let mut many = prepare("many_hooks", scale.hooks / EVENTS, EVENTS, scale)?;
    let [mut cheap, mut dear, mut bytes, mut load] = [(); 4].map(|()| Samples::default());
    for _ in 0..scale.rounds {
        let with_few = few.run()?;
        let with_many = many.run()?;
        cheap.push(with_few.cpu);
        dear.push(with_many.cpu);
        bytes
            .push((with_many.resident - with_few.resident) * (1 << 20) as f64 / scale.hooks as f64);
        load.push(with_many.start.saturating_sub(with_few.start).as_secs_f64());
    }
    few.source.finish()?;
    many.source.finish()?;
    let hooks = scale.hooks;
    let (dear, cheap) = ((&*format!("{hooks} hooks"), &dear), ("10 hooks", &cheap));
    Ok(vec![
        Figure::ratio(
            format!("processor time of an event with {hooks} hooks, beside that with 10"),
            "µs",
            dear,
            cheap,
        )
        .at_most(1.5),
        Figure::new(format!("memory of a hook, of {hooks}"), "B", bytes).at_most(400.0),
        Figure::new(format!("loading {hooks} hooks"), "s", load).at_most(5.0),
    ])
}

/// A database with hooks, and rows of all their owners.
struct Prepared {
    source: Source,
    slot_before: String,
    backlog: Backlog,
    events: String,
    receivers: Receivers,
}

fn prepare(name: &str, owners: u64, events: u64, scale: &Scale) -> Result<Prepared> {
    let mut toml = "\n[events]\n\"e0\" = \"book.created\"\n".to_owned();
    for event in 1..EVENTS {
        toml.push_str(&format!("\"e{event}\" = \"custom\"\n"));
    }
    let receivers = Receivers::open(1)?;
    let mut source = Source::new(name, BOOK, &toml)?;
    let target = receivers.url(0);
    source.sql(&format!(
        "insert into rowhook.hook (owner, event, target, secret)
         select owner, 'e' || event, '{target}' || owner || '/' || event,
             'whsec_' || encode(sha256((owner || '/' || event)::bytea), 'base64')
         from generate_series(0, {owners} - 1) owner, generate_series(0, {events} - 1) event"
    ))?;
    // The slot is created after the hooks, so that they are loaded from the table and not read from the stream.
    let slot_before = source.new_slot()?;
    let backlog = source.write(scale.events / 10, 1, owners)?;
    Ok(Prepared {
        source,
        slot_before,
        backlog,
        events: toml,
        receivers,
    })
}

impl Prepared {
    fn run(&mut self) -> Result<Run> {
        let slot = self.source.copy_slot_of(&self.slot_before)?;
        self.receivers.reset()?;
        let began = SystemTime::now();
        let (sidecar, attached) = Sidecar::attach(&self.source.config(&slot, &self.events))?;
        let (resident, before) = (sidecar.resident()?, sidecar.cpu()?);
        self.receivers.until(self.backlog.rows)?;
        let cpu = sidecar.cpu()? - before;
        sidecar.stop()?;
        self.source.drop_slot(&slot)?;
        Ok(Run {
            start: attached.duration_since(began)?,
            resident,
            cpu: cpu.as_secs_f64() * 1e6 / self.backlog.rows as f64,
        })
    }
}
