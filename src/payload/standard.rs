//! `standard`: `{"type", "timestamp", "data", "old", "changed", "unchanged", "table", "op", "owner", "position"}`

use bytes::Bytes;
use serde::Serialize;

use super::{
    object::Object,
    parts::{Parts, full_name, operation},
};
use crate::event::Event;
use crate::postgres::time::timestamp;

#[derive(Serialize)]
struct Position {
    lsn: String,
    index: u64,
}

/// The body, which is the same for all hooks.
pub(super) fn render(event: &Event, parts: &Parts<'_>) -> Bytes {
    let change = event.change();
    let mut body = Object::with_capacity(parts.data.len() + parts.old.len() + 400);
    body.field("type", &*event.name);
    body.field("timestamp", &timestamp(event.commit_time));
    body.raw("data", parts.data);
    body.raw("old", parts.old);
    let changed = event.changed();
    let changed = changed.map(|all| all.iter().map(|column| column.name).collect::<Vec<_>>());
    body.field("changed", &changed);
    body.field("unchanged", parts.unchanged);
    body.field("table", &change.map(full_name));
    body.field("op", &change.map(|change| operation(&change.row)));
    body.field("owner", &event.owner.as_deref());
    let position = Position {
        lsn: event.position.commit_lsn.to_string(),
        index: event.position.index,
    };
    body.field("position", &position);
    body.some("left_out", parts.left_out);
    body.finish()
}
