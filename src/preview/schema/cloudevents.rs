//! The schema of `cloudevents`.

use serde_json::{Value, json};

use super::{
    row::{has_no_row, whole_or_thin},
    subject::{About, Subject},
};

pub(super) fn schema(subject: Subject<'_>) -> Value {
    let text = || json!({"type": "string", "minLength": 1});
    let mut whole = json!({
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text(),
            "source": {"type": "string", "format": "uri-reference", "minLength": 1},
            "type": {"const": subject.event},
            "time": {"type": "string", "format": "date-time"},
            "subject": text(),
            "datacontenttype": {"const": "application/json"},
            "op": text(),
            "owner": {"type": "string"},
            "unchanged": text(),
            "leftout": {"type": "string"},
            "data": true,
        },
        "required": ["specversion", "id", "source", "type", "time", "datacontenttype", "data"],
    });
    if let About::Row { .. } = subject.about {
        whole = whole_or_thin(whole, subject);
        if !has_no_row(subject) {
            whole["if"] = json!({"required": ["leftout"]});
        }
    }
    whole
}
