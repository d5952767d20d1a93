//! The schemas of the OpenAPI document as generators of clients need them: each type stands once and has a name, what
//! is always there is said to be, and nothing else is left to guess.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Where a document refers to its schemas.
const PREFIX: &str = "#/components/schemas/";

/// Completes the schemas of a document.
pub(super) fn complete(document: &mut Value) {
    name_pages(document);
    let taken = taken(document);
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        // Answers have all their keys, with null where there is no value.
        if !taken.contains(name) {
            require_all(schema);
        }
    }
    name_parts(document);
}

/// Calls the page of a list of hooks `HookPage`, and has it refer to `Hook`. As it is derived it is `Page_Hook`, and
/// has the type of its entries written out once more, which would be a second type without a name.
fn name_pages(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else {
        return;
    };
    let mut named = Map::new();
    for (name, mut schema) in std::mem::take(schemas) {
        match name.strip_prefix("Page_") {
            Some(entry) => {
                schema["properties"]["data"]["items"] = json!({"$ref": format!("{PREFIX}{entry}")});
                named.insert(format!("{entry}Page"), schema);
            }
            None => {
                named.insert(name, schema);
            }
        }
    }
    named.sort_keys();
    *schemas = named;
    walk(document, &mut |object| {
        let target = object.get_mut("$ref");
        let Some(Value::String(target)) = target else {
            return;
        };
        if let Some(entry) = target.strip_prefix(&format!("{PREFIX}Page_")) {
            *target = format!("{PREFIX}{entry}Page");
        }
    });
}

/// The names of the schemas that requests are made of. Their keys may be left out as the types say.
fn taken(document: &Value) -> BTreeSet<String> {
    let mut taken = BTreeSet::new();
    let paths = document["paths"].as_object().into_iter().flatten();
    for (_, operations) in paths {
        for operation in operations.as_object().into_iter().flat_map(Map::values) {
            gather(&operation["requestBody"], document, &mut taken);
        }
    }
    taken
}

/// Adds the names that a value refers to, and those that these refer to.
fn gather(value: &Value, document: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            let target = object.get("$ref").and_then(Value::as_str);
            if let Some(name) = target.and_then(|target| target.strip_prefix(PREFIX))
                && names.insert(name.to_owned())
            {
                gather(&document["components"]["schemas"][name], document, names);
            }
            for value in object.values() {
                gather(value, document, names);
            }
        }
        Value::Array(values) => {
            for value in values {
                gather(value, document, names);
            }
        }
        _ => {}
    }
}

/// Says of each property of an object, and of what it is made of, that it is always there.
fn require_all(schema: &mut Value) {
    if let Some(properties) = schema["properties"].as_object() {
        let names: Vec<&String> = properties.keys().collect();
        schema["required"] = json!(names);
    }
    // An index would add the key.
    let parts = schema.get_mut("allOf").and_then(Value::as_array_mut);
    for part in parts.into_iter().flatten() {
        require_all(part);
    }
}

/// Has what stands within others refer to a type with a name: objects whose keys are not known, and lists of values
/// that are those of such a type. Generators would make up a name for each place.
fn name_parts(document: &mut Value) {
    let mut names = Names::default();
    let schemas = document["components"]["schemas"].as_object();
    for (name, schema) in schemas.into_iter().flatten() {
        if let Some(values) = schema.get("enum") {
            names.lists.push((values.clone(), name.clone()));
        }
    }
    let schemas = document["components"]["schemas"].as_object_mut();
    for schema in schemas.into_iter().flat_map(Map::values_mut) {
        // Not itself, which has a name.
        names.refer_below(schema);
    }
    names.refer_below(&mut document["paths"]);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.append(&mut names.objects);
        schemas.sort_keys();
    }
}

/// What the parts of schemas are called.
#[derive(Default)]
struct Names {
    /// The values of a type that has only some, and its name.
    lists: Vec<(Value, String)>,
    /// The objects with any keys that there are, by their names.
    objects: Map<String, Value>,
}

impl Names {
    fn refer_below(&mut self, value: &mut Value) {
        match value {
            Value::Object(object) => {
                for value in object.values_mut() {
                    self.refer(value);
                }
            }
            Value::Array(values) => {
                for value in values {
                    self.refer(value);
                }
            }
            _ => {}
        }
    }

