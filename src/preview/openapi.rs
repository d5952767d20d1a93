//! What is sent, as the `webhooks` of an OpenAPI 3.1 document.

use serde_json::{Map, Value, json};

use super::{
    catalogue::{Described, Sent},
    embedding::{embed, key},
};

/// The document of these events in this payload format, which is a name of [`Described::payloads`].
pub fn document(title: &str, events: &[Described], payload: &str) -> Value {
    let (mut webhooks, mut schemas, mut keys) = (Map::new(), Map::new(), Map::new());
    for event in events {
        let Some(sent) = event.payloads.get(payload) else {
            continue;
        };
        let key = key(&event.event.name, &keys);
        let schema = embed(&sent.schema, &key, &mut schemas);
        keys.insert(key, Value::Null);
        webhooks.insert(event.event.name.clone(), webhook(event, sent, &schema));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": "1",
            "description": "What is POSTed to hooks. Requests are signed as Standard Webhooks describes.",
        },
        "webhooks": webhooks,
        "components": {"schemas": schemas},
    })
}

fn webhook(event: &Described, sent: &Sent, schema: &Value) -> Value {
    let parameters = super::HEADERS.iter().map(|(name, description)| {
        json!({
            "name": name,
            "in": "header",
            "required": true,
            "description": description,
            "schema": {"type": "string"},
        })
    });
    json!({
        "post": {
            "operationId": event.event.name,
            "summary": event.event.name,
            "description": event.event.description.clone().unwrap_or_default(),
            "parameters": Vec::from_iter(parameters),
            "requestBody": {
                "required": true,
                "content": {
                    sent.content_type: {"schema": schema, "example": sent.example},
                },
            },
            "responses": {
                "2XX": {"description": "It has arrived."},
                "410": {"description": "The hook is disabled."},
                "default": {"description": "It is sent again later."},
            },
        },
    })
}
