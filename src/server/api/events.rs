//! `/api/events`: what a hook may listen to.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::{access::Visit, request::Json};
use crate::config::{Config, EventSource, OWN_EVENTS};

/// Something that hooks may listen to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventInfo {
    /// Its name.
    #[schema(example = "book.added")]
    name: String,
    /// What makes it happen: `table.action`, `custom`, or `rowhook` itself.
    #[schema(example = "book.created")]
    source: String,
    /// Hooks of all owners hear it, and not only those of the row's.
    all_owners: bool,
}

/// List the events.
#[utoipa::path(get, path = "/api/events", tag = "events", responses((status = 200, body = [EventInfo])))]
pub(super) async fn list(visit: Visit) -> Json<Vec<EventInfo>> {
    Json(events(&visit.house.config))
}

fn events(config: &Config) -> Vec<EventInfo> {
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
        all_owners: *name == crate::config::GAP,
    });
    named.chain(own).collect()
}
