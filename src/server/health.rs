//! For whoever starts and stops rowhook: is it alive, and is it at work?

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde_json::json;
use tokio::time::Instant;

use super::{generation::Home, request::Json};
use crate::run::health::Link;

/// It answers, so it is alive.
pub(super) async fn live() -> &'static str {
    "alive\n"
}

/// It is at work: attached and going on, or standing by.
pub(super) async fn ready(State(home): State<Arc<Home>>) -> impl IntoResponse {
    let now = home.now().handles.health.now(Instant::now());
    let (ready, state) = match (now.link, now.stalled) {
        (Link::Attached, false) => (true, "attached"),
        (Link::Attached, true) => (false, "attached, but nothing has been confirmed for long"),
        (Link::Standby, _) => (true, "standby"),
        (Link::Down, _) => (false, "not attached"),
    };
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({"ready": ready, "state": state})))
}
