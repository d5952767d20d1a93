//! Logging in to the page, with a token or through the provider, and out of it.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Form, State},
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use minijinja::context;
use serde::Deserialize;
use url::Url;

use super::{door::Door, dress, template, user::User};
use crate::{
    act::{Via, what},
    manage::identity::Identity,
    server::{
        access, address,
        oidc::{self, Attempt, Failure},
        problem::Problem,
        request::{Path, Query},
        sessions::{self, Credential, Lifetime},
        state::AppState,
        visitor::Visitor,
    },
};

/// Where the provider sends browsers back to.
const CALLBACK: &str = "/login/callback";

/// `GET /login`: the form for a token, and the way to the provider.
pub(super) async fn page(State(state): State<Arc<AppState>>, visitor: Visitor) -> Response {
    form(&state, visitor, None)
}

/// The login page, with what was wrong before.
fn form(state: &AppState, visitor: Visitor, refused: Option<&str>) -> Response {
    let (word, cookie) = sessions::login_word(visitor.over_tls);
    let generation = state.current();
    let provider = generation.provider.as_ref();
    let provider = provider.map(|provider| provider.host().to_owned());
    let values = context! { refused, provider, csrf => word, root => state.root() };
    let page = template::page("login.html", values);
    ([(header::SET_COOKIE, cookie)], page).into_response()
}

fn refuse(state: &AppState, visitor: Visitor, status: StatusCode, why: &str) -> Response {
    (status, form(state, visitor, Some(why))).into_response()
}

#[derive(Deserialize)]
pub(super) struct LoginForm {
    token: String,
    #[serde(default)]
    csrf: String,
}

