//! CORS: pages of other origins may use the API only if `[server] cors` names their origin.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{HeaderName, Method, header},
    middleware::Next,
    response::Response,
};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_layer::Layer;
use tower_service::Service;

use super::state::AppState;

/// The layer for requests whose origin is known to be allowed.
static ALLOW: LazyLock<CorsLayer> = LazyLock::new(|| {
    CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
        ])
        .max_age(Duration::from_secs(600))
        .vary([header::ORIGIN])
});

/// Middleware that answers preflights and marks responses for origins that are allowed.
///
/// The layer answers every OPTIONS request, and adds `Vary: origin` to every response. So only requests of an allowed
/// origin go through it, and all others are answered as if there were no CORS.
pub(super) async fn cors(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let generation = state.current();
    let origin = request.headers().get(header::ORIGIN);
    let is_allowed = origin.is_some_and(|origin| {
        let mut allowed = generation.server.cors.iter();
        allowed.any(|allowed| allowed.as_bytes() == origin.as_bytes())
    });
    if !is_allowed {
        return next.run(request).await;
    }
    let answered: Result<Response, Infallible> = ALLOW.layer(next).call(request).await;
    match answered {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
