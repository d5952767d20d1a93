//! The JSON Schema (draft 2020-12) of what is sent: what the receivers of an event may rely on.
//!
//! A schema follows from what the table looks like now, and allows every body that is sent until the table is altered.
//! Where the stream may leave out a value, or `max_body` cuts a body down to the row's key, the schema says so.

mod cloudevents;
mod django;
mod netbox;
mod rest_hooks;
mod row;
mod standard;
mod subject;
mod value;

use serde_json::{Map, Value};

use crate::config::PayloadFormat;

pub use self::subject::{About, Subject};

/// The schema of the bodies of an event in this payload format.
pub fn schema(subject: Subject<'_>, payload: PayloadFormat) -> Value {
    let mut schema = match payload {
        PayloadFormat::RestHooks => rest_hooks::schema(subject),
        PayloadFormat::Django => django::schema(subject),
        PayloadFormat::Standard => standard::schema(subject),
        PayloadFormat::Cloudevents => cloudevents::schema(subject),
        PayloadFormat::Netbox(version) => netbox::schema(subject, version),
        PayloadFormat::Row => row::schema(subject),
    };
    let mut whole = Map::new();
    whole.insert(
        "$schema".into(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    whole.insert("title".into(), subject.event.into());
    if let Some(schema) = schema.as_object_mut() {
        whole.append(schema);
    }
    Value::Object(whole)
}
