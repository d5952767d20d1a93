//! What is sent of an event, as a receiver may rely on it.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Error, Office, Result};
use crate::{
    config::{EventSource, PayloadFormat},
    postgres::relation::Relation,
    preview::schema::{About, Subject, schema},
};

/// What an event is sent as, in one payload.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Sent {
    /// Of the body.
    #[schema(example = "application/json")]
    pub content_type: &'static str,
    /// The JSON Schema (2020-12) of the body; of each member, where a hook has its deliveries in batches.
    #[schema(value_type = Object)]
    pub schema: Value,
}

impl Office {
    /// What each payload sends of the event, by the payload's name, from what the table looks like now.
    ///
    /// # Errors
    /// When there is no such event, or its table is not there.
    pub async fn sent_of(&self, event: &str) -> Result<BTreeMap<&'static str, Sent>> {
        let rule = self.config.events.iter().find(|rule| rule.name == event);
        let source = match rule {
            Some(rule) => &rule.source,
            None if self.rules.map.of_message(event).is_some() => &EventSource::Custom,
            None => return Err(Error::not_found("event", event)),
        };
        let EventSource::Row { table, action, .. } = source else {
            return Ok(told(event, About::Anything));
        };
        let relation = Relation::find(&self.client, table).await;
        let relation = relation.with_context(|| format!("read what {table} looks like"))?;
        let relation = relation.ok_or_else(|| {
            Error::Conflict(format!(
                "the table {table} of the event {event} is not there; make it, or remove the event from hooks.toml"
            ))
        })?;
        let events = self.rules.map.of_table(table);
        let shape = events.map(|events| Arc::clone(&events.shape));
        let about = About::Row {
            relation: &relation,
            action,
            shape: &shape.unwrap_or_default(),
        };
        Ok(told(event, about))
    }
}

fn told(event: &str, about: About<'_>) -> BTreeMap<&'static str, Sent> {
    let subject = Subject { event, about };
    let sent = |(name, format): (_, PayloadFormat)| {
        let content_type = format.content_type();
        let schema = schema(subject, format);
        let sent = Sent {
            content_type,
            schema,
        };
        (name, sent)
    };
    PayloadFormat::all().map(sent).collect()
}
