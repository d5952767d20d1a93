//! The schema of `standard`.

use serde_json::{Value, json};

use super::{
    row::{fields, names, whole_or_thin},
    subject::{About, Subject},
};
use crate::config::Action;

pub(super) fn schema(subject: Subject<'_>) -> Value {
    let mut properties = json!({
        "type": {"const": subject.event},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": true,
        "old": {"type": "null"},
        "changed": {"type": "null"},
        "unchanged": names(),
        "table": {"type": "null"},
        "op": {"type": "null"},
        "owner": {"type": ["string", "null"]},
        "position": {
            "type": "object",
            "properties": {
                "lsn": {"type": "string", "pattern": "^[0-9A-F]+/[0-9A-F]+$"},
                "index": {"type": "integer", "minimum": 0},
            },
            "required": ["lsn", "index"],
        },
        "left_out": names(),
    });
    let required = [
        "type",
        "timestamp",
        "data",
        "old",
        "changed",
        "unchanged",
        "table",
        "op",
        "owner",
        "position",
    ];
    if let About::Row {
        relation, action, ..
    } = subject.about
    {
        properties["table"] = json!({"const": format!("{}.{}", relation.schema, relation.name)});
        properties["op"] = match action {
            // The second where it was fired by hand.
            Action::Created => json!({"enum": ["insert", "created"]}),
            Action::Updated => json!({"enum": ["update", "updated"]}),
            Action::Deleted => json!({"enum": ["delete", "deleted"]}),
            Action::Truncated => json!({"const": "truncate"}),
            Action::Named(action) => json!({"const": action}),
        };
        if *action == Action::Updated {
            properties["changed"] = json!({"anyOf": [names(), {"type": "null"}]});
            properties["old"] = json!({"anyOf": [fields(subject, &|_| false), {"type": "null"}]});
        }
    }
    let whole = json!({"type": "object", "properties": properties, "required": required});
    match subject.about {
        About::Row { .. } => whole_or_thin(whole, subject),
        About::Anything => whole,
    }
}
