//! The schema of `netbox`.

use serde_json::{Value, json};

use super::{
    row::{names, whole_or_thin},
    subject::{About, Subject},
};

pub(super) fn schema(subject: Subject<'_>) -> Value {
    let happened = match subject.about {
        About::Row { action, .. } => json!({"const": action.to_string()}),
        About::Anything => json!({"const": subject.event}),
    };
    let whole = json!({
        "type": "object",
        "properties": {
            "event": happened,
            "timestamp": {"type": "string", "format": "date-time"},
            "model": {"type": ["string", "null"]},
            "username": {"type": "string"},
            "request_id": {"type": "string", "format": "uuid"},
            "data": true,
            "snapshots": {
                "type": "object",
                "properties": {"prechange": true, "postchange": true},
                "required": ["prechange", "postchange"],
            },
            "unchanged": names(),
            "left_out": names(),
        },
        "required": ["event", "timestamp", "model", "username", "request_id", "data", "snapshots"],
    });
    match subject.about {
        About::Row { .. } => whole_or_thin(whole, subject),
        About::Anything => whole,
    }
}
