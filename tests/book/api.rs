//! The reference of the HTTP API, made from its OpenAPI document.

use serde_json::Value;

use super::text::{cell, escaped, head, row};

/// All operations, and the objects that they take and answer with.
pub fn all() -> String {
    let document = rowhook::server::api::document();
    let mut chapter = String::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            chapter.push_str(&one(path, method, operation));
        }
    }
    chapter.push_str("## Objects\n\n");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        chapter.push_str(&object(name, schema));
    }
    chapter
}

fn one(path: &str, method: &str, operation: &Value) -> String {
    let mut shown = format!("## {} {path}\n\n", method.to_uppercase());
    for said in ["summary", "description"] {
        if let Some(said) = operation[said].as_str() {
            shown.push_str(&format!("{}\n\n", escaped(said)));
        }
    }
    let name = operation["operationId"].as_str().unwrap();
    shown.push_str(&format!(
        "Its name in [clients](clients.md) is `{name}`.\n\n"
    ));
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let mut rows = String::new();
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap();
        // It is said once, above all operations.
        if name == "Idempotency-Key" {
            continue;
        }
        let place = parameter["in"].as_str().unwrap();
        let what = said(parameter)
            .or(said(&parameter["schema"]))
            .unwrap_or_default();
        let name = format!("`{name}`");
        rows.push_str(&row([
            &name,
            place,
            &kind(&parameter["schema"]),
            &cell(what),
        ]));
    }
    if !rows.is_empty() {
        shown.push_str(&head(["parameter", "in", "type", "what it is"]));
        shown.push_str(&rows);
        shown.push('\n');
    }
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        let types: Vec<String> = content.keys().map(|name| format!("`{name}`")).collect();
        let schema = content
            .values()
            .next()
            .map(|content| kind(&content["schema"]));
        shown.push_str(&format!(
            "Body: {}, as {}.\n\n",
            schema.unwrap_or_default(),
            types.join(" or ")
        ));
    }
    let responses = operation["responses"].as_object().unwrap().iter();
    // What goes wrong is the same everywhere, and is told once.
    let answers = responses.filter(|(status, _)| *status != "default");
    let answers: Vec<String> = answers.map(|(status, it)| answer(status, it)).collect();
    shown.push_str(&format!("Answer: {}.\n\n", answers.join(", or ")));
    shown
}

/// A status, with what it means and the body that comes with it.
fn answer(status: &str, response: &Value) -> String {
    let content = response["content"].as_object().into_iter().flatten().next();
    let body = content.map(|(name, content)| match &content["schema"] {
        Value::Null => format!("`{name}`"),
        schema => kind(schema),
    });
    // The document says this of what has no description.
    let what = said(response).filter(|what| *what != "What was asked for");
    let parts = [Some(status.to_owned()), what.map(escaped), body];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn said(value: &Value) -> Option<&str> {
    value["description"].as_str()
}

fn object(name: &str, schema: &Value) -> String {
    let mut shown = format!("### {name}\n\n");
    if let Some(said) = said(schema) {
        shown.push_str(&format!("{}\n\n", escaped(said)));
    }
    let (mut properties, mut required) = (Vec::new(), Vec::new());
    gather(schema, &mut properties, &mut required);
    if properties.is_empty() {
        shown.push_str(&format!("{}\n\n", kind(schema)));
        return shown;
    }
    shown.push_str(&head(["key", "type", "what it is"]));
    for (key, property) in properties {
        let mut what = cell(said(property).unwrap_or_default());
        if required.contains(&key) {
            what = format!("Always there. {what}").trim_end().to_owned();
        }
        shown.push_str(&row([&format!("`{key}`"), &kind(property), &what]));
    }
    shown.push('\n');
    shown
}

/// The properties of an object, also of those that it is made of.
fn gather<'a>(
    schema: &'a Value,
    properties: &mut Vec<(&'a str, &'a Value)>,
    required: &mut Vec<&'a str>,
) {
    let own = schema["properties"].as_object().into_iter().flatten();
    properties.extend(own.map(|(key, property)| (key.as_str(), property)));
    let names = schema["required"].as_array().into_iter().flatten();
    required.extend(names.filter_map(Value::as_str));
    for part in schema["allOf"].as_array().into_iter().flatten() {
        gather(part, properties, required);
    }
}

/// The type of a value, as people write it.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for parts in ["oneOf", "anyOf", "allOf"] {
        if let Some(parts) = schema[parts].as_array() {
            return parts.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        return values.join(" or ");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", kind(&schema["items"])),
        Value::String(name) => match schema["format"].as_str() {
            Some(format) if name == "string" => format!("{name} ({format})"),
            _ => name.clone(),
        },
        Value::Array(names) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            names.join(" or ")
        }
        _ => "any".to_owned(),
    }
}

#[test]
fn the_reference_has_every_operation() {
    let chapter = all();
    for heading in [
        "## POST /api/hooks\n",
        "## DELETE /api/tokens/{id}\n",
        "### Problem\n",
    ] {
        assert!(chapter.contains(heading), "{heading} in {chapter}");
    }
}
