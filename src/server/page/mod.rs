//! The page at `/`: hooks and deliveries for people. It is rendered here, works without JavaScript, and is live with
//! it.
//!
//! A token shows what the API would give for it: to the operator everything, to an owner what is theirs. The templates
//! escape everything, and no page has a script or a style inline.

mod actions;
mod chart;
mod live;
mod template;
mod user;
mod views;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Form, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use minijinja::context;
use serde::Deserialize;

use self::user::User;
use super::{access, health, sessions, state::AppState, visitor::Visitor};

/// The Content-Security-Policy of every page.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn router(state: &Arc<AppState>) -> Router<Arc<AppState>> {
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
        .route("/forget", get(views::forget).post(actions::forget))
        .route("/login", get(login_page).post(login))
        .route("/logout", post(logout))
        .route("/style.css", get(style))
        .route("/live.js", get(script))
        .layer(middleware::from_fn(secure_headers))
        .with_state(Arc::clone(state))
}

/// Middleware that sets the headers which restrict what a browser may do with a page.
async fn secure_headers(request: Request, next: Next) -> Response {
    let is_asset = matches!(request.uri().path(), "/style.css" | "/live.js");
    let mut response = next.run(request).await;
    secure(
        &mut response,
        if is_asset { "max-age=300" } else { "no-store" },
    );
    response
}

fn secure(response: &mut Response, cache: &'static str) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
}

/// The page of all databases, with a link to the page of each.
pub(super) fn all(databases: &[Arc<AppState>]) -> Response {
    let listed = databases.iter().map(|state| {
        let (ready, word) = health::readiness(state);
        context! { name => state.name(), root => state.root(), ready, word }
    });
    let databases: Vec<minijinja::Value> = listed.collect();
    let mut page = template::page("databases.html", context! { databases });
    secure(&mut page, "no-store");
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

async fn login_page(State(state): State<Arc<AppState>>, visitor: Visitor) -> Response {
    login_form(&state, visitor, None)
}

/// The form of the login page, with what was wrong with the one before it.
fn login_form(state: &AppState, visitor: Visitor, refused: Option<&str>) -> Response {
    let (word, cookie) = sessions::login_word(visitor.over_tls);
    let values = context! { refused, csrf => word, root => state.root() };
    let page = template::page("login.html", values);
    ([(header::SET_COOKIE, cookie)], page).into_response()
}

#[derive(Deserialize)]
struct LoginForm {
    token: String,
    #[serde(default)]
    csrf: String,
}

/// `POST /login`: opens a session for a token that is good.
async fn login(
    State(state): State<Arc<AppState>>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Response {
    if !sessions::is_login_word(&headers, &form.csrf, visitor.over_tls) {
        let page = login_form(&state, visitor, Some("The form was too old. Try again."));
        return (StatusCode::FORBIDDEN, page).into_response();
    }
    let generation = state.current();
    let token = form.token.trim();
    match access::identify(&generation, visitor, token).await {
        Ok(Some(identity)) => {
            let sessions = &state.sessions;
            let cookie = sessions.open(&identity.name(), token, visitor.over_tls);
            (
                [(header::SET_COOKIE, cookie)],
                Redirect::to(&state.address("/")),
            )
                .into_response()
        }
        Ok(None) => {
            let page = login_form(
                &state,
                visitor,
                Some("That token opens nothing, or nothing any more."),
            );
            (StatusCode::UNAUTHORIZED, page).into_response()
        }
        Err(problem) => template::problem(&problem, context! { root => state.root() }),
    }
}

#[derive(Deserialize)]
struct LogoutForm {
    csrf: String,
}

/// `POST /logout`: ends the session.
async fn logout(
    State(state): State<Arc<AppState>>,
    visitor: Visitor,
    user: User,
    Form(form): Form<LogoutForm>,
) -> Response {
    if let Err(problem) = user.check_csrf(&form.csrf) {
        return user.problem(&problem);
    }
    state.sessions.close(&user.session);
    let cookie = sessions::clear_cookie(visitor.over_tls);
    (
        [(header::SET_COOKIE, cookie)],
        Redirect::to(&state.address("/login")),
    )
        .into_response()
}
