//! A request whose handler panics gets an answer, and concerns no other request.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{problem::Problem, state::AppState};
use crate::panics::caught;

/// Answers 500 where the handler panics. What it had borrowed goes back as its guards are dropped.
pub(super) async fn catch(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    match caught(next.run(request)).await {
        Ok(response) => response,
        Err(panic) => {
            let meters = &state.current().handles.meters;
            meters.panics.request.fetch_add(1, Relaxed);
            tracing::error!(%method, path, %panic, "rowhook has a bug; a request is not answered");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "rowhook panicked; see its log",
            )
            .into_response()
        }
    }
}
