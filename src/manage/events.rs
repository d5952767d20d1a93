//! What a receiver gets for an event, as JSON Schemas that it may rely on.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Admin, Error, Result};
use crate::{
    config::{EventSource, PayloadFormat},
    postgres::relation::Relation,
    preview::schema::{About, Subject, schema},
};

/// The body of an event in one payload format.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Sent)]
pub struct PayloadSchema {
    /// The content type of the body.
    #[schema(example = "application/json")]
    pub content_type: &'static str,
    /// The JSON Schema (2020-12) of the body. If a hook gets batches, the schema is that of each member.
    #[schema(value_type = Object)]
    pub schema: Value,
}

impl Admin {
    /// The schemas of an event by the names of the payload formats, for the table as it is now.
    ///
    /// # Errors
    /// When there is no such event, or its table does not exist.
    pub async fn payload_schemas(
        &self,
        event: &str,
    ) -> Result<BTreeMap<&'static str, PayloadSchema>> {
        let rule = self.config.events.iter().find(|rule| rule.name == event);
        let source = match rule {
            Some(rule) => &rule.source,
            None if self.rules.events.of_message(event).is_some() => &EventSource::Custom,
            None => return Err(Error::not_found("event", event)),
        };
        let EventSource::Row { table, action, .. } = source else {
            return Ok(schemas_of(event, About::Anything));
        };
        let relation = Relation::find(&self.client, table).await;
        let relation = relation.with_context(|| format!("read what {table} looks like"))?;
        let relation = relation.ok_or_else(|| {
            Error::Conflict(format!(
                "the table {table} of the event {event} is not there; make it, or remove the event from hooks.toml"
            ))
        })?;
        let events = self.rules.events.of_table(table);
        let shape = events.map(|events| Arc::clone(&events.shape));
        let about = About::Row {
            relation: &relation,
            action,
            shape: &shape.unwrap_or_default(),
        };
        Ok(schemas_of(event, about))
    }
}

/// The schema of each payload format.
fn schemas_of(event: &str, about: About<'_>) -> BTreeMap<&'static str, PayloadSchema> {
    let subject = Subject { event, about };
    let formats = PayloadFormat::all().map(|(name, format)| {
        let schema = PayloadSchema {
            content_type: format.content_type(),
            schema: schema(subject, format),
        };
        (name, schema)
    });
    formats.collect()
}
