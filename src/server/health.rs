//! Health checks for supervisors: `/health/live` and `/health/ready`.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde_json::json;
use tokio::time::Instant;

use super::{request::Json, state::AppState};
use crate::run::health::Link;

/// `GET /health/live`: a process that answers is alive.
pub(super) async fn live() -> &'static str {
    "alive\n"
}

/// `GET /health/ready`: ready while attached and confirming, or while standing by for another rowhook.
pub(super) async fn ready(State(state): State<Arc<AppState>>) -> impl IntoResponse {
    let now = state.current().handles.health.now(Instant::now());
    let (ready, word) = match (now.link, now.stalled) {
        (Link::Attached, false) => (true, "attached"),
        (Link::Attached, true) => (false, "attached, but nothing has been confirmed for long"),
        (Link::Standby, _) => (true, "standby"),
        (Link::Down, _) => (false, "not attached"),
    };
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({"ready": ready, "state": word})))
}
