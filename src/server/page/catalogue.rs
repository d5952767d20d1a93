//! The catalogue of events, for everyone where `[server] catalogue` says so.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use minijinja::{Value, context};
use serde_json::Value as Json;
use tokio::time::Instant;

use super::{template, user::User};
use crate::{
    config::Config,
    manage::act::Act,
    preview::{asyncapi, catalogue::Described, openapi},
    server::{access, generation::Generation, problem::Problem, state::AppState, visitor::Visitor},
};

/// How long a description of the tables is shown before they are looked at again. So strangers do not keep the database
/// busy.
const FRESH: Duration = Duration::from_secs(30);
/// Whose sessions with the database are borrowed for it.
const CALLER: &str = "catalogue";

/// `GET /catalogue`: the page.
pub(super) async fn page(State(state): State<Arc<AppState>>, visitor: Visitor) -> Response {
    let common = context! { root => state.root() };
    match described(&state, visitor).await {
        Ok(events) => {
            let config = &state.current().config;
            let events = events.iter().map(shown).collect::<Vec<_>>();
            let usual = config.delivery.payload.name();
            template::page("catalogue.html", context! { events, usual, ..common })
        }
        Err(problem) => template::problem(&problem, common),
    }
}

/// `GET /portal/events`: the same for an owner, who chooses there what to hear.
pub(super) async fn in_portal(user: User) -> Response {
    let generation = &user.caller.generation;
    let found = async {
        user.caller.identity.require(Act::SeeEvents)?;
        let events = known(generation).await?;
        let events = events.iter().map(shown).collect::<Vec<_>>();
        let usual = generation.config.delivery.payload.name();
        Ok::<_, Problem>(context! { events, usual })
    };
    match found.await {
        Ok(values) => user.page("catalogue.html", "events", values),
        Err(problem) => user.problem(&problem),
    }
}

/// `GET /catalogue/asyncapi.json`.
pub(super) async fn asyncapi(State(state): State<Arc<AppState>>, visitor: Visitor) -> Response {
    document(&state, visitor, asyncapi::document).await
}

/// `GET /catalogue/openapi.json`.
pub(super) async fn openapi(State(state): State<Arc<AppState>>, visitor: Visitor) -> Response {
    document(&state, visitor, openapi::document).await
}

async fn document(
    state: &AppState,
    visitor: Visitor,
    make: fn(&str, &[Described], &str) -> Json,
) -> Response {
    match described(state, visitor).await {
        Ok(events) => {
            let config = &state.current().config;
            let document = make(&title(config), &events, &config.delivery.payload.name());
            let json = [(header::CONTENT_TYPE, "application/json")];
            (json, document.to_string()).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

fn title(config: &Config) -> String {
    match &config.name {
        Some(name) => format!("Webhooks of {name}"),
        None => "Webhooks".to_owned(),
    }
}

/// All events, for everyone. A visitor may look as often as a caller may ask, since showing very
/// many events takes time that deliveries need.
async fn described(state: &AppState, visitor: Visitor) -> Result<Arc<Vec<Described>>, Problem> {
    let generation = state.current();
    if !generation.server.catalogue {
        return Err(Problem::no_such_address());
    }
    access::count_look(&generation, visitor)?;
    known(&generation).await
}

/// All events, as they were at most [`FRESH`] ago.
async fn known(generation: &Generation) -> Result<Arc<Vec<Described>>, Problem> {
    // Whoever asks holds it meanwhile, so the database is asked once for all.
    let mut last = generation.catalogue.lock().await;
    if let Some((at, known)) = &*last
        && at.elapsed() < FRESH
    {
        return Ok(Arc::clone(known));
    }
    let described = {
        let admin = generation.admin(CALLER).await?;
        Arc::new(admin.describe_events().await?)
    };
    *last = Some((Instant::now(), Arc::clone(&described)));
    Ok(described)
}

/// An event as the template shows it, with its JSON as text.
fn shown(event: &Described) -> Value {
    let pretty = |json: &Json| format!("{json:#}");
    let payloads = event.payloads.iter().map(|(name, sent)| {
        context! {
            name => *name,
            content_type => sent.content_type,
            example => pretty(&sent.example),
            schema => pretty(&sent.schema),
        }
    });
    let payloads: Vec<Value> = payloads.collect();
    context! { payloads, ..template::of(&event.event) }
}
