//! The schema of a row, by itself and as the data of other payloads.

use serde_json::{Map, Value, json};

use super::{
    subject::{About, Subject},
    value,
};
use crate::{config::Action, postgres::relation::Column};

/// The schema of `row`: the row, or, if the body would be larger than `max_body`, its key and the names of the columns
/// that are left out.
pub(super) fn schema(subject: Subject<'_>) -> Value {
    if let About::Anything = subject.about {
        return json!({});
    }
    if has_no_row(subject) {
        return json!({"type": "null"});
    }
    let mut thin = key(subject);
    thin["properties"]["left_out"] = names();
    if let Some(required) = thin["required"].as_array_mut() {
        required.push("left_out".into());
    }
    json!({"anyOf": [row(subject), thin]})
}

/// Adds what `data` is: the row, or its key if columns are left out.
pub(super) fn whole_or_thin(mut schema: Value, subject: Subject<'_>) -> Value {
    if has_no_row(subject) {
        schema["properties"]["data"] = json!({"type": "null"});
        return schema;
    }
    schema["if"] = json!({"required": ["left_out"]});
    schema["then"] = json!({"properties": {"data": {"$ref": "#/$defs/key"}}});
    schema["else"] = json!({"properties": {"data": {"$ref": "#/$defs/row"}}});
    schema["$defs"] = json!({"row": row(subject), "key": key(subject)});
    schema
}

/// Whether the event is about a table and no row of it.
pub(super) fn has_no_row(subject: Subject<'_>) -> bool {
    matches!(
        subject.about,
        About::Row {
            action: Action::Truncated,
            ..
        }
    )
}

/// The schema of a list of names of columns.
pub(super) fn names() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

/// The row as an object. The columns are required that every body of this event has.
fn row(subject: Subject<'_>) -> Value {
    let About::Row { action, shape, .. } = subject.about else {
        return json!({});
    };
    if shape.template().is_some() {
        // A template makes some JSON of the row. No more is known of it.
        return json!({});
    }
    let always_there = |column: &Column| is_always_there(action, column);
    fields(subject, &always_there)
}

/// Whether every body of this event has the column, unless it has the key alone. A large value may be missing from an
/// update because the stream leaves out what did not change, and a text because it is not UTF-8.
pub(super) fn is_always_there(action: &Action, column: &Column) -> bool {
    // Nor may a cast to json have an answer.
    if column.unchecked || column.ty.has_casts() {
        return false;
    }
    match action {
        Action::Created => !column.generated,
        Action::Updated => !column.generated && !column.toastable,
        Action::Deleted => column.identity_key,
        Action::Truncated | Action::Named(_) => false,
    }
}

/// The columns that identify the row, as an object.
fn key(subject: Subject<'_>) -> Value {
    let About::Row { relation, .. } = subject.about else {
        return json!({});
    };
    let key = relation.key.iter();
    let key = key.filter_map(|at| relation.columns.get(*at));
    let key = key.map(|column| (column.name.as_str(), column));
    object(key, &|column| !column.ty.has_casts())
}

/// The row as an object of the columns that bodies show. `required` says which of them every body has.
pub(super) fn fields(subject: Subject<'_>, required: &dyn Fn(&Column) -> bool) -> Value {
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
    // Other properties are allowed: columns that are added to the table later, and what `enrich` adds.
    json!({"type": "object", "properties": properties, "required": names})
}
