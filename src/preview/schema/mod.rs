//! The JSON Schema (2020-12) of what is sent: what a receiver of an event may rely on, from what the table looks like now.
//!
//! A schema allows every body that is sent while the table stays as it is. Where the stream may leave a value out, or
//! `max_body` all of them, the schema says so.

mod django;
mod value;

use serde_json::{Map, Value, json};

use crate::{
    config::{Action, PayloadFormat},
    event::shape::Shape,
    postgres::{
        pgoutput::ReplicaIdentity,
        relation::{Column, Relation},
    },
};

/// An event, as far as its bodies depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The event's name.
    pub event: &'a str,
    /// What it tells of.
    pub about: About<'a>,
}

/// What an event tells of.
#[derive(Debug, Clone, Copy)]
pub enum About<'a> {
    /// Rows.
    Row {
        /// Of this table.
        relation: &'a Relation,
        /// What happens to them.
        action: &'a Action,
        /// How they are shown.
        shape: &'a Shape,
    },
    /// Whatever SQL says.
    Anything,
}

/// The schema of the event's bodies in this shape.
pub fn schema(subject: Subject<'_>, payload: PayloadFormat) -> Value {
    let mut schema = match payload {
        PayloadFormat::RestHooks => rest_hooks(subject),
        PayloadFormat::Django => django::schema(subject),
        PayloadFormat::Standard => standard(subject),
        PayloadFormat::Cloudevents => cloudevents(subject),
        PayloadFormat::Netbox => netbox(subject),
        PayloadFormat::Row => row_alone(subject),
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

fn rest_hooks(subject: Subject<'_>) -> Value {
    let whole = with_hook(subject, json!(true));
    match subject.about {
        About::Row { .. } => whole_or_thin(whole, subject),
        // `send_hook_meta` may ask for what is said to be sent bare.
        About::Anything => json!({"anyOf": [whole, true]}),
    }
}

/// `data` beside the hook that it is sent to.
fn with_hook(subject: Subject<'_>, data: Value) -> Value {
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
            "left_out": names(),
        },
        "required": ["hook", "data"],
    })
}

fn standard(subject: Subject<'_>) -> Value {
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
            Action::Created => json!({"const": "insert"}),
            Action::Updated => json!({"const": "update"}),
            Action::Deleted => json!({"const": "delete"}),
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

fn cloudevents(subject: Subject<'_>) -> Value {
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
        whole["if"] = json!({"required": ["leftout"]});
    }
    whole
}

fn netbox(subject: Subject<'_>) -> Value {
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
            "left_out": names(),
        },
        "required": ["event", "timestamp", "model", "username", "request_id", "data", "snapshots"],
    });
    match subject.about {
        About::Row { .. } => whole_or_thin(whole, subject),
        About::Anything => whole,
    }
}

/// The row, or, above `max_body`, its key and the names of what was left out.
fn row_alone(subject: Subject<'_>) -> Value {
    if let About::Anything = subject.about {
        return json!({});
    }
    let mut thin = key(subject);
    thin["properties"]["left_out"] = names();
    if let Some(required) = thin["required"].as_array_mut() {
        required.push("left_out".into());
    }
    json!({"anyOf": [row(subject), thin]})
}

/// Says what `data` is: the row, or, where something was left out, its key.
fn whole_or_thin(mut schema: Value, subject: Subject<'_>) -> Value {
    schema["if"] = json!({"required": ["left_out"]});
    schema["then"] = json!({"properties": {"data": {"$ref": "#/$defs/key"}}});
    schema["else"] = json!({"properties": {"data": {"$ref": "#/$defs/row"}}});
    schema["$defs"] = json!({"row": row(subject), "key": key(subject)});
    schema
}

fn names() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

/// The row as an object. Required are the columns that no body of this event lacks.
fn row(subject: Subject<'_>) -> Value {
    let About::Row {
        relation,
        action,
        shape,
    } = subject.about
    else {
        return json!({});
    };
    if shape.template().is_some() {
        // What a template makes of the row is JSON, and no more is known of it.
        return json!({});
    }
    let always_there = |column: &Column| is_always_there(relation, action, column);
    fields(subject, &always_there)
}

/// Has every body of this event the column, unless it is a thin one?
fn is_always_there(relation: &Relation, action: &Action, column: &Column) -> bool {
    match action {
        Action::Created => !column.generated,
        Action::Updated => !column.generated && !column.toastable,
        Action::Deleted if relation.identity == ReplicaIdentity::Full => !column.generated,
        Action::Deleted => column.identity_key,
        Action::Named(_) => false,
    }
}

/// What tells the row from others, as an object.
fn key(subject: Subject<'_>) -> Value {
    let About::Row { relation, .. } = subject.about else {
        return json!({});
    };
    let key = relation.key.iter();
    let key = key.filter_map(|at| relation.columns.get(*at));
    object(key.map(|column| (column.name.as_str(), column)), &|_| true)
}

fn fields(subject: Subject<'_>, required: &dyn Fn(&Column) -> bool) -> Value {
    let About::Row {
        relation, shape, ..
    } = subject.about
    else {
        return json!({});
    };
    let shown = relation.columns.iter();
    let shown = shown.filter_map(|column| Some((shape.name(&column.name)?, column)));
    object(shown, required)
}

fn object<'a>(
    columns: impl IntoIterator<Item = (&'a str, &'a Column)>,
    required: &dyn Fn(&Column) -> bool,
) -> Value {
    let mut properties = Map::new();
    let mut names = Vec::new();
    for (name, column) in columns {
        let schema = match column.nullable {
            true => value::nullable(&column.ty),
            false => value::of(&column.ty),
        };
        properties.insert(name.to_owned(), schema);
        if required(column) {
            names.push(name);
        }
    }
    // Columns that are added to the table later are shown too, and what `enrich` finds: there may be others.
    json!({"type": "object", "properties": properties, "required": names})
}
