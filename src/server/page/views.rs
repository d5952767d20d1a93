//! The pages that show something and change nothing.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use minijinja::{Value, context};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    chart,
    template::of,
    user::{User, Watcher},
};
use crate::{
    config::Setting,
    manage::{
        Actor, Admin, Error, PageRequest,
        act::Act,
        audit::AuditQuery,
        deliveries::{DeliveryQuery, State as DeliveryState},
        hooks::HookQuery,
    },
    server::{
        problem::Problem,
        request::{Path, Query},
        state::AppState,
    },
};

/// A delivery that is not found is looked for again after this time, and at most this many times.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
const MAX_POLLS: u32 = 12;
/// How many attempts the home page shows, and of how many of the newest ones it picks those that the user may see.
const SHOWN_ATTEMPTS: usize = 20;
const SEARCHED_ATTEMPTS: i64 = 500;
/// How many deliveries the page of a hook shows.
const SHOWN_DELIVERIES: u32 = 20;
/// How many acts the page of a hook shows.
const SHOWN_ACTS: u32 = 10;

/// What a token can be given beside to read.
const GIVEN_SCOPES: [(&str, &str); 3] = [
    ("test", "test hooks"),
    ("deliveries", "send deliveries again"),
    ("hooks", "make and change hooks"),
];

/// Renders what was found, or the problem.
fn respond(user: &User, name: &str, here: &str, found: Result<Value, Problem>) -> Response {
    match found {
        Ok(values) => user.page(name, here, values),
        Err(problem) => user.problem(&problem),
    }
}

/// `GET /`: the figures and the newest attempts.
pub(super) async fn home(State(state): State<Arc<AppState>>, user: User) -> Response {
    let found = async {
        let admin = user.admin().await?;
        let newest = admin.newest_attempt_id().await?;
        let mut attempts = admin
            .attempts_after(user.actor(), None, newest - SEARCHED_ATTEMPTS)
            .await?;
        attempts.reverse();
        attempts.truncate(SHOWN_ATTEMPTS);
        let figures = figures(&state, &user, &admin).await?;
        Ok(context! { attempts => of(&attempts), ..figures })
    };
    let found = found.await;
    respond(&user, "home.html", "home", found)
}

/// `GET /glance`: the figures alone, which the script of the home page loads again and again.
pub(super) async fn glance(State(state): State<Arc<AppState>>, Watcher(user): Watcher) -> Response {
    let found = async {
        let admin = user.admin().await?;
        figures(&state, &user, &admin).await
    };
    let found = found.await;
    respond(&user, "glance.html", "home", found)
}

/// The operator sees how rowhook is; an owner, how their hooks are.
async fn figures(state: &AppState, user: &User, admin: &Admin) -> Result<Value, Problem> {
    match user.actor() {
        Actor::Operator => {
            let status = admin.status().await?;
            let samples = state.samples.read();
            let now = user.caller.generation.handles.health.now(Instant::now());
            Ok(context! {
                status => of(&status),
                lag_seconds => now.lag.as_secs(),
                link => now.link.word(),
                throughput => of(&chart::bars(&samples, |sample| sample.delivered_per_second)),
                failures => of(&chart::bars(&samples, |sample| sample.failed_per_second)),
                latency => of(&chart::bars(&samples, |sample| sample.mean_ms)),
            })
        }
        owner @ Actor::Owner(_) => {
            let (query, page) = (HookQuery::default(), PageRequest::largest());
            let hooks = admin.hooks(owner, &query, &page).await?;
            Ok(context! { hooks => of(&hooks.data) })
        }
    }
}

