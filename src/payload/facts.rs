//! What `when` and `filter` expressions see of an event.

use super::row::values;
use crate::{event::Event, expression::filter::Facts};

/// The variables of expressions for this event: its row or message, what changed, its name and its owner.
///
/// # Errors
/// When its row is no JSON, in words. No expression can say anything of the event then.
pub fn facts(event: &Event) -> Result<Facts, String> {
    let (new, old) = values(event);
    let changed = event.changed();
    let changed: Option<Vec<&str>> =
        changed.map(|all| all.iter().map(|column| column.column).collect());
    let facts = Facts::new(
        new,
        old,
        changed.as_deref(),
        &event.name,
        event.owner.as_deref(),
    );
    facts.map_err(|error| format!("expressions cannot read the row: {error}"))
}
