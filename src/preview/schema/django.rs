//! The schema of `django`: the row as Django's serializer writes it.

use serde_json::{Map, Value, json};

use super::{
    rest_hooks::with_hook,
    row::{has_no_row, is_always_there},
    subject::{About, Subject},
};
use crate::{payload::django, postgres::types::Type};

pub(super) fn schema(subject: Subject<'_>) -> Value {
    let About::Row {
        relation,
        action,
        shape,
    } = subject.about
    else {
        // A message may ask to be sent bare.
        return json!({"anyOf": [with_hook(subject, json!(true)), true]});
    };
    if has_no_row(subject) {
        return with_hook(subject, json!({"type": "null"}));
    }
    if shape.template().is_some() {
        return with_hook(subject, json!(true));
    }
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, at) in django::fields(relation, shape) {
        let Some(column) = at.and_then(|at| relation.columns.get(at)) else {
            continue;
        };
        properties.insert(name.to_owned(), value(&column.ty, column.nullable));
        if is_always_there(action, column) {
            required.push(name);
        }
    }
    let data = |fields: Value| {
        json!({
            "type": "object",
            "properties": {
                "model": {"const": django::label(relation, shape)},
                "pk": true,
                "fields": fields,
            },
            "required": ["model", "pk", "fields"],
        })
    };
    let whole = data(json!({"type": "object", "properties": properties, "required": required}));
    let mut schema = with_hook(subject, json!(true));
    schema["if"] = json!({"required": ["left_out"]});
    schema["then"] = json!({"properties": {"data": data(json!({"const": {}}))}});
    schema["else"] = json!({"properties": {"data": whole}});
    schema
}

fn value(ty: &Type, nullable: bool) -> Value {
    let word = match ty {
        Type::Bool => "boolean",
        Type::Integer => "integer",
        Type::Float => "number",
        Type::Json => return json!({}),
        _ => "string",
    };
    match nullable {
        true => json!({"type": [word, "null"]}),
        false => json!({"type": word}),
    }
}