/// Where in a list a page begins. A form sends a field that was left empty as an empty text.
#[derive(Deserialize)]
pub(super) struct Position {
    cursor: Option<String>,
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// `GET /hooks`: a page of hooks, and the form that adds one.
pub(super) async fn hooks(user: User, Query(position): Query<Position>) -> Response {
    let found = async {
        let page = PageRequest {
            cursor: non_empty(position.cursor),
            limit: None,
        };
        let admin = user.admin().await?;
        let hooks = admin
            .hooks(user.actor(), &HookQuery::default(), &page)
            .await?;
        let events = user.caller.generation.config.events.iter();
        let events: Vec<String> = events.map(|rule| rule.name.clone()).collect();
        let limits = &user.caller.generation.config.limits;
        let may_set = Setting::ALL
            .into_iter()
            .filter(|setting| match user.actor() {
                Actor::Operator => true,
                Actor::Owner(_) => limits.owner_settings.has(*setting),
            });
        let may_set: Vec<&str> = may_set.map(Setting::name).collect();
        Ok(context! { hooks => of(&hooks.data), next => hooks.next, events, may_set })
    };
    let found = found.await;
    respond(&user, "hooks.html", "hooks", found)
}

/// `GET /hooks/{id}`: a hook with its newest deliveries.
pub(super) async fn hook(user: User, Path(id): Path) -> Response {
    let found = async {
        let admin = user.admin().await?;
        let hook = admin.hook(user.actor(), &id).await?;
        let query = DeliveryQuery {
            hook: Some(id.clone()),
            ..DeliveryQuery::default()
        };
        let page = |limit| PageRequest {
            limit: Some(limit),
            cursor: None,
        };
        let newest = page(SHOWN_DELIVERIES);
        let deliveries = admin.deliveries(user.actor(), &query, &newest).await?;
        let query = AuditQuery {
            hook: Some(id),
            ..AuditQuery::default()
        };
        let acts = admin.audit(user.actor(), &query, &page(SHOWN_ACTS)).await?;
        Ok(context! {
            hook => of(&hook),
            deliveries => of(&deliveries.data),
            acts => of(&acts.data),
        })
    };
    let found = found.await;
    respond(&user, "hook.html", "hooks", found)
}

/// Which deliveries are listed, and where the page begins.
#[derive(Deserialize)]
pub(super) struct Filter {
    hook: Option<String>,
    state: Option<String>,
    event: Option<String>,
    cursor: Option<String>,
}

/// `GET /deliveries`: a page of deliveries.
pub(super) async fn deliveries(user: User, Query(filter): Query<Filter>) -> Response {
    let found = async {
        let (hook, state, event) = (
            non_empty(filter.hook),
            non_empty(filter.state),
            non_empty(filter.event),
        );
        let query = DeliveryQuery {
            hook: hook.clone(),
            state: state.as_deref().and_then(DeliveryState::parse),
            event: event.clone(),
        };
        let page = PageRequest {
            cursor: non_empty(filter.cursor),
            limit: None,
        };
        let admin = user.admin().await?;
        let found = admin.deliveries(user.actor(), &query, &page).await?;
        Ok(context! { deliveries => of(&found.data), next => found.next, hook, state, event })
    };
    let found = found.await;
    respond(&user, "deliveries.html", "deliveries", found)
}

/// Which acts are listed, and where the page begins.
#[derive(Deserialize)]
pub(super) struct AuditFilter {
    what: Option<String>,
    hook: Option<String>,
    owner: Option<String>,
    cursor: Option<String>,
}

/// `GET /audit`: a page of what is on record. For the operator only.
pub(super) async fn audit(user: User, Query(filter): Query<AuditFilter>) -> Response {
    let found = async {
        user.caller.identity.require(Act::SeeActs)?;
        if user.caller.identity.role().is_none() {
            return Err(Problem::forbidden("only the operator may do this"));
        }
        let query = AuditQuery {
            what: non_empty(filter.what),
            hook: non_empty(filter.hook),
            owner: non_empty(filter.owner),
            ..AuditQuery::default()
        };
        let page = PageRequest {
            cursor: non_empty(filter.cursor),
            limit: None,
        };
        let admin = user.admin().await?;
        let found = admin.audit(user.actor(), &query, &page).await?;
        let AuditQuery {
            what, hook, owner, ..
        } = query;
        Ok(context! { acts => of(&found.data), next => found.next, what, hook, owner })
    };
    let found = found.await;
    respond(&user, "audit.html", "audit", found)
}

/// `GET /forget`: the forms that forget an owner or a row.
pub(super) async fn forget(user: User) -> Response {
    let allowed = user.caller.identity.require(Act::Forget);
    let found = allowed.map(|()| Value::default()).map_err(Problem::from);
    respond(&user, "forget.html", "forget", found)
}

/// `GET /deliveries/{id}`: a delivery with its body and its attempts.
pub(super) async fn delivery(user: User, Path(id): Path) -> Response {
    let found = async {
        // One that has just been delivered is found once history has noted it, which is a moment later.
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        let mut left = MAX_POLLS;
        let detail = loop {
            polls.tick().await;
            let found = user.admin().await?.delivery(user.actor(), &id).await;
            match found {
                Err(Error::NotFound { .. }) if left > 0 => left -= 1,
                found => break found?,
            }
        };
        Ok(context! {
            delivery => of(&detail.delivery),
            body => of(&detail.body),
            attempts => of(&detail.attempt_list),
        })
    };
    let found = found.await;
    respond(&user, "delivery.html", "deliveries", found)
}

/// `GET /tokens`: the tokens of owners, and the form that issues one.
pub(super) async fn tokens(user: User) -> Response {
    let found = async {
        user.caller.identity.require(Act::SeeTokens)?;
        let admin = user.admin().await?;
        Ok(context! { tokens => of(&admin.tokens().await?), scopes => GIVEN_SCOPES })
    };
    let found = found.await;
    respond(&user, "tokens.html", "tokens", found)
}
