//! Health checks for supervisors: `/health/live` and `/health/ready`.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{request::Json, state::AppState};
use crate::run::health::Link;

/// `GET /health/live`: a process that answers is alive.
pub(super) async fn live() -> &'static str {
    "alive\n"
}

/// `GET /health/ready`: ready while attached and confirming, or while standing by for another rowhook.
pub(super) async fn ready(State(state): State<Arc<AppState>>) -> impl IntoResponse {
    let (ready, word) = readiness(&state);
    (status(ready), Json(json!({"ready": ready, "state": word})))
}

/// `GET /health/ready` where there are several databases: ready while one of them is, so that one that is not does not
/// cut the others off.
pub(super) fn all_ready(databases: &[Arc<AppState>]) -> impl IntoResponse + use<> {
    let each = databases.iter().map(|state| {
        let (ready, word) = readiness(state);
        (state.name(), json!({"ready": ready, "state": word}))
    });
    let each: Map<String, Value> = each.collect();
    let count = each.values().filter(|one| one["ready"] == true).count();
    let word = format!("{count} of {} databases are ready", each.len());
    let body = json!({"ready": count > 0, "state": word, "databases": each});
    (status(count > 0), Json(body))
}

/// Whether a database is followed, and in which state it is.
pub(super) fn readiness(state: &AppState) -> (bool, &'static str) {
    let now = state.current().handles.health.now(Instant::now());
    match (now.link, now.stalled) {
        (Link::Attached, false) => (true, "attached"),
        (Link::Attached, true) => (false, "attached, but nothing has been confirmed for long"),
        (Link::Standby, _) => (true, "standby"),
        (Link::Sending, _) => (true, "sending"),
        (Link::Down, _) if now.set_aside.is_some() => {
            (false, "set aside until somebody acts; the log says why")
        }
        (Link::Down, _) => (false, "not attached"),
    }
}

fn status(ready: bool) -> StatusCode {
    match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}
