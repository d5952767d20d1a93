//! What `when` and `filter` expressions see of an event.

use std::sync::Arc;

use super::row::values;
use crate::{
    event::Event,
    expression::filter::{Facts, Filter},
};

/// How many expressions are asked at most which columns they read. To write all of them takes less with more.
const FEW: usize = 8;

/// The variables of these expressions for this event: its row or message, what changed, its name and its owner. Of the
/// row there is what they read, because to write and read the rest takes longer than to evaluate them.
///
/// # Errors
/// When its row is no JSON, in words. No expression can say anything of the event then.
pub fn facts<'a>(
    event: &Event,
    filters: impl Iterator<Item = &'a Filter> + Clone,
) -> Result<Facts, String> {
    let all = filters.clone().nth(FEW).is_some();
    let (new, old) = values(event, &|column| {
        all || filters.clone().any(|filter| filter.reads(column))
    });
    let asked = filters.clone().any(Filter::reads_changed);
    let changed = asked.then(|| event.changed()).flatten();
    let changed: Option<Vec<&str>> =
        changed.map(|all| all.iter().map(|column| column.column).collect());
    let facts = Facts::new(
        new,
        old,
        changed.as_deref(),
        Arc::clone(&event.name),
        event.owner.clone(),
    );
    facts.map_err(|error| format!("expressions cannot read the row: {error}"))
}
