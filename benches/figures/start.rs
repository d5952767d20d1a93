//! From the start of the process to the first arrival: with a thousand hooks, and after a kill with much that is parked.

use std::time::{Instant, SystemTime};

use anyhow::{Result, ensure};
use harness::{DEADLINE, SECRET};

use super::{
    Scale,
    figure::{Figure, Samples},
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, EVENTS, Source},
    strangers::dead_url,
};

/// Hooks of the first figure.
const HOOKS: u64 = 1000;

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let parked = scale.events / 2;
    Ok(vec![
        Figure::new(
            format!("start to first arrival, {HOOKS} hooks"),
            "s",
            with_hooks(scale)?,
        )
        .at_most(0.5),
        Figure::new(
            format!("start after a kill to first arrival, {parked} deliveries parked"),
            "s",
            with_parked(scale, parked)?,
        )
        .at_most(2.0),
    ])
}

/// The seconds from now on until the first of what waits in the slot arrives.
fn first_arrival(config: &str, receivers: &mut Receivers) -> Result<(Sidecar, f64)> {
    receivers.reset()?;
    let started = SystemTime::now();
    let sidecar = Sidecar::start(config)?;
    receivers.until(1)?;
    let first = receivers.first()?;
    Ok((sidecar, first.duration_since(started)?.as_secs_f64()))
}

fn with_hooks(scale: &Scale) -> Result<Samples> {
    let mut source = Source::new("start_hooks", BOOK, EVENTS)?;
    let mut receivers = Receivers::open(1)?;
    let target = receivers.url(0);
    source.sql(&format!(
        "insert into rowhook.hook (owner, event, target, secret)
         select n, 'book.added', '{target}', '{SECRET}' from generate_series(1, {HOOKS}) as n"
    ))?;
    let mut took = Samples::default();
    let before = source.new_slot()?;
    source.sql("insert into book (user_id) values (1)")?;
    for _ in 0..scale.rounds {
        let slot = source.copy_slot_of(&before)?;
        let (sidecar, seconds) = first_arrival(&source.config(&slot, EVENTS), &mut receivers)?;
        took.push(seconds);
        sidecar.stop()?;
        source.drop_slot(&slot)?;
    }
    source.drop_slot(&before)?;
    source.finish()?;
    Ok(took)
}

fn with_parked(scale: &Scale, parked: u64) -> Result<Samples> {
    let mut source = Source::new("start_parked", BOOK, EVENTS)?;
    let mut receivers = Receivers::open(1)?;
    let hook = |name: &str, owner: u8, target: &str| {
        format!(
            "\n[[hooks]]\nname = \"{name}\"\nowner = \"{owner}\"\nevents = [\"book.added\"]\n\
             target = \"{target}\"\nsecret = \"{SECRET}\"\n"
        )
    };
    let (dead, healthy) = (
        hook("dead", 0, &dead_url()?),
        hook("healthy", 1, &receivers.url(0)),
    );
    let slot = source.new_slot()?;
    source.write(parked, 1, 1)?;
    let config = source.config(&slot, &format!("{EVENTS}{dead}{healthy}"));
    let (sidecar, _) = Sidecar::attach(&config)?;
    let is_parked =
        format!("select count(*) >= {parked} from rowhook.delivery where state = 'parked'");
    let begun = Instant::now();
    while source.ask(&is_parked)? != "t" {
        ensure!(
            begun.elapsed() < 5 * DEADLINE,
            "not all of them were parked"
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    sidecar.kill()?;
    let mut took = Samples::default();
    for _ in 0..scale.rounds {
        source.sql("insert into book (user_id) values (1)")?;
        let (sidecar, seconds) = first_arrival(&config, &mut receivers)?;
        took.push(seconds);
        sidecar.kill()?;
    }
    source.drop_slot(&slot)?;
    source.finish()?;
    Ok(took)
}
