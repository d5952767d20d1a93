//! `/api/events`: the events that hooks may subscribe to.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::server::{
    access::Caller,
    problem::Problem,
    request::{Json, Path},
};
use crate::{
    config::{Config, EventSource},
    manage::{self, events::PayloadSchema},
    message::{GAP, OWN_EVENTS},
};

/// An event that hooks may subscribe to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventInfo {
    /// Its name.
    #[schema(example = "book.added")]
    name: String,
    /// What it is made of: `table.action` for changes of rows, `custom` for messages, `rowhook` for its own events.
    #[schema(example = "book.created")]
    source: String,
    /// Whether hooks of all owners get it, and not only those of the row's owner.
    all_owners: bool,
}

/// An event with the schemas of its payloads.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventDetail {
    #[serde(flatten)]
    event: EventInfo,
    /// What hooks are sent, by the name of the payload format.
    payloads: BTreeMap<&'static str, PayloadSchema>,
}

/// List the events.
#[utoipa::path(get, path = "/api/events", tag = "events", responses((status = 200, body = [EventInfo])))]
pub(super) async fn list(caller: Caller) -> Json<Vec<EventInfo>> {
    Json(events(&caller.generation.config).collect())
}

/// Show an event, with the JSON Schema of its body in each payload format.
#[utoipa::path(get, path = "/api/events/{name}", tag = "events",
    params(("name" = String, Path, description = "The event's name")),
    responses((status = 200, body = EventDetail)))]
pub(super) async fn show(caller: Caller, Path(name): Path) -> Result<Json<EventDetail>, Problem> {
    let event = events(&caller.generation.config).find(|event| event.name == name);
    let event = event.ok_or_else(|| manage::Error::NotFound {
        what: "event",
        id: name.clone(),
    })?;
    let admin = caller.admin().await?;
    let payloads = admin.payload_schemas(&name).await?;
    Ok(Json(EventDetail { event, payloads }))
}

fn events(config: &Config) -> impl Iterator<Item = EventInfo> {
    let named = config.events.iter().map(|rule| EventInfo {
        name: rule.name.clone(),
        source: match &rule.source {
            EventSource::Row { table, action, .. } => format!("{table}.{action}"),
            EventSource::Custom => "custom".to_owned(),
        },
        all_owners: rule.all_owners,
    });
    let own = OWN_EVENTS.iter().map(|name| EventInfo {
        name: (*name).to_owned(),
        source: "rowhook".to_owned(),
        all_owners: *name == GAP,
    });
    named.chain(own)
}
