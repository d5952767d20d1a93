//! The REST API, under `/api`. Its OpenAPI document is derived from this code, and served at `/api/openapi.json`.

mod ask;
mod audit;
mod backfills;
mod deliveries;
mod document;
mod events;
mod forget;
mod hooks;
mod params;
mod portal;
mod schemas;
mod status;
mod tokens;

use std::sync::Arc;

use axum::{Router, middleware, routing::get, routing::post};

pub use self::document::document;
use super::{access, state::AppState};

pub(super) fn router(state: &Arc<AppState>) -> Router<Arc<AppState>> {
    let guarded = Router::new()
        .route("/api/status", get(status::show))
        .route("/api/events", get(events::list))
        .route("/api/events/{name}", get(events::show))
        .route("/api/hooks", get(hooks::list).post(hooks::add))
        .route(
            "/api/hooks/{id}",
            get(hooks::show)
                .patch(hooks::change)
                .put(hooks::replace)
                .delete(hooks::remove),
        )
        .route("/api/events/{name}/samples", get(events::samples))
        .route("/api/hooks/{id}/enable", post(hooks::enable))
        .route("/api/hooks/{id}/disable", post(hooks::disable))
        .route("/api/hooks/{id}/rotate", post(hooks::rotate))
        .route("/api/hooks/{id}/test", post(hooks::test))
        .route("/api/hooks/{id}/deliveries", get(deliveries::of_hook))
        .route("/api/deliveries", get(deliveries::list))
        .route("/api/deliveries/retry", post(deliveries::retry_many))
        .route("/api/deliveries/{id}", get(deliveries::show))
        .route("/api/deliveries/{id}/retry", post(deliveries::retry))
        .route("/api/retry-dead", post(deliveries::retry_dead))
        .route("/api/replay", post(deliveries::replay))
        .route("/api/reload", post(status::reload))
        .route("/api/portal", post(portal::add))
        .route("/api/forget", post(forget::owner))
        .route("/api/audit", get(audit::list))
        .route("/api/ask/{event}", post(ask::ask))
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
            Arc::clone(state),
            access::require_caller,
        ));
    Router::new()
        .route("/api/openapi.json", get(document::serve))
        .merge(guarded)
}