    fn refer(&mut self, value: &mut Value) {
        let named = value.as_object().and_then(|object| self.named(object));
        match named {
            Some(reference) => *value = reference,
            None => self.refer_below(value),
        }
    }

    /// The reference that takes the place of a schema, if there is one.
    fn named(&mut self, object: &Map<String, Value>) -> Option<Value> {
        if let Some(values) = object.get("enum") {
            let (_, name) = self.lists.iter().find(|(known, _)| known == values)?;
            return Some(json!({"$ref": format!("{PREFIX}{name}")}));
        }
        let (is_object, is_nullable) = match object.get("type")? {
            Value::String(kind) => (kind == "object", false),
            Value::Array(kinds) => (
                kinds.iter().any(|kind| kind == "object"),
                kinds.iter().any(|kind| kind == "null"),
            ),
            _ => (false, false),
        };
        if !is_object || object.contains_key("properties") {
            return None;
        }
        let string = json!({"type": "string"});
        let (name, description, values) = match object.get("additionalProperties") {
            None | Some(Value::Bool(true)) => {
                ("AnyObject", "An object with any keys.", json!(true))
            }
            Some(values) if *values == string => ("StringMap", "Texts by their keys.", string),
            Some(_) => return None,
        };
        self.objects.insert(
            name.to_owned(),
            json!({"type": "object", "description": description, "additionalProperties": values}),
        );
        let reference = json!({"$ref": format!("{PREFIX}{name}")});
        let mut reference = match is_nullable {
            true => json!({"oneOf": [reference, {"type": "null"}]}),
            false => reference,
        };
        if let Some(description) = object.get("description") {
            reference["description"] = description.clone();
        }
        Some(reference)
    }
}

/// Calls `change` for each object of the document, from the outside in.
fn walk(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            for value in object.values_mut() {
                walk(value, change);
            }
        }
        Value::Array(values) => {
            for value in values {
                walk(value, change);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{super::document, *};

    #[test]
    fn each_operation_has_a_name_of_its_own_that_says_what_is_done_to_what() {
        let document = document();
        let mut names = BTreeSet::new();
        let paths = document["paths"].as_object().unwrap();
        for (path, operations) in paths {
            for (method, operation) in operations.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap();
                let words = name.chars().filter(char::is_ascii_uppercase).count();
                assert!(
                    words > 0 && name.chars().all(|c| c.is_ascii_alphabetic()),
                    "{method} {path}: {name:?}; give it an operation_id such as listHooks"
                );
                assert!(names.insert(name.to_owned()), "{name} stands twice");
            }
        }
    }

    #[test]
    fn an_answer_has_all_its_keys_and_a_request_those_that_it_needs() {
        let document = document();
        let required = |name: &str| {
            let schema = &document["components"]["schemas"][name];
            schema["required"].as_array().map(Vec::len)
        };
        let properties = |name: &str| {
            let schema = &document["components"]["schemas"][name];
            schema["properties"].as_object().map(Map::len)
        };
        assert_eq!(required("Hook"), properties("Hook"));
        assert_eq!(required("NewHook"), Some(1));
        assert_eq!(required("HookChange"), None);
    }

    #[test]
    fn each_type_stands_once_and_has_a_name() {
        let mut document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.contains_key("HookPage"), "{:?}", schemas.keys());
        let entry = &schemas["HookPage"]["properties"]["data"]["items"];
        assert_eq!(*entry, json!({"$ref": "#/components/schemas/Hook"}));
        let names: BTreeSet<String> = schemas.keys().cloned().collect();
        let mut missing = Vec::new();
        walk(&mut document, &mut |object| {
            let target = object.get("$ref").and_then(Value::as_str);
            if let Some(target) = target
                && !names.contains(target.trim_start_matches(PREFIX))
            {
                missing.push(target.to_owned());
            }
        });
        assert!(missing.is_empty(), "{missing:?}");
        // What stands within another type and has keys of its own would have no name.
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let mut parts = vec![schema];
            parts.extend(schema["allOf"].as_array().into_iter().flatten());
            for part in parts {
                for (key, property) in part["properties"].as_object().into_iter().flatten() {
                    let text = property.to_string();
                    for anonymous in [
                        "\"properties\"",
                        "\"enum\"",
                        "\"additionalProperties\":true",
                    ] {
                        assert!(!text.contains(anonymous), "{name}.{key}: {text}");
                    }
                }
            }
        }
    }
}
