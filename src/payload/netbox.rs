//! `netbox`: what NetBox sends, for receivers that were written for its webhooks.
//! `{"event", "timestamp", "model", "username", "request_id", "data", "snapshots": {"prechange", "postchange"}}`

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    object::Object,
    parts::{Parts, operation},
};
use crate::{change::RowChange, event::Event, postgres::time::timestamp};

/// The body, which is the same for all hooks.
pub(super) fn render(event: &Event, parts: &Parts<'_>) -> Bytes {
    let change = event.change();
    let null: &[u8] = b"null";
    let (happened, before, after) = match change.map(|change| &change.row) {
        Some(RowChange::Insert { .. }) => ("created", null, parts.data),
        Some(RowChange::Update { .. }) => ("updated", parts.old, parts.data),
        Some(RowChange::Delete { .. }) => ("deleted", parts.data, null),
        Some(RowChange::Truncate) => ("truncated", null, null),
        Some(row @ RowChange::Fired { .. }) => (operation(row), null, parts.data),
        None => (&*event.name, null, parts.data),
    };
    let mut body = Object::with_capacity(2 * parts.data.len() + parts.old.len() + 300);
    body.field("event", happened);
    // Python writes UTC as an offset.
    let time = timestamp(event.commit_time);
    body.field("timestamp", &time.replace('Z', "+00:00"));
    body.field("model", &change.map(|change| model(&change.relation.name)));
    body.field("username", event.owner.as_deref().unwrap_or_default());
    body.field("request_id", &request_id(event));
    body.raw("data", parts.data);
    let mut snapshots = Object::with_capacity(before.len() + after.len() + 40);
    snapshots.raw("prechange", before);
    snapshots.raw("postchange", after);
    body.raw("snapshots", &snapshots.close());
    let unknown = Some(parts.unchanged).filter(|names| !names.is_empty());
    body.some("unchanged", unknown);
    body.some("left_out", parts.left_out);
    body.finish()
}

/// The model of a table: `dcim_site` is `site`, because Django puts the name of the app before it.
fn model(table: &str) -> &str {
    table.rsplit('_').next().unwrap_or(table)
}

/// A UUID that all events of a transaction share. In NetBox it is that of the HTTP request which made the changes.
fn request_id(event: &Event) -> String {
    let mut hash = Sha256::new();
    hash.update(event.position.commit_lsn.to_string());
    hash.update(timestamp(event.commit_time));
    let mut id = <[u8; 16]>::default();
    id.copy_from_slice(&hash.finalize()[..16]);
    // Version 8 of RFC 9562, which is for custom formats.
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    let hex = hex::encode(id);
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_what_stands_behind_the_app() {
        assert_eq!(model("dcim_site"), "site");
        assert_eq!(model("book"), "book");
    }
}
