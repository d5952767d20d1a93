//! What is sent, as an AsyncAPI 3.0 document.

use serde_json::{Map, Value, json};

use super::{
    catalogue::{Described, Sent},
    embedding::{embed, key},
};

/// The document of these events in this payload format, which is a name of [`Described::payloads`].
pub fn document(title: &str, events: &[Described], payload: &str) -> Value {
    let (mut channels, mut operations) = (Map::new(), Map::new());
    let (mut messages, mut schemas) = (Map::new(), Map::new());
    for event in events {
        let Some(sent) = event.payloads.get(payload) else {
            continue;
        };
        let name = &event.event.name;
        let key = key(name, &messages);
        channels.insert(
            key.clone(),
            json!({
                "address": null,
                "description": "The target of each hook that is subscribed to the event.",
                "messages": {key.as_str(): {"$ref": format!("#/components/messages/{key}")}},
            }),
        );
        operations.insert(
            key.clone(),
            json!({
                "action": "send",
                "channel": {"$ref": format!("#/channels/{key}")},
                "messages": [{"$ref": format!("#/channels/{key}/messages/{key}")}],
            }),
        );
        let schema = embed(&sent.schema, &key, &mut schemas);
        messages.insert(key, message(event, sent, &schema));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": "1",
            "description": "What is POSTed to hooks. Requests are signed as Standard Webhooks describes.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    })
}

fn message(event: &Described, sent: &Sent, schema: &Value) -> Value {
    let headers = super::HEADERS.iter().map(|(name, description)| {
        let header = json!({"type": "string", "description": description});
        ((*name).to_owned(), header)
    });
    json!({
        "name": event.event.name,
        "title": event.event.name,
        "summary": event.event.description.clone().unwrap_or_default(),
        "contentType": sent.content_type,
        "headers": {"type": "object", "properties": headers.collect::<Map<_, _>>()},
        "payload": schema,
        "examples": [{"payload": sent.example}],
    })
}
