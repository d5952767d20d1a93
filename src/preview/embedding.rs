//! JSON Schemas as parts of a larger document: what they define themselves moves to the document's components.

use serde_json::{Map, Value};

/// What a definition of a schema is referred to by.
const DEFINITIONS: &str = "#/$defs/";

/// The schema as a part of a document. Its definitions are added to `components`, which stands at
/// `#/components/schemas`, under names that begin with `key`.
pub(super) fn embed(schema: &Value, key: &str, components: &mut Map<String, Value>) -> Value {
    let mut schema = schema.clone();
    redirect(&mut schema, key);
    let Some(fields) = schema.as_object_mut() else {
        return schema;
    };
    fields.remove("$schema");
    if let Some(Value::Object(definitions)) = fields.remove("$defs") {
        for (name, definition) in definitions {
            components.insert(format!("{key}.{name}"), definition);
        }
    }
    schema
}

/// Has all references to definitions lead to the components.
fn redirect(schema: &mut Value, key: &str) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "$ref" => {
                        if let Some(definition) = text.strip_prefix(DEFINITIONS) {
                            *text = format!("#/components/schemas/{key}.{definition}");
                        }
                    }
                    value => redirect(value, key),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| redirect(value, key)),
        _ => {}
    }
}

/// The key of an event among components, which may have letters, digits, dots, dashes and underscores.
pub(super) fn key(name: &str, taken: &Map<String, Value>) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_');
    let plain = |char| if is_plain(char) { char } else { '_' };
    let mut key: String = name.chars().map(plain).collect();
    while taken.contains_key(&key) {
        key.push('_');
    }
    key
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_schema_defines_is_found_among_the_components() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "anyOf": [{"$ref": "#/$defs/row"}, {"properties": {"a": {"$ref": "#/$defs/row"}}}],
            "$defs": {"row": {"items": {"$ref": "#/$defs/row"}}},
        });
        let mut components = Map::new();
        let row = json!({"$ref": "#/components/schemas/book.added.row"});
        assert_eq!(
            embed(&schema, "book.added", &mut components),
            json!({"anyOf": [row, {"properties": {"a": row}}]})
        );
        assert_eq!(json!(components), json!({"book.added.row": {"items": row}}));
    }

    #[test]
    fn no_two_events_have_one_key() {
        let taken = Map::from_iter([("a_b".to_owned(), Value::Null)]);
        assert_eq!(key("a.b-c", &taken), "a.b-c");
        assert_eq!(key("a:b", &taken), "a_b_");
    }
}
