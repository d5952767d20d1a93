//! The page at `/`: hooks and deliveries for people. It is rendered here, works without JavaScript, and is live with
//! it.
//!
//! A token shows what the API would give for it: to the operator everything, to an owner what is theirs. The templates
//! escape everything, and no page has a script or a style inline.

mod actions;
mod backfills;
mod catalogue;
mod chart;
mod deliveries;
mod door;
mod dress;
mod edit;
mod fields;
mod headers;
mod list;
mod live;
mod login;
mod plain;
mod portal;
mod retry;
mod search;
mod template;
mod tokens;
mod user;
mod views;

use std::sync::Arc;

use axum::{
    Router,
    http::header,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use minijinja::context;

use super::{health, state::AppState};

pub(super) fn router(state: &Arc<AppState>) -> Router<Arc<AppState>> {
    let page = shared()
        .route("/audit", get(views::audit))
        .route("/backfills", get(backfills::list).post(backfills::start))
        .route("/backfills/table", get(backfills::table))
        .route("/backfills/{id}/{action}", post(backfills::act))
        .route("/catalogue", get(catalogue::page))
        .route("/catalogue/asyncapi.json", get(catalogue::asyncapi))
        .route("/catalogue/openapi.json", get(catalogue::openapi))
        .route("/tokens", get(views::tokens).post(tokens::add))
        .route("/tokens/{id}/revoke", post(tokens::revoke))
        .route("/forget", get(views::forget).post(actions::forget))
        .route("/login", get(login::page).post(login::with_token))
        .route("/login/provider", get(login::begin))
        .route("/login/callback", get(login::finish))
        .route("/login/link/{key}", get(login::by_link))
        .layer(middleware::from_fn(headers::secure));
    page.merge(portal::router(state, shared()))
        .with_state(Arc::clone(state))
}

/// What is the same for operators, for owners with a token, and in the portal.
fn shared() -> Router<Arc<AppState>> {
    Router::new()
        .route("/", get(views::home))
        .route("/glance", get(views::glance))
        .route("/live", get(live::live))
        .route("/hooks", get(views::hooks).post(actions::add))
        .route("/hooks/{id}", get(views::hook))
        .route("/hooks/{id}/charts", get(views::hook_charts))
        .route("/hooks/{id}/edit", get(edit::form).post(edit::save))
        .route("/hooks/{id}/{action}", post(actions::hook))
        .route("/search", get(search::search))
        .route("/deliveries", get(deliveries::list))
        .route("/deliveries/retry", get(retry::preview).post(retry::retry))
        .route("/deliveries/{id}", get(deliveries::one))
        .route("/deliveries/{id}/retry", post(actions::retry))
        .route("/logout", post(login::logout))
        .route("/style.css", get(style))
        .route("/live.js", get(script))
}

/// The page of all databases, with a link to the page of each.
pub(super) fn all(databases: &[Arc<AppState>]) -> Response {
    let listed = databases.iter().map(|state| {
        let (ready, word) = health::readiness(state);
        context! { name => state.name(), root => state.root(), ready, word }
    });
    let databases: Vec<minijinja::Value> = listed.collect();
    let mut page = template::page("databases.html", context! { databases });
    headers::set_for_nobody(&mut page);
    page
}

pub(super) async fn style() -> impl IntoResponse + use<> {
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
