//! The pages that show something and change nothing.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use minijinja::{Value, context};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    chart::{Charts, Step, charts},
    deliveries::retell,
    fields::{Allowed, Texts},
    list::{Asked, Field},
    template::of,
    user::{User, Watcher},
};
use crate::{
    manage::{
        Actor, Admin, PageRequest,
        act::Act,
        audit::AuditQuery,
        deliveries::DeliveryQuery,
        hooks::{Hook, HookCondition, HookQuery},
    },
    meters::traffic,
    server::{
        problem::Problem,
        request::{Path, Query},
        samples::{self, Sample},
        state::AppState,
    },
};

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
            let cluster = match &user.caller.generation.config.cluster {
                Some(cluster) => Some(context! {
                    senders => of(&admin.senders().await?),
                    partitions => cluster.partitions,
                }),
                None => None,
            };
            Ok(context! {
                status => of(&status),
                cluster => cluster,
                lag_seconds => now.lag.as_secs(),
                link => now.link.word(),
                charts => of(&charts_of_all(&samples)),
            })
        }
        owner @ Actor::Owner(_) => {
            let (query, page) = (HookQuery::default(), PageRequest::largest());
            let hooks = admin.hooks(owner, &query, &page).await?;
            Ok(context! { hooks => of(&hooks.data) })
        }
    }
}

/// What all hooks together did in the last hour.
fn charts_of_all(samples: &[Sample]) -> Charts {
    let newest_first = samples.iter().rev().zip(0..);
    let mut steps: Vec<Step> = newest_first
        .map(|(sample, ago)| Step {
            ago,
            delivered: sample.delivered,
            failed: sample.failed,
            took: sample.took,
            lag: Some(sample.lag),
        })
        .collect();
    steps.reverse();
    charts(&steps, samples::INTERVAL)
}

/// What a hook did in the last hour. A row with the id of a hook of hooks.toml did nothing: that was the other one.
fn charts_of_hook(user: &User, hook: &Hook) -> Charts {
    let generation = &user.caller.generation;
    let mut of_file = generation.config.hooks.iter();
    let is_shadowed = hook.origin == "table" && of_file.any(|file| file.name == hook.id);
    let traffic = &generation.handles.meters.traffic;
    let slots = match is_shadowed {
        true => Vec::new(),
        false => traffic.of(&hook.id, Instant::now()),
    };
    let steps = slots.into_iter().map(|(ago, slot)| Step {
        ago,
        delivered: slot.delivered.into(),
        failed: slot.failed.into(),
        took: slot.took.map(u64::from),
        lag: None,
    });
    let steps: Vec<Step> = steps.collect();
    charts(&steps, traffic::SLOT)
}

/// What hooks can be subscribed to: events, and patterns of them.
fn subscribed(events: &[String]) -> Vec<String> {
    let mut all = vec!["*".to_owned()];
    for event in events {
        let dots = event.match_indices('.');
        all.extend(dots.map(|(at, _)| format!("{}.*", &event[..at])));
        all.push(event.clone());
    }
    all
}

/// What somebody has written into the form that adds a hook.
#[derive(Debug, Default, Serialize)]
pub(super) struct Written {
    events: Vec<String>,
    target: String,
    description: String,
}

impl Written {
    pub(super) fn of(events: &[String], target: &str, description: &str) -> Self {
        Self {
            events: events.to_vec(),
            target: target.to_owned(),
            description: description.to_owned(),
        }
    }
}

/// `GET /hooks`: a page of hooks, and the form that adds one, which `new` fills with an event.
pub(super) async fn hooks(user: User, Query(asked): Query<Asked>) -> Response {
    let written = Written {
        events: asked.text("new").into_iter().collect(),
        ..Written::default()
    };
    let found = listed_hooks(&user, &asked).await;
    let found = found.map(|found| context! { written => of(&written), ..found });
    respond(&user, "hooks.html", "hooks", found)
}

/// The same, with what could not be made of what somebody has written.
pub(super) async fn hooks_again(user: &User, written: Written, problem: &Problem) -> Response {
    let refused = user.in_their_words(problem);
    let found = listed_hooks(user, &Asked::default()).await;
    let found = found.map(|found| {
        context! { written => of(&written), refused => refused.detail(), ..found }
    });
    let page = respond(user, "hooks.html", "hooks", found);
    (problem.status(), page).into_response()
}

