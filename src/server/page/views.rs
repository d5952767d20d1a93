//! The pages that show something and change nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use minijinja::{Value, context};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    chart,
    template::of,
    user::{User, Watcher},
};
use crate::{
    manage::{
        Actor, Admin, Error, PageRequest,
        act::Act,
        audit::AuditQuery,
        deliveries::{Delivery, DeliveryQuery, State as DeliveryState},
        hooks::HookQuery,
        outlook,
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
        user.retell(attempts.iter_mut().map(|one| &mut one.answer));
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
    /// The event that the form is filled with.
    event: Option<String>,
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// What somebody has written into the form that adds a hook.
#[derive(Debug, Default, Serialize)]
pub(super) struct Written {
    event: String,
    target: String,
    description: String,
}

impl Written {
    pub(super) fn of(event: &str, target: &str, description: &str) -> Self {
        Self {
            event: event.to_owned(),
            target: target.to_owned(),
            description: description.to_owned(),
        }
    }
}

/// `GET /hooks`: a page of hooks, and the form that adds one.
pub(super) async fn hooks(user: User, Query(position): Query<Position>) -> Response {
    let written = Written {
        event: position.event.unwrap_or_default(),
        ..Written::default()
    };
    let found = all_hooks(&user, non_empty(position.cursor)).await;
    let found = found.map(|found| context! { written => of(&written), ..found });
    respond(&user, "hooks.html", "hooks", found)
}

/// The same, with what could not be made of what somebody has written.
pub(super) async fn hooks_again(user: &User, written: Written, problem: &Problem) -> Response {
    let refused = user.in_their_words(problem);
    let found = all_hooks(user, None).await;
    let found = found.map(|found| {
        context! { written => of(&written), refused => refused.detail(), ..found }
    });
    let page = respond(user, "hooks.html", "hooks", found);
    (problem.status(), page).into_response()
}

/// A page of hooks, and what new ones can hear.
async fn all_hooks(user: &User, cursor: Option<String>) -> Result<Value, Problem> {
    let page = PageRequest {
        cursor,
        limit: None,
    };
    let admin = user.admin().await?;
    let mut hooks = admin
        .hooks(user.actor(), &HookQuery::default(), &page)
        .await?;
    let last = hooks.data.iter_mut().filter_map(|hook| hook.last.as_mut());
    user.retell(last.map(|last| &mut last.answer));
    let rules = &user.caller.generation.config.events;
    let events: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
    let choices = rules.iter().map(
        |rule| context! { name => rule.name.clone(), description => rule.description.clone() },
    );
    let choices: Vec<Value> = choices.collect();
    let groups = groups(&events);
    Ok(context! { hooks => of(&hooks.data), next => hooks.next, events, choices, groups })
}

/// What several events have before their first dot, each once: `book` for `book.added` and `book.changed`.
fn groups(events: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (group, _) in events.iter().filter_map(|event| event.split_once('.')) {
        *counts.entry(group).or_default() += 1;
    }
    let several = counts.into_iter().filter(|(_, count)| *count > 1);
    several.map(|(group, _)| group.to_owned()).collect()
}

/// `GET /hooks/{id}`: a hook with its newest deliveries.
pub(super) async fn hook(user: User, Path(id): Path) -> Response {
    let found = async {
        let admin = user.admin().await?;
        let mut hook = admin.hook(user.actor(), &id).await?;
        let query = DeliveryQuery {
            hook: Some(id.clone()),
            ..DeliveryQuery::default()
        };
        let page = |limit| PageRequest {
            limit: Some(limit),
            cursor: None,
        };
        let newest = page(SHOWN_DELIVERIES);
        let mut deliveries = admin.deliveries(user.actor(), &query, &newest).await?;
        retell(&user, &mut deliveries.data);
        let query = AuditQuery {
            hook: Some(id),
            ..AuditQuery::default()
        };
        let acts = admin.audit(user.actor(), &query, &page(SHOWN_ACTS)).await?;
        let due = deliveries.data.iter();
        let due = due.filter_map(|delivery| delivery.next_attempt.as_deref());
        let disable_after = user.caller.generation.config.delivery.disable_after;
        let last = hook.last.as_mut().map(|last| &mut last.answer);
        user.retell(hook.invalid.as_mut().into_iter().chain(last));
        Ok(context! {
            outlook => outlook::of_hook(&hook, due.min(), disable_after),
            hook => of(&hook),
            deliveries => of(&deliveries.data),
            acts => of(&acts.data),
        })
    };
    let found = found.await;
    respond(&user, "hook.html", "hooks", found)
}

/// As [`User::retell`].
fn retell(user: &User, deliveries: &mut [Delivery]) {
    user.retell(deliveries.iter_mut().filter_map(|one| one.reason.as_mut()));
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
        let mut found = admin.deliveries(user.actor(), &query, &page).await?;
        retell(&user, &mut found.data);
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
        let mut detail = loop {
            polls.tick().await;
            let found = user.admin().await?.delivery(user.actor(), &id).await;
            match found {
                Err(Error::NotFound { .. }) if left > 0 => left -= 1,
                found => break found?,
            }
        };
        let errors = detail.attempt_list.iter_mut();
        let errors = errors.filter_map(|attempt| attempt.error.as_mut());
        user.retell(detail.delivery.reason.as_mut().into_iter().chain(errors));
        let admin = user.admin().await?;
        let hook = admin.hook(user.actor(), &detail.delivery.hook).await;
        Ok(context! {
            outlook => outlook::of_delivery(&detail.delivery, hook.as_ref().ok()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_what_several_events_begin_with() {
        let events = [
            "book.added",
            "shelf.added",
            "book.removed",
            "sale",
            "a.b.c",
            "a.b.d",
        ];
        assert_eq!(groups(&events.map(str::to_owned)), ["a", "book"]);
    }
}
