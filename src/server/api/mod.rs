//! The REST API, under `/api`. Its OpenAPI document is made of this code, and served beside it.

mod backfills;
mod deliveries;
mod document;
mod events;
mod hooks;
mod status;
mod tokens;

use std::{sync::Arc, time::SystemTime};

use axum::{Router, middleware, routing::get, routing::post};
use serde::Deserialize;
use utoipa::IntoParams;

pub use self::document::document;
use super::{access, generation::Home, problem::Problem};
use crate::manage::PageRequest;

pub(super) fn router(home: &Arc<Home>) -> Router<Arc<Home>> {
    let guarded = Router::new()
        .route("/api/status", get(status::show))
        .route("/api/events", get(events::list))
        .route("/api/events/{name}", get(events::show))
        .route("/api/hooks", get(hooks::list).post(hooks::add))
        .route(
            "/api/hooks/{id}",
            get(hooks::show).patch(hooks::change).delete(hooks::remove),
        )
        .route("/api/hooks/{id}/enable", post(hooks::enable))
        .route("/api/hooks/{id}/disable", post(hooks::disable))
        .route("/api/hooks/{id}/rotate", post(hooks::rotate))
        .route("/api/hooks/{id}/test", post(hooks::test))
        .route("/api/hooks/{id}/deliveries", get(deliveries::of_hook))
        .route("/api/deliveries", get(deliveries::list))
        .route("/api/deliveries/{id}", get(deliveries::show))
        .route("/api/deliveries/{id}/retry", post(deliveries::retry))
        .route("/api/retry-dead", post(deliveries::retry_dead))
        .route("/api/replay", post(deliveries::replay))
        .route("/api/reload", post(status::reload))
        .route(
            "/api/backfills",
            get(backfills::list).post(backfills::begin),
        )
        .route(
            "/api/backfills/{id}",
            get(backfills::show).delete(backfills::cancel),
        )
        .route("/api/backfills/{id}/resume", post(backfills::resume))
        .route("/api/tokens", get(tokens::list).post(tokens::add))
        .route("/api/tokens/{id}", axum::routing::delete(tokens::revoke))
        .layer(middleware::from_fn_with_state(
            Arc::clone(home),
            access::access,
        ));
    Router::new()
        .route("/api/openapi.json", get(document::serve))
        .merge(guarded)
}

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Where to begin: `next` of the page before.
    cursor: Option<String>,
    /// So many at most; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

impl Part {
    fn page(&self) -> Result<PageRequest, Problem> {
        if self.limit.is_some_and(|limit| !(1..=200).contains(&limit)) {
            return Err(Problem::bad_request("limit is not from 1 to 200"));
        }
        Ok(PageRequest {
            cursor: self.cursor.clone(),
            limit: self.limit,
        })
    }
}

/// A time as RFC 3339 has it.
fn time(name: &str, text: Option<&str>) -> Result<Option<SystemTime>, Problem> {
    text.map(|text| {
        humantime::parse_rfc3339_weak(text).map_err(|_| {
            Problem::bad_request(format!(
                "{name} is no time; write it in UTC, as in 2026-01-31T12:00:00Z"
            ))
        })
    })
    .transpose()
}
