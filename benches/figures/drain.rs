//! Draining a backlog with one signed POST for each row, beside a client that only posts to the same receivers.

use anyhow::{Result, ensure};
use harness::SECRET;

use super::{
    Scale,
    figure::{Figure, Samples},
    raw::{self, With},
    receiver::Receivers,
    reference, sidecar,
    sidecar::Sidecar,
    source::{BOOK, Backlog, EVENTS, Source},
};

/// Requests in flight at a time, of rowhook and of the raw client alike.
const AT_ONCE: usize = 64;

/// The cost of a drain.
pub struct Drained {
    /// Events a second, from attaching to the last arrival.
    pub rate: f64,
    /// Processor time of rowhook for each event, in microseconds.
    pub cpu: f64,
    /// Bytes of WAL that rowhook wrote for each event.
    pub written: f64,
}

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for hooks in [1, 100] {
        let name = match hooks {
            1 => "one hook".to_owned(),
            many => format!("{many} hooks on {many} ports"),
        };
        let mut source = Source::new(&format!("drain_{hooks}"), BOOK, EVENTS)?;
        let backlog = source.write(scale.events, 1, 100)?;
        let mut receivers = Receivers::open(hooks)?;
        let [mut ours, mut theirs, mut cpu, mut written] = [(); 4].map(|()| Samples::default());
        let [mut their_cpu, mut bare, mut bare_cpu] = [(); 3].map(|()| Samples::default());
        for _ in 0..scale.rounds {
            let posted = raw::measure(&receivers, backlog.rows, AT_ONCE, With::Reqwest)?;
            theirs.push(posted.rate);
            their_cpu.push(posted.cpu);
            let posted = raw::measure(&receivers, backlog.rows, AT_ONCE, With::HyperUtil)?;
            bare.push(posted.rate);
            bare_cpu.push(posted.cpu);
            let config = hooks_by_owner(&receivers, hooks, "");
            let drained = drain(&mut source, &backlog, &mut receivers, &config)?;
            ours.push(drained.rate);
            cpu.push(drained.cpu);
            written.push(drained.written);
        }
        figures.push(
            Figure::ratio(
                format!("drain to {name}, a POST each"),
                "events/s",
                ("rowhook", &ours),
                ("raw reqwest", &theirs),
            )
            .at_least(0.5)
            .with("raw hyper-util", "events/s", bare),
        );
        figures.push(
            Figure::new(format!("drain to {name}, rate"), "events/s", ours).at_least(20_000.0),
        );
        figures.push(
            Figure::new(format!("processor time of an event, {name}"), "µs", cpu)
                .with("raw reqwest, of a request", "µs", their_cpu)
                .with("raw hyper-util, of a request", "µs", bare_cpu),
        );
        figures.push(Figure::new(
            format!("written to the database for a million healthy deliveries, {name}"),
            "MB",
            written,
        ));
        if hooks == 1 {
            figures.push(batched(scale, &mut source, &backlog, &mut receivers)?);
        }
        source.finish()?;
    }
    Ok(figures)
}

/// Drains the same backlog with 100 events in a POST.
fn batched(
    scale: &Scale,
    source: &mut Source,
    backlog: &Backlog,
    receivers: &mut Receivers,
) -> Result<Figure> {
    let name = "drain to one hook, 100 events in a POST";
    let hooks = hooks_by_owner(receivers, 1, "batch = { max = 100, wait = \"1s\" }");
    if let Err(message) = sidecar::rowhook(&source.config("any", &hooks), &["events"])? {
        ensure!(message.contains("batch"), "{message}");
        return Ok(Figure::missing(name, "this version has no batch"));
    }
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for _ in 0..scale.rounds {
        let slot = source.copy_slot()?;
        let seconds = reference::read(source, &slot, &backlog.end)?.as_secs_f64();
        theirs.push(backlog.rows as f64 / seconds);
        source.drop_slot(&slot)?;
        receivers.reset()?;
        ours.push(drain_in(source, backlog, receivers, &hooks, backlog.rows / 100)?.rate);
    }
    let (ours, theirs) = (("rowhook", &ours), ("pg_recvlogical", &theirs));
    Ok(Figure::ratio(name, "events/s", ours, theirs).at_least(0.7))
}

/// The configuration of so many hooks, each with an owner and a port of its own. A single hook receives the rows of all
/// owners. `more` is added to each hook.
pub fn hooks_by_owner(receivers: &Receivers, hooks: usize, more: &str) -> String {
    let at_once = AT_ONCE.div_ceil(hooks);
    let mut config = EVENTS.to_owned();
    for number in 0..hooks {
        let target = receivers.url(number);
        let owner = match hooks {
            1 => String::new(),
            _ => format!("owner = \"{number}\"\n"),
        };
        config.push_str(&format!(
            "\n[[hooks]]\nname = \"h{number}\"\nevents = [\"book.added\"]\n{owner}target = \"{target}\"\nsecret = \"{SECRET}\"\nconcurrency = {at_once}\n{more}\n"
        ));
    }
    config
}

/// Drains a backlog, one request for each row.
pub fn drain(
    source: &mut Source,
    backlog: &Backlog,
    receivers: &mut Receivers,
    hooks: &str,
) -> Result<Drained> {
    drain_in(source, backlog, receivers, hooks, backlog.rows)
}

/// Drains a backlog in this many requests.
pub fn drain_in(
    source: &mut Source,
    backlog: &Backlog,
    receivers: &mut Receivers,
    hooks: &str,
    requests: u64,
) -> Result<Drained> {
    let slot = source.copy_slot()?;
    receivers.reset()?;
    let wal = source.wal()?;
    let (sidecar, attached) = Sidecar::attach(&source.config(&slot, hooks))?;
    let before = sidecar.cpu()?;
    let done = receivers.until(requests)?;
    let cpu = sidecar.cpu()? - before;
    // Measured before it ends: what it writes at its end is not per delivery.
    let written = source.wal()? - wal;
    sidecar.stop()?;
    let came = receivers.count()?;
    ensure!(came == requests, "{came} requests came, and not {requests}");
    source.drop_slot(&slot)?;
    let events = backlog.rows as f64;
    Ok(Drained {
        rate: events / done.duration_since(attached)?.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / events,
        written: written / events,
    })
}
