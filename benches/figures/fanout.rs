//! One event to many hooks, of everyone and of owners alike (`+`), beside a drain of as many events to one hook.

use anyhow::Result;
use harness::SECRET;

use super::{
    Scale, drain,
    figure::{Figure, Samples},
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, Source},
};

/// The hooks that hear each event.
const HOOKS: u64 = 10_000;
/// The hosts, as ports, that the hooks point to.
const PORTS: usize = 100;
const EVENTS: &str = "
[events]
\"book.added\" = \"book.created+\"
\"mark.made\" = \"mark.created\"
";

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut receivers = Receivers::open(PORTS)?;
    let mut other = Source::new("fanout_to_one", BOOK, EVENTS)?;
    let backlog = other.write(scale.events, 1, 100)?;
    let one = drain::hooks_by_owner(&receivers, 1, "");
    let mut source = Source::new("fanout", BOOK, EVENTS)?;
    for port in 0..PORTS {
        let target = receivers.url(port);
        source.sql(&format!(
            "insert into rowhook.hook (owner, event, target, secret)
             select n, 'book.added', '{target}' || n, '{SECRET}'
             from generate_series({port}, {HOOKS} - 1, {PORTS}) as n"
        ))?;
    }
    let few = source.new_slot()?;
    let rows = source.write((scale.events / HOOKS).max(1), 1, 100)?;
    let deliveries = rows.rows * HOOKS;
    let [mut drained, mut fanned, mut cpu, mut cpu_of_one, mut most] =
        [(); 5].map(|()| Samples::default());
    for _ in 0..scale.rounds {
        let alone = drain::drain(&mut other, &backlog, &mut receivers, &one)?;
        drained.push(alone.rate);
        cpu_of_one.push(alone.cpu);

        let slot = source.copy_slot_of(&few)?;
        receivers.reset()?;
        let (sidecar, attached) = Sidecar::attach(&source.config(&slot, EVENTS))?;
        let before = sidecar.cpu()?;
        let done = receivers.until(deliveries)?;
        let took = sidecar.cpu()? - before;
        most.push(sidecar.peak()?);
        sidecar.stop()?;
        source.drop_slot(&slot)?;
        fanned.push(deliveries as f64 / done.duration_since(attached)?.as_secs_f64());
        cpu.push(took.as_secs_f64() * 1e6 / deliveries as f64);
    }
    source.drop_slot(&few)?;
    source.finish()?;
    other.finish()?;
    Ok(vec![
        Figure::ratio(
            format!("each event to {HOOKS} hooks, beside the drain to one"),
            "deliveries/s",
            ("each event to many", &fanned),
            ("each event to one", &drained),
        )
        .at_least(1.0),
        Figure::ratio(
            format!("processor time of a delivery, of an event with {HOOKS} hooks"),
            "µs",
            ("of many", &cpu),
            ("of one", &cpu_of_one),
        ),
        Figure::new("most memory meanwhile", "MiB", most).at_most(96.0),
    ])
}