/// A page of hooks, and what new ones can hear.
async fn listed_hooks(user: &User, asked: &Asked) -> Result<Value, Problem> {
    let rules = &user.caller.generation.config.events;
    let events: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
    let is_operator = user.caller.identity.role().is_some();
    let states = HookCondition::ALL.map(HookCondition::as_str);
    let mut fields = vec![
        Field::choice("state", "State", states),
        Field::choice("event", "Event", subscribed(&events)),
    ];
    if is_operator {
        fields.push(Field::text("owner", "Owner", 8));
    }
    let query = HookQuery {
        state: asked
            .text("state")
            .as_deref()
            .and_then(HookCondition::parse),
        event: asked.text("event"),
        owner: asked.text("owner"),
        id: None,
    };
    let admin = user.admin().await?;
    let mut hooks = admin.hooks(user.actor(), &query, &asked.page()).await?;
    hooks
        .data
        .iter_mut()
        .for_each(|hook| user.retell_hook(hook));
    let allowed = Allowed::of(user);
    let empty = Texts::new();
    let shown: Vec<Value> = allowed.fields().map(|field| field.shown(&empty)).collect();
    Ok(context! {
        fields => shown,
        has => context! { auth => allowed.has("auth") },
        list => asked.list("/hooks", &fields, hooks.next.as_deref()),
        hooks => of(&hooks.data),
        events,
        ..event_choices(user, &[])
    })
}

/// What a hook can hear, as boxes that are ticked. What is `chosen` and not among them has a box of its own.
pub(super) fn event_choices(user: &User, chosen: &[String]) -> Value {
    let rules = &user.caller.generation.config.events;
    let names: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
    let groups = groups(&names);
    let has_box = |event: &String| {
        let group = event.strip_suffix(".*");
        event == "*"
            || names.contains(event)
            || group.is_some_and(|group| groups.iter().any(|known| known == group))
    };
    let others = chosen.iter().filter(|event| !has_box(event)).cloned();
    let others: Vec<String> = others.collect();
    let choices = rules.iter().map(
        |rule| context! { name => rule.name.clone(), description => rule.description.clone() },
    );
    let choices: Vec<Value> = choices.collect();
    context! { choices, groups, others, chosen => chosen.to_vec() }
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
        deliveries
            .data
            .iter_mut()
            .for_each(|one| retell(&user, one));
        user.retell_hook(&mut hook);
        let query = AuditQuery {
            hook: Some(id),
            ..AuditQuery::default()
        };
        let acts = admin.audit(user.actor(), &query, &page(SHOWN_ACTS)).await?;
        Ok(context! {
            charts => of(&charts_of_hook(&user, &hook)),
            hook => of(&hook),
            deliveries => of(&deliveries.data),
            acts => of(&acts.data),
        })
    };
    let found = found.await;
    respond(&user, "hook.html", "hooks", found)
}

/// `GET /hooks/{id}/charts`: the charts alone, which the script of the hook's page loads again and again.
pub(super) async fn hook_charts(Watcher(user): Watcher, Path(id): Path) -> Response {
    let found = async {
        let mut hook = user.admin().await?.hook(user.actor(), &id).await?;
        user.retell_hook(&mut hook);
        Ok(context! { charts => of(&charts_of_hook(&user, &hook)), hook => of(&hook) })
    };
    let found = found.await;
    respond(&user, "hook_charts.html", "hooks", found)
}

/// `GET /audit`: a page of what is on record. For the operator only.
pub(super) async fn audit(user: User, Query(asked): Query<Asked>) -> Response {
    let found = async {
        user.caller.identity.require(Act::SeeActs)?;
        if user.caller.identity.role().is_none() {
            return Err(Problem::forbidden("only the operator may do this"));
        }
        let fields = [
            Field::text("what", "What", 14).such_as("hook.*"),
            Field::text("hook", "Hook", 8),
            Field::text("owner", "Owner", 8),
            Field::text("since", "Since", 10).such_as("2h"),
            Field::text("until", "Until", 10).such_as("10m"),
        ];
        let query = AuditQuery {
            what: asked.text("what"),
            hook: asked.text("hook"),
            owner: asked.text("owner"),
            since: asked.time("since")?,
            until: asked.time("until")?,
        };
        let admin = user.admin().await?;
        let found = admin.audit(user.actor(), &query, &asked.page()).await?;
        let list = asked.list("/audit", &fields, found.next.as_deref());
        Ok(context! { acts => of(&found.data), list })
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
