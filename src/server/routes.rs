//! The routes of one database.

use std::sync::Arc;

use axum::{Router, middleware, routing::get};

use super::{api, cors, health, keys, metrics, page, panics, problem, state::AppState, visitor};

pub(super) fn routes(state: &Arc<AppState>) -> Router {
    Router::new()
        .merge(api::router(state))
        .merge(page::router(state))
        .route("/metrics", get(metrics::metrics))
        .route("/.well-known/webhook-keys", get(keys::serve))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(state),
            cors::cors,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(state),
            panics::catch,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(state),
            visitor::recognize,
        ))
        .with_state(Arc::clone(state))
}
