//! The schema of `rest-hooks`.

use serde_json::{Value, json};

use super::{
    row::{names, whole_or_thin},
    subject::{About, Subject},
};

pub(super) fn schema(subject: Subject<'_>) -> Value {
    let whole = with_hook(subject, json!(true));
    match subject.about {
        About::Row { .. } => whole_or_thin(whole, subject),
        // A message may ask to be sent without the hook, by `send_hook_meta`.
        About::Anything => json!({"anyOf": [whole, true]}),
    }
}

/// The schema of an object with `data` and the hook that it is sent to.
pub(super) fn with_hook(subject: Subject<'_>, data: Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "hook": {
                "type": "object",
                "properties": {
                    "id": {"type": ["integer", "string"]},
                    "event": {"const": subject.event},
                    "target": {"type": "string", "format": "uri"},
                },
                "required": ["id", "event", "target"],
            },
            "data": data,
            "unchanged": names(),
            "left_out": names(),
        },
        "required": ["hook", "data"],
    })
}
