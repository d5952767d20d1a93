//! Memory: at rest with a thousand hooks, and while one large transaction is drained.

use anyhow::Result;

use super::{
    Scale, drain,
    figure::{Figure, Samples},
    receiver::Receivers,
    sidecar::Sidecar,
    source::{BOOK, EVENTS, Source},
};

const HOOKS: u64 = 1000;

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let mut source = Source::new("large", BOOK, EVENTS)?;
    let mut receivers = Receivers::open(1)?;
    let target = receivers.url(0);
    source.sql(&format!(
        "insert into rowhook.hook (owner, event, target, secret)
         select 'owner ' || n, 'book.added', '{target}' || n, 'whsec_' || encode(sha256(n::text::bytea), 'base64')
         from generate_series(1, {HOOKS}) n"
    ))?;
    let mut idle = Samples::default();
    for _ in 0..scale.rounds {
        let slot = source.new_slot()?;
        let (sidecar, _) = Sidecar::attach(&source.config(&slot, EVENTS))?;
        idle.push(sidecar.resident()?);
        sidecar.stop()?;
        source.drop_slot(&slot)?;
    }
    let slot = source.new_slot()?;
    let hooks = drain::hooks_by_owner(&receivers, 1, "");
    let backlog = source.write(scale.large, scale.large, 100)?;
    receivers.reset()?;
    let (sidecar, attached) = Sidecar::attach(&source.config(&slot, &hooks))?;
    let done = receivers.until(backlog.rows)?;
    let peak = sidecar.peak()?;
    // On a slow machine this takes so long that rowhook warns of a slot that stands still.
    sidecar.stop_despite_warnings()?;
    source.drop_slot(&slot)?;
    source.finish()?;
    let rate = backlog.rows as f64 / done.duration_since(attached)?.as_secs_f64();
    Ok(vec![
        Figure::new(format!("memory at rest with {HOOKS} hooks"), "MiB", idle).at_most(40.0),
        Figure::new(
            format!(
                "most memory while a transaction of {} rows is drained",
                scale.large
            ),
            "MiB",
            Samples::one(peak),
        )
        .at_most(96.0)
        .with("rate", "events/s", Samples::one(rate)),
    ])
}
