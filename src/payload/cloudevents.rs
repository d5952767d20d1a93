//! `cloudevents`: CloudEvents 1.0 in structured JSON.
//!
//! `source` is the table and `id` the place of the event in its database. Together they identify the event for ever,
//! and are the same for all hooks and attempts.

use std::time::SystemTime;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    object::Object,
    parts::{Parts, full_name, operation},
};
use crate::postgres::time::timestamp;
use crate::{change::Change, event::Event, postgres::tuple::Value};

/// The characters that must be escaped in the path of a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~');

/// The body, which is the same for all hooks.
pub(super) fn render(event: &Event, parts: &Parts<'_>) -> Bytes {
    let change = event.change();
    let mut body = Object::with_capacity(parts.data.len() + 400);
    body.field("specversion", "1.0");
    body.field("id", &id(event));
    body.field("source", &source(change));
    body.field("type", &*event.name);
    body.field("time", &timestamp(event.commit_time));
    body.some("subject", change.and_then(subject));
    body.field("datacontenttype", "application/json");
    // Extensions: the names have only lower-case letters, and the values are texts.
    body.some("op", change.map(|change| operation(&change.row)));
    body.some("owner", event.owner.as_deref());
    let listed = |names: &[String]| (!names.is_empty()).then(|| names.join(","));
    body.some("unchanged", listed(parts.unchanged));
    body.some("leftout", parts.left_out.map(|names| names.join(",")));
    body.raw("data", parts.data);
    body.finish()
}

/// The LSN, the commit time and the number in the transaction. The commit time is needed because LSNs begin anew in a
/// new cluster.
fn id(event: &Event) -> String {
    let since = event.commit_time.duration_since(SystemTime::UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    let position = event.position;
    format!("{}-{micros}-{}", position.commit_lsn, position.index)
}

fn source(change: Option<&Change>) -> String {
    let table = change.map(full_name).unwrap_or_default();
    format!("/rowhook/{}", utf8_percent_encode(&table, PATH))
}

/// The values of the row's key in Postgres' text format; `None`: the row has no key.
fn subject(change: &Change) -> Option<String> {
    let row = change.shown()?.tuple();
    let texts = change.relation.key.iter().map(|at| match row.get(*at)? {
        Value::Text(text) => std::str::from_utf8(text).ok(),
        Value::Null | Value::Unchanged => None,
    });
    let texts: Vec<&str> = texts.collect::<Option<_>>()?;
    let subject = texts.join(",");
    (!subject.is_empty()).then_some(subject)
}
