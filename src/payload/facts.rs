//! What an expression may look at of an event.

use super::values;
use crate::{event::Event, expression::filter::Facts};

/// What expressions are asked about an event.
pub fn facts(event: &Event) -> Facts {
    let (new, old) = values(event);
    let changed = event.changed();
    let changed: Option<Vec<&str>> =
        changed.map(|all| all.iter().map(|column| column.column).collect());
    Facts::new(
        &new,
        &old,
        changed.as_deref(),
        &event.name,
        event.owner.as_deref(),
    )
}
