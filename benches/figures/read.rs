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

/// The events, with a condition that no row meets. It is evaluated for each, because a hook hears them all.
const CONDITIONAL: &str = r#"
[events]
"book.added" = { on = "book.created", when = "new.price > 100.0" }
"mark.made" = "mark.created+"
"#;

pub fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let all = scale.events;
    [
        ("read_single", 1, "single-row transactions", false),
        ("read_large", 1000, "1000-row transactions", false),
        ("read_one", all, "one transaction", false),
        ("read_when", all, "one transaction, with a when", true),
    ]
    .map(|(database, in_transaction, what, conditional)| {
        let mut source = Source::new(database, BOOK, EVENTS)?;
        let backlog = source.write(scale.events, in_transaction, 100)?;
        let mut receivers = Receivers::open(1)?;
        let (mut ours, mut theirs) = (Samples::default(), Samples::default());
        for _ in 0..scale.rounds {
            let slot = source.copy_slot()?;
            let seconds = reference::read(&source, &slot, &backlog.end)?.as_secs_f64();
            theirs.push(backlog.rows as f64 / seconds);
            source.drop_slot(&slot)?;
            ours.push(read(&mut source, &backlog, &mut receivers, conditional)?);
        }
        source.finish()?;
        let name = format!("read and match, no hook interested, {what}");
        let (ours, theirs) = (("rowhook", &ours), ("pg_recvlogical", &theirs));
        Ok(Figure::ratio(name, "rows/s", ours, theirs).at_least(0.9))
    })
    .into_iter()
    .collect()
}

/// Rows a second. There is a hook on the same event, of an owner without rows, so each row is matched; or one of
/// everyone, if the event is conditional.
fn read(
    source: &mut Source,
    backlog: &Backlog,
    receivers: &mut Receivers,
    conditional: bool,
) -> Result<f64> {
    let slot = source.copy_slot()?;
    let target = receivers.url(0);
    let (events, owner) = match conditional {
        true => (CONDITIONAL, ""),
        false => (EVENTS, "owner = \"nobody\"\n"),
    };
    let hooks = format!(
        "{events}
[[hooks]]
name = \"nobody\"
events = [\"book.added\"]
{owner}target = \"{target}\"

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
