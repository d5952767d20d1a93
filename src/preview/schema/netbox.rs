//! The schema of `netbox`.

use serde_json::{Value, json};

use crate::config::NetboxVersion;

use super::{
    row::{names, whole_or_thin},
    subject::{About, Subject},
};

pub(super) fn schema(subject: Subject<'_>, version: NetboxVersion) -> Value {
    let happened = match subject.about {
        About::Row { action, .. } => json!({"const": action.to_string()}),
        About::Anything => json!({"const": subject.event}),
    };
    let mut whole = json!({
        "type": "object",
        "properties": {
            "event": happened,
            "timestamp": {"type": "string", "format": "date-time"},
            "data": true,
            "snapshots": {
                "type": "object",
                "properties": {"prechange": true, "postchange": true},
                "required": ["prechange", "postchange"],
            },
            "unchanged": names(),
            "left_out": names(),
        },
        "required": ["event", "timestamp", "data", "snapshots"],
    });
    let name = json!({"type": ["string", "null"]});
    let user = json!({"type": "string"});
    let id = json!({"type": "string", "format": "uuid"});
    let request = json!({
        "type": "object",
        "properties": {"id": id, "method": {"type": "null"}, "path": {"type": "null"}, "user": user},
        "required": ["id", "method", "path", "user"],
    });
    for (key, value, from, to) in [
        (
            "object_type",
            &name,
            NetboxVersion::V4_4,
            NetboxVersion::V4_7,
        ),
        ("model", &name, NetboxVersion::V4_3, NetboxVersion::V4_4),
        ("username", &user, NetboxVersion::V4_3, NetboxVersion::V4_6),
        ("request_id", &id, NetboxVersion::V4_3, NetboxVersion::V4_6),
        (
            "request",
            &request,
            NetboxVersion::V4_6,
            NetboxVersion::V4_7,
        ),
    ] {
        if (from..=to).contains(&version) {
            whole["properties"][key] = value.clone();
            if let Some(required) = whole["required"].as_array_mut() {
                required.push(key.into());
            }
        }
    }
    match subject.about {
        About::Row { .. } => whole_or_thin(whole, subject),
        About::Anything => whole,
    }
}
