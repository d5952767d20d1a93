//! The JSON Schema (2020-12) of what is sent: what a receiver of an event may rely on, from what the table looks like now.
//!
//! A schema allows every body that is sent while the table stays as it is. Where the stream may leave a value out, or
//! `max_body` all of them, the schema says so.

mod value;

use serde_json::{Map, Value, json};

use crate::{
    config::{Action, Columns, PayloadFormat},
    payload::CONTENT_TYPE,
    postgres::{
        pgoutput::ReplicaIdentity,
        relation::{Column, Relation},
    },
};

/// An event, as far as its bodies depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
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
        /// Which columns are shown.
        columns: &'a Columns,
    },
    /// Whatever SQL says.
    Anything,
}

/// What the body is sent as.
pub fn content_type(payload: PayloadFormat) -> &'static str {
    match payload {
        PayloadFormat::RestHooks | PayloadFormat::Standard | PayloadFormat::Row => CONTENT_TYPE,
    }
}

/// The schema of the event's bodies in this shape.
pub fn schema(shape: Shape<'_>, payload: PayloadFormat) -> Value {
    let mut schema = match payload {
        PayloadFormat::RestHooks => rest_hooks(shape),
        PayloadFormat::Standard => standard(shape),
        PayloadFormat::Row => row_alone(shape),
    };
    let mut whole = Map::new();
    whole.insert(
        "$schema".into(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    whole.insert("title".into(), shape.event.into());
    if let Some(schema) = schema.as_object_mut() {
        whole.append(schema);
    }
    Value::Object(whole)
}

fn rest_hooks(shape: Shape<'_>) -> Value {
    let whole = json!({
        "type": "object",
        "properties": {
            "hook": {
                "type": "object",
                "properties": {
                    "id": {"type": ["integer", "string"]},
                    "event": {"const": shape.event},
                    "target": {"type": "string", "format": "uri"},
                },
                "required": ["id", "event", "target"],
            },
            "data": true,
            "left_out": names(),
        },
        "required": ["hook", "data"],
    });
    match shape.about {
        About::Row { .. } => whole_or_thin(whole, shape),
        // `send_hook_meta` may ask for what is said to be sent bare.
        About::Anything => json!({"anyOf": [whole, true]}),
    }
}

fn standard(shape: Shape<'_>) -> Value {
    let mut properties = json!({
        "type": {"const": shape.event},
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
    } = shape.about
    {
        properties["table"] = json!({"const": format!("{}.{}", relation.schema, relation.name)});
        properties["op"] = match action {
            Action::Created => json!({"const": "insert"}),
            Action::Updated => json!({"const": "update"}),
            Action::Deleted => json!({"const": "delete"}),
            Action::Named(_) => json!({"type": "string"}),
        };
        if *action == Action::Updated {
            properties["changed"] = json!({"anyOf": [names(), {"type": "null"}]});
            properties["old"] = json!({"anyOf": [fields(shape, &|_| false), {"type": "null"}]});
        }
    }
    let whole = json!({"type": "object", "properties": properties, "required": required});
    match shape.about {
        About::Row { .. } => whole_or_thin(whole, shape),
        About::Anything => whole,
    }
}

/// The row, or, above `max_body`, its key and the names of what was left out.
fn row_alone(shape: Shape<'_>) -> Value {
    if let About::Anything = shape.about {
        return json!({});
    }
    let mut thin = key(shape);
    thin["properties"]["left_out"] = names();
    if let Some(required) = thin["required"].as_array_mut() {
        required.push("left_out".into());
    }
    json!({"anyOf": [row(shape), thin]})
}

/// Says what `data` is: the row, or, where something was left out, its key.
fn whole_or_thin(mut schema: Value, shape: Shape<'_>) -> Value {
    schema["if"] = json!({"required": ["left_out"]});
    schema["then"] = json!({"properties": {"data": {"$ref": "#/$defs/key"}}});
    schema["else"] = json!({"properties": {"data": {"$ref": "#/$defs/row"}}});
    schema["$defs"] = json!({"row": row(shape), "key": key(shape)});
    schema
}

fn names() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

/// The row as an object. Required are the columns that no body of this event lacks.
fn row(shape: Shape<'_>) -> Value {
    let About::Row {
        relation, action, ..
    } = shape.about
    else {
        return json!({});
    };
    let always_there = |column: &Column| match action {
        Action::Created => !column.generated,
        Action::Updated => !column.generated && !column.large,
        Action::Deleted if relation.identity == ReplicaIdentity::Full => !column.generated,
        Action::Deleted => column.identity_key,
        Action::Named(_) => false,
    };
    fields(shape, &always_there)
}

/// What tells the row from others, as an object.
fn key(shape: Shape<'_>) -> Value {
    let About::Row { relation, .. } = shape.about else {
        return json!({});
    };
    let key = relation.key.iter();
    let key: Vec<&Column> = key.filter_map(|at| relation.columns.get(*at)).collect();
    object(key, &|_| true)
}

fn fields(shape: Shape<'_>, required: &dyn Fn(&Column) -> bool) -> Value {
    let About::Row {
        relation, columns, ..
    } = shape.about
    else {
        return json!({});
    };
    let shown = relation.columns.iter();
    let shown = shown.filter(|column| columns.show(&column.name));
    object(shown, required)
}

fn object<'a>(
    columns: impl IntoIterator<Item = &'a Column>,
    required: &dyn Fn(&Column) -> bool,
) -> Value {
    let mut properties = Map::new();
    let mut names = Vec::new();
    for column in columns {
        let schema = match column.nullable {
            true => value::nullable(&column.ty),
            false => value::of(&column.ty),
        };
        properties.insert(column.name.clone(), schema);
        if required(column) {
            names.push(column.name.as_str());
        }
    }
    // Columns that are added to the table later are shown too, so there may be others.
    json!({"type": "object", "properties": properties, "required": names})
}
