//! The page at `/`: hooks and deliveries for people. Rendered here, readable without JavaScript, live with it.
//!
//! Whoever logs in with a token sees what the API would give them: the operator everything, an owner their own. Everything
//! that is shown is escaped by the templates; no page has a script or a style inside of it.

mod actions;
mod chart;
mod live;
mod session;
mod template;
mod views;

use std::sync::Arc;

use axum::{
    Router,
    extract::{ConnectInfo, Form, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use minijinja::context;
use serde::Deserialize;
use tokio::time::Instant;

use self::session::Visitor;
use super::{access, generation::Home, problem::Problem, request::Peer, sessions::cookie_of};

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn router(home: &Arc<Home>) -> Router<Arc<Home>> {
    Router::new()
        .route("/", get(views::home))
        .route("/glance", get(views::glance))
        .route("/live", get(live::live))
        .route("/hooks", get(views::hooks).post(actions::add))
        .route("/hooks/{id}", get(views::hook))
        .route("/hooks/{id}/{action}", post(actions::hook))
        .route("/deliveries", get(views::deliveries))
        .route("/deliveries/{id}", get(views::delivery))
        .route("/deliveries/{id}/retry", post(actions::retry))
        .route("/login", get(login_page).post(login))
        .route("/logout", post(logout))
        .route("/style.css", get(style))
        .route("/live.js", get(script))
        .layer(middleware::from_fn(guarded))
        .with_state(Arc::clone(home))
}

/// What every page tells the browser not to do.
async fn guarded(request: Request, next: Next) -> Response {
    let fixed = matches!(request.uri().path(), "/style.css" | "/live.js");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let cache = if fixed { "max-age=300" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("style.css"),
    )
}

async fn script() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        include_str!("live.js"),
    )
}

async fn login_page() -> Response {
    template::page("login.html", context! {})
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

async fn login(
    State(home): State<Arc<Home>>,
    ConnectInfo(peer): Peer,
    Form(login): Form<Login>,
) -> Response {
    let house = home.now();
    // Before the token is looked at: guessing has an end.
    if let Err(wait) = house
        .limits
        .take(&format!("login {}", peer.ip()), Instant::now())
    {
        return Problem::too_many(wait).into_response();
    }
    let token = login.token.trim();
    match access::recognize(&house, token).await {
        Ok(Some(_)) => {
            let cookie = home.sessions.open(token);
            let mut response = Redirect::to("/").into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Ok(None) => {
            let page = template::page("login.html", context! { refused => true });
            (StatusCode::UNAUTHORIZED, page).into_response()
        }
        Err(problem) => template::problem(&problem, context! {}),
    }
}

#[derive(Deserialize)]
struct Logout {
    csrf: String,
}

async fn logout(
    State(home): State<Arc<Home>>,
    visitor: Visitor,
    Form(logout): Form<Logout>,
) -> Response {
    if let Err(problem) = visitor.check(&logout.csrf) {
        return visitor.problem(&problem);
    }
    home.sessions.close(&visitor.key);
    let mut response = Redirect::to("/login").into_response();
    response
        .headers_mut()
        .insert(header::SET_COOKIE, cookie_of("", 0));
    response
}
