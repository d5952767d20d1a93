//! `standard`: `{"type", "timestamp", "data", "old", "changed", "unchanged", "table", "op", "owner", "position"}`

use bytes::Bytes;
use serde::Serialize;

use super::{full_name, object::Object, operation, row::Row, timestamp};
use crate::{change::RowChange, event::Event};

#[derive(Serialize)]
struct Position {
    lsn: String,
    index: u64,
}

/// The row before an update, as far as it is known; null for everything else. What is known of a deleted row is its data
/// already.
pub(super) fn old(event: &Event) -> Vec<u8> {
    let old = match event.change().map(|change| &change.row) {
        Some(RowChange::Update { old, .. }) => old.image(),
        Some(RowChange::Insert { .. } | RowChange::Delete { .. } | RowChange::Fired { .. })
        | None => None,
    };
    old.map_or(b"null".to_vec(), |image| Row::of_image(event, image).json)
}

/// The body, which is the same for all hooks.
pub(super) fn render(
    event: &Event,
    data: &[u8],
    unchanged: &[String],
    old: &[u8],
    left_out: Option<&[&str]>,
) -> Bytes {
    let change = event.change();
    let mut body = Object::with_capacity(data.len() + old.len() + 400);
    body.field("type", &*event.name);
    body.field("timestamp", &timestamp(event.commit_time));
    body.raw("data", data);
    body.raw("old", old);
    let changed = event.changed();
    let changed = changed.map(|all| all.iter().map(|column| column.name).collect::<Vec<_>>());
    body.field("changed", &changed);
    body.field("unchanged", unchanged);
    body.field("table", &change.map(full_name));
    body.field("op", &change.map(|change| operation(&change.row)));
    body.field("owner", &event.owner.as_deref());
    let position = Position {
        lsn: event.position.commit_lsn.to_string(),
        index: event.position.index,
    };
    body.field("position", &position);
    body.some("left_out", left_out);
    body.finish()
}