/// `POST /login`: opens a session for a token that is good.
pub(super) async fn with_token(
    State(state): State<Arc<AppState>>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Response {
    if !sessions::is_login_word(&headers, &form.csrf, visitor.over_tls) {
        let why = "The form was too old. Try again.";
        return refuse(&state, visitor, StatusCode::FORBIDDEN, why);
    }
    let why = "That token opens nothing, or nothing any more.";
    open_with(&state, visitor, form.token.trim(), why).await
}

/// `GET /login/link/{key}`: opens a session for whoever has a link that was not used yet.
pub(super) async fn by_link(
    State(state): State<Arc<AppState>>,
    visitor: Visitor,
    Path(key): Path,
) -> Response {
    let why = "That link was used already, or is older than ten minutes.";
    match state.links.take(&key) {
        Some(token) => open_with(&state, visitor, &token, why).await,
        None => {
            let stranger = visitor.as_stranger(Via::Page);
            state.current().record_refusal(stranger).await;
            refuse(&state, visitor, StatusCode::UNAUTHORIZED, why)
        }
    }
}

/// Opens a session for a token that is good, and goes to the page; or says why not.
async fn open_with(state: &AppState, visitor: Visitor, token: &str, why: &str) -> Response {
    match access::identify(&state.current(), visitor, token).await {
        Ok(Some(identity)) => {
            if let Err(problem) = record(state, visitor, &identity).await {
                return template::problem(&problem, context! { root => state.root() });
            }
            let credential = Credential::Token(token.to_owned());
            let cookie = open(state, visitor, &identity, credential, None);
            let home = Redirect::to(&state.address("/"));
            ([(header::SET_COOKIE, cookie)], home).into_response()
        }
        Ok(None) => {
            let stranger = visitor.as_stranger(Via::Page);
            state.current().record_refusal(stranger).await;
            refuse(state, visitor, StatusCode::UNAUTHORIZED, why)
        }
        Err(problem) => template::problem(&problem, context! { root => state.root() }),
    }
}

/// Puts a login on record. That is done before the session is open, so that there is none without it.
async fn record(state: &AppState, visitor: Visitor, identity: &Identity) -> Result<(), Problem> {
    let who = visitor.as_known(identity, Via::Page);
    let generation = state.current();
    generation
        .record(&identity.caller(), who, what::LOGIN)
        .await
}

fn open(
    state: &AppState,
    visitor: Visitor,
    identity: &Identity,
    credential: Credential,
    life: Option<Duration>,
) -> header::HeaderValue {
    let lifetime = Lifetime::of(&state.current().server);
    let caller = identity.caller();
    let sessions = &state.sessions;
    sessions.open(&caller, credential, life, lifetime, visitor.over_tls)
}

/// `GET /login/provider`: sends the browser to the provider.
pub(super) async fn begin(
    State(state): State<Arc<AppState>>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Response {
    let generation = state.current();
    let common = context! { root => state.root() };
    let Some(provider) = &generation.provider else {
        return template::problem(&Problem::no_such_address(), common);
    };
    let Some(back) = address_of_callback(&state, visitor, &headers) else {
        let why = "The request does not say which host it is for.";
        return refuse(&state, visitor, StatusCode::BAD_REQUEST, why);
    };
    let attempt = Attempt::begin();
    match provider.begin(&attempt, &back).await {
        Ok(url) => {
            let cookie = attempt.cookie(visitor.over_tls);
            let there = Redirect::to(url.as_str());
            ([(header::SET_COOKIE, cookie)], there).into_response()
        }
        Err(failure) => failed(&state, visitor, &failure),
    }
}

/// What the provider sends a browser back with.
#[derive(Deserialize)]
pub(super) struct Callback {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// `GET /login/callback`: opens a session for whom the provider says it is, if they have a role here.
pub(super) async fn finish(
    State(state): State<Arc<AppState>>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Response {
    let generation = state.current();
    let common = context! { root => state.root() };
    let Some((provider, config)) = generation
        .provider
        .as_ref()
        .zip(generation.server.oidc.as_ref())
    else {
        return template::problem(&Problem::no_such_address(), common);
    };
    let attempt = Attempt::resume(&headers, &callback.state, visitor.over_tls);
    let back = address_of_callback(&state, visitor, &headers);
    let is_its = callback
        .iss
        .is_none_or(|issuer| issuer == config.issuer_text);
    let Some((attempt, back)) = attempt.zip(back).filter(|_| is_its) else {
        let why = "That login took too long, or was begun in another window. Try again.";
        return refuse(&state, visitor, StatusCode::FORBIDDEN, why);
    };
    if let Err(problem) = access::count_login(&generation, visitor) {
        return template::problem(&problem, common);
    }
    let entered = match (callback.code, callback.error) {
        (Some(code), None) => provider.finish(&attempt, &back, &code).await,
        (_, error) => Err(provider.refusal(error.as_deref().unwrap_or_default())),
    };
    let entered = match entered {
        Ok(entered) => entered,
        Err(failure) => return failed(&state, visitor, &failure),
    };
    let Some(identity) = entered.person.identity(config) else {
        let why = format!(
            "{} knows you as {}, but you have no role here: the claim {} names no group that has one. Whoever runs \
             rowhook gives roles under [server.oidc].",
            provider.host(),
            entered.person.name(),
            config.role_claim
        );
        generation
            .record_refusal(visitor.as_stranger(Via::Page))
            .await;
        return refuse(&state, visitor, StatusCode::FORBIDDEN, &why);
    };
    if let Err(problem) = record(&state, visitor, &identity).await {
        return template::problem(&problem, common);
    }
    let credential = Credential::Person(entered.person);
    let session = open(&state, visitor, &identity, credential, entered.life);
    // The session's cookie does not come along with what another site begins, and so not with a redirect from here.
    let page = template::page("entered.html", context! { root => state.root() });
    let cookies = [
        (header::SET_COOKIE, session),
        (header::SET_COOKIE, oidc::forget(visitor.over_tls)),
    ];
    (AppendHeaders(cookies), page).into_response()
}

/// The login page after the provider has failed, with why.
fn failed(state: &AppState, visitor: Visitor, failure: &Failure) -> Response {
    tracing::warn!(error = %failure, "nobody was logged in through the provider");
    refuse(state, visitor, failure.status(), &failure.to_string())
}

/// The address that the provider sends browsers back to: below what hooks.toml names, or what the browser has asked.
fn address_of_callback(state: &AppState, visitor: Visitor, headers: &HeaderMap) -> Option<Url> {
    let generation = state.current();
    let named = generation.server.oidc.as_ref();
    let named = named.and_then(|oidc| oidc.public_url.as_ref());
    let base = address::of_server(named, visitor, headers)?;
    base.join(&state.address(CALLBACK)).ok()
}

#[derive(Deserialize)]
pub(super) struct LogoutForm {
    csrf: String,
}

/// `POST /logout`: ends the session, in all windows.
pub(super) async fn logout(
    State(state): State<Arc<AppState>>,
    visitor: Visitor,
    user: User,
    Form(form): Form<LogoutForm>,
) -> Response {
    if let Err(problem) = user.check_csrf(&form.csrf) {
        return user.problem(&problem);
    }
    state.sessions.close(&user.key);
    if let Err(problem) = user.end_everywhere().await {
        tracing::warn!(reason = problem.detail(), "a session has ended here alone");
    }
    let caller = &user.caller;
    let (name, who) = (caller.identity.caller(), caller.who.clone());
    let recorded = caller.generation.record(&name, who, what::LOGOUT).await;
    if let Err(problem) = recorded {
        tracing::warn!(reason = problem.detail(), "a logout is not on record");
    }
    if user.door() == Door::Portal {
        let gone = [(header::SET_COOKIE, sessions::clear_portal_cookie())];
        let why = "You are logged out.";
        let page = dress::ended(&caller.generation, StatusCode::OK, why);
        return (gone, page).into_response();
    }
    let cookie = sessions::clear_cookie(visitor.over_tls);
    (
        [(header::SET_COOKIE, cookie)],
        Redirect::to(&state.address("/login")),
    )
        .into_response()
}
