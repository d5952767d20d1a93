//! `netbox`: what NetBox sends, for receivers that were written for its webhooks.
//!
//! `{"event", "timestamp", "object_type", "username", "request_id", "data", "request", "snapshots": {"prechange",
//! "postchange"}}` is that of NetBox 4.6. Before 4.6 there is no `request`, before 4.5 a `model`, before 4.4 no
//! `object_type`, and from 4.7 on neither `username` nor `request_id`.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    object::Object,
    parts::{Parts, operation},
};
use crate::{
    change::RowChange,
    config::NetboxVersion,
    event::{Event, Subject},
    postgres::time::timestamp,
};

/// The body, which is the same for all hooks.
pub(super) fn render(event: &Event, parts: &Parts<'_>, version: NetboxVersion) -> Bytes {
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
    let (app, model) = object_type(event).unzip();
    if version >= NetboxVersion::V4_4 {
        let object_type = app.zip(model.as_ref());
        body.field(
            "object_type",
            &object_type.map(|(app, model)| format!("{app}.{model}")),
        );
    }
    if version <= NetboxVersion::V4_4 {
        body.field("model", &model);
    }
    let user = event.owner.as_deref().unwrap_or_default();
    let request_id = request_id(event);
    if version <= NetboxVersion::V4_6 {
        body.field("username", user);
        body.field("request_id", &request_id);
    }
    body.raw("data", parts.data);
    if version >= NetboxVersion::V4_6 {
        body.raw("request", &request(&request_id, user));
    }
    let mut snapshots = Object::with_capacity(before.len() + after.len() + 40);
    snapshots.raw("prechange", before);
    snapshots.raw("postchange", after);
    body.raw("snapshots", &snapshots.close());
    let unknown = Some(parts.unchanged).filter(|names| !names.is_empty());
    body.some("unchanged", unknown);
    body.some("left_out", parts.left_out);
    body.finish()
}

/// The application and the model of the row, in lower case as Django has them: those that hooks.toml names, or else
/// what the name of the table says. `dcim_site` is `site` of `dcim`, and a table without an underscore is of its
/// schema.
fn object_type(event: &Event) -> Option<(String, String)> {
    let Subject::Row { change, shape, .. } = &event.subject else {
        return None;
    };
    if let Some(model) = shape.model() {
        return Some((model.app.clone(), model.name.to_lowercase()));
    }
    let relation = &change.relation;
    let (app, model) = of_table(&relation.schema, &relation.name);
    Some((app.to_owned(), model.to_owned()))
}

fn of_table<'a>(schema: &'a str, table: &'a str) -> (&'a str, &'a str) {
    let split = table.rsplit_once('_');
    let split = split.filter(|(app, model)| !app.is_empty() && !model.is_empty());
    split.unwrap_or((schema, table))
}

/// What there is to say of the request, which a change in a database does not tell.
fn request(id: &str, user: &str) -> Vec<u8> {
    let nothing: Option<&str> = None;
    let mut request = Object::with_capacity(120);
    request.field("id", id);
    request.field("method", &nothing);
    request.field("path", &nothing);
    request.field("user", user);
    request.close()
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
        assert_eq!(of_table("public", "dcim_site"), ("dcim", "site"));
        assert_eq!(
            of_table("public", "book_store_book"),
            ("book_store", "book")
        );
        assert_eq!(of_table("clinic", "pet"), ("clinic", "pet"));
        assert_eq!(of_table("public", "book_"), ("public", "book_"));
    }
}
