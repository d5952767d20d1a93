//! The catalogue: each event with what it means, and what receivers are sent of it in each payload format.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Client;
use utoipa::ToSchema;

use super::{
    example,
    schema::{About, Subject, schema},
};
use crate::{
    config::{Config, EventRule, EventSource, PayloadFormat},
    event::{Event, EventMap},
    message::{DELIVERED, GAP, HOOK_DISABLED, OWN_EVENTS},
    postgres::{TableName, relation::Relation},
};

/// An event that hooks may subscribe to.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = EventInfo)]
pub struct Listed {
    /// Its name.
    #[schema(example = "book.added")]
    pub name: String,
    /// What it is made of: `table.action` for changes of rows, `custom` for messages, `rowhook` for its own events.
    #[schema(example = "book.created")]
    pub source: String,
    /// Whether hooks of all owners get it, and not only those of the row's owner.
    pub all_owners: bool,
    /// What it means, as hooks.toml says.
    pub description: Option<String>,
}

/// The body of an event in one payload format.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = EventPayload)]
pub struct Sent {
    /// The content type of the body.
    #[schema(example = "application/json")]
    pub content_type: &'static str,
    /// The JSON Schema (2020-12) of the body. If a hook gets batches, the schema is that of each member.
    #[schema(value_type = Object)]
    pub schema: Value,
    /// A body with made-up values.
    #[schema(value_type = Object)]
    pub example: Value,
}

/// An event with the bodies that are sent of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = EventDetail)]
pub struct Described {
    /// The event.
    #[serde(flatten)]
    pub event: Listed,
    /// What hooks are sent, by the name of the payload format.
    pub payloads: BTreeMap<&'static str, Sent>,
}

/// Why an event cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its table does not exist.
    #[error(
        "the table {table} of the event {event} is not there; make it, or remove the event from hooks.toml"
    )]
    NoTable {
        /// The event.
        event: String,
        /// The table.
        table: TableName,
    },
    /// The database did not answer, or an example could not be made.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// All events, in the order of hooks.toml. rowhook's own come last.
pub fn list(config: &Config) -> impl Iterator<Item = Listed> {
    let named = config.events.iter().map(of_rule);
    named.chain(OWN_EVENTS.iter().map(|name| of_own(name)))
}

fn of_rule(rule: &EventRule) -> Listed {
    Listed {
        name: rule.name.clone(),
        source: rule.source.to_string(),
        all_owners: rule.all_owners,
        description: rule.description.clone(),
    }
}

fn of_own(name: &str) -> Listed {
    let description = match name {
        HOOK_DISABLED => "A hook was disabled, because it is gone or has failed for too long.",
        DELIVERED => "A delivery has arrived.",
        GAP => "Some changes may never be told.",
        _ => "",
    };
    Listed {
        name: name.to_owned(),
        source: "rowhook".to_owned(),
        all_owners: name == GAP,
        description: Some(description.to_owned()),
    }
}

/// One event, with its table as it is now. `None` if there is no event of this name.
///
/// # Errors
/// When its table does not exist, or the database does not answer.
pub async fn describe(
    client: &Client,
    config: &Config,
    events: &EventMap,
    name: &str,
) -> Result<Option<Described>, Error> {
    let Some(event) = list(config).find(|event| event.name == name) else {
        return Ok(None);
    };
    let rule = config.events.iter().find(|rule| rule.name == name);
    let table = rule.and_then(|rule| rule.source.table());
    let relations = relations(client, table).await?;
    Described::new(config, events, event, rule, &relations).map(Some)
}

/// All events, with their tables as they are now. Those whose tables do not exist are left out.
///
/// # Errors
/// When the database does not answer.
pub async fn describe_all(
    client: &Client,
    config: &Config,
    events: &EventMap,
) -> Result<Vec<Described>, Error> {
    let tables = config.events.iter().filter_map(|rule| rule.source.table());
    let relations = relations(client, tables).await?;
    let mut described = Vec::new();
    for event in list(config) {
        let rule = config.events.iter().find(|rule| rule.name == event.name);
        match Described::new(config, events, event, rule, &relations) {
            Ok(event) => described.push(event),
            Err(Error::NoTable { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(described)
}

async fn relations<'a>(
    client: &Client,
    tables: impl IntoIterator<Item = &'a TableName>,
) -> Result<HashMap<TableName, Arc<Relation>>> {
    let found = Relation::find_all(client, tables).await;
    let found = found.context("read what the tables of events look like")?;
    let found = found.into_iter();
    Ok(found
        .map(|(table, relation)| (table, Arc::new(relation)))
        .collect())
}

impl Described {
    fn new(
        config: &Config,
        events: &EventMap,
        event: Listed,
        rule: Option<&EventRule>,
        relations: &HashMap<TableName, Arc<Relation>>,
    ) -> Result<Self, Error> {
        let payloads = match rule.map(|rule| (rule, &rule.source)) {
            Some((rule, EventSource::Row { table, action, .. })) => {
                let relation = relations.get(table).ok_or_else(|| Error::NoTable {
                    event: event.name.clone(),
                    table: table.clone(),
                })?;
                let shape = events
                    .of_table(table)
                    .map(|events| Arc::clone(&events.shape));
                let about = About::Row {
                    relation,
                    action,
                    shape: &shape.unwrap_or_default(),
                };
                let example = example::of_rule(config, events, rule, Some(relation))?;
                payloads(config, about, &example)?
            }
            Some((rule, EventSource::Custom)) => {
                let example = example::of_rule(config, events, rule, None)?;
                payloads(config, About::Anything, &example)?
            }
            None => {
                let example = example::of_own(&event.name).context("make an example")?;
                payloads(config, About::Anything, &example)?
            }
        };
        Ok(Self { event, payloads })
    }
}

/// What is sent in each payload format.
fn payloads(
    config: &Config,
    about: About<'_>,
    example: &Event,
) -> Result<BTreeMap<&'static str, Sent>> {
    let subject = Subject {
        event: &example.name,
        about,
    };
    let formats = PayloadFormat::all().map(|(name, format)| {
        let body = example::body(example, format, &config.delivery)?;
        let sent = Sent {
            content_type: format.content_type(),
            schema: schema(subject, format),
            example: serde_json::from_slice(&body).context("read an example")?,
        };
        Ok((name, sent))
    });
    formats.collect()
}
