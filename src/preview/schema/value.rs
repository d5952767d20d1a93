//! The JSON Schema of one value, as Postgres' `to_jsonb` writes it.

use serde_json::{Value, json};

use crate::postgres::types::Type;

/// The schema of a value that may be null.
pub(super) fn nullable(ty: &Type) -> Value {
    let mut schema = of(ty);
    if let (None, Some(Value::Array(choices))) =
        (schema.get("type").cloned(), schema.get_mut("anyOf"))
    {
        choices.push(json!({"type": "null"}));
        return schema;
    }
    match schema.get("type") {
        Some(Value::String(word)) if schema.get("enum").is_none() => {
            schema["type"] = json!([word, "null"]);
            schema
        }
        // A schema without conditions allows null already.
        None if schema.as_object().is_some_and(serde_json::Map::is_empty) => schema,
        _ => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

/// The schema of a value that is not null.
pub(super) fn of(ty: &Type) -> Value {
    match ty {
        Type::Bool => json!({"type": "boolean"}),
        Type::Integer => json!({"type": "integer"}),
        Type::Float | Type::Numeric => {
            json!({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]})
        }
        Type::Json | Type::Cast(_) => json!({}),
        // It has no offset, so it is not a `date-time`.
        Type::Timestamp => {
            json!({"type": "string", "pattern": r"^(\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?( BC)?|-?infinity)$"})
        }
        // Postgres has times that RFC 3339 has not: years of five digits, years before Christ, and infinity.
        Type::TimestampTz => {
            json!({"type": "string", "anyOf": [{"format": "date-time"}, {"pattern": r"^\d{5}| BC$|infinity$"}]})
        }
        Type::Date => {
            json!({"type": "string", "anyOf": [{"format": "date"}, {"pattern": r"^\d{5}| BC$|infinity$"}]})
        }
        Type::Time => json!({"type": "string", "pattern": r"^\d\d:\d\d:\d\d(\.\d{1,6})?$"}),
        Type::Uuid => json!({"type": "string", "format": "uuid"}),
        Type::Bytes => json!({"type": "string", "pattern": r"^\\x([0-9a-f]{2})*$"}),
        Type::Enum(labels) => json!({"type": "string", "enum": labels}),
        Type::Interval | Type::Text => json!({"type": "string"}),
        // The type does not say how many dimensions an array has.
        Type::Array { element, .. } => {
            json!({"type": "array", "items": {"anyOf": [nullable(element), {"type": "array"}]}})
        }
        Type::NumberVector => json!({"type": "array", "items": {"type": "integer"}}),
        Type::TextVector => json!({"type": "array", "items": {"type": "string"}}),
        Type::Composite(fields) => {
            let properties: serde_json::Map<String, Value> = fields
                .iter()
                .map(|(name, ty)| (name.clone(), nullable(ty)))
                .collect();
            let names: Vec<&String> = fields.iter().map(|(name, _)| name).collect();
            json!({"type": "object", "properties": properties, "required": names})
        }
        Type::Hstore => {
            json!({"type": "object", "additionalProperties": {"type": ["string", "null"]}})
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_value_is_what_its_type_says_and_nothing_else() {
        let array = Type::Array {
            element: Arc::new(Type::Integer),
            delimiter: b',',
        };
        let pair = Type::Composite(vec![("a".into(), Arc::new(Type::Bool))]);
        let mood = Type::Enum(vec!["sad".into(), "glad".into()]);
        for (ty, good, bad) in [
            (&Type::Integer, json!(7), json!(7.5)),
            (&Type::Numeric, json!("NaN"), json!("7")),
            (&Type::Json, json!([{}, null]), Value::Null),
            (
                &Type::Timestamp,
                json!("2024-05-01T12:00:00.5"),
                json!("2024-05-01 12:00:00"),
            ),
            (&Type::Timestamp, json!("-infinity"), json!("")),
            (
                &Type::TimestampTz,
                json!("2024-05-01T12:00:00+00:00"),
                json!("2024-05-01T12:00:00"),
            ),
            (
                &Type::TimestampTz,
                json!("0044-03-15T12:00:00+00:00 BC"),
                json!(0),
            ),
            (&Type::Date, json!("2024-02-29"), json!("2023-02-29")),
            (&Type::Time, json!("24:00:00"), json!("noon")),
            (
                &Type::Uuid,
                json!("6f1c0f0e-7c43-4a3b-8f5b-0a3f5e1d2c4b"),
                json!("6f1c"),
            ),
            (&Type::Bytes, json!("\\x00ff"), json!("\\x0")),
            (&mood, json!("sad"), json!("angry")),
            (&array, json!([1, null, [2]]), json!(["1"])),
            (&pair, json!({"a": null}), json!({})),
            (&Type::Hstore, json!({"a": null}), json!({"a": 1})),
        ] {
            let compile = |schema| {
                let options = jsonschema::options().should_validate_formats(true);
                options.build(&schema).unwrap()
            };
            assert!(compile(of(ty)).is_valid(&good), "{ty:?}: {good}");
            assert!(compile(nullable(ty)).is_valid(&Value::Null), "{ty:?}");
            assert!(compile(nullable(ty)).is_valid(&good), "{ty:?}: {good}");
            if !bad.is_null() {
                assert!(!compile(of(ty)).is_valid(&bad), "{ty:?}: {bad}");
                assert!(!compile(nullable(ty)).is_valid(&bad), "{ty:?}: {bad}");
            }
        }
    }
}
