//! Reading and matching when no hook wants the rows, beside a client that throws them away.

use anyhow::Result;

use super::{
    Scale,
    figure::{Figure, Samples},
    receiver::Receivers,
    reference,
    sidecar::Sidecar,
    source::{BOOK, Backlog, EVENTS, Source},
};

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    [
        ("read_single", 1, "single-row transactions"),
        ("read_large", 1000, "1000-row transactions"),
    ]
    .map(|(database, in_transaction, what)| {
        let mut source = Source::new(database, BOOK, EVENTS)?;
        let backlog = source.write(scale.events, in_transaction, 100)?;
        let mut receivers = Receivers::open(1)?;
        let (mut ours, mut theirs) = (Samples::default(), Samples::default());
        for _ in 0..scale.rounds {
            let slot = source.copy_slot()?;
            let seconds = reference::read(&source, &slot, &backlog.end)?.as_secs_f64();
            theirs.push(backlog.rows as f64 / seconds);
            source.drop_slot(&slot)?;
            ours.push(read(&mut source, &backlog, &mut receivers)?);
        }
        source.finish()?;
        let name = format!("read and match, no hook interested, {what}");
        let (ours, theirs) = (("rowhook", &ours), ("pg_recvlogical", &theirs));
        Ok(Figure::ratio(name, "rows/s", ours, theirs).at_least(0.9))
    })
    .into_iter()
    .collect()
}

/// Rows a second. There is a hook on the same event, of an owner without rows, so each row is matched.
fn read(source: &mut Source, backlog: &Backlog, receivers: &mut Receivers) -> Result<f64> {
    let slot = source.copy_slot()?;
    let target = receivers.url(0);
    let hooks = format!(
        "{EVENTS}
[[hooks]]
name = \"nobody\"
events = [\"book.added\"]
owner = \"nobody\"
target = \"{target}\"

[[hooks]]
name = \"mark\"
events = [\"mark.made\"]
target = \"{target}\"
"
    );
    receivers.reset()?;
    let (sidecar, attached) = Sidecar::attach(&source.config(&slot, &hooks))?;
    let marked = receivers.until(1)?;
    sidecar.stop()?;
    source.drop_slot(&slot)?;
    Ok(backlog.rows as f64 / marked.duration_since(attached)?.as_secs_f64())
}
