//! The page of backfills, for the operator.

use axum::{
    extract::Form,
    response::{IntoResponse, Redirect, Response},
};
use minijinja::{Value, context};
use serde::Deserialize;

use super::{
    actions::ButtonForm,
    list::{Asked, Field},
    template::of,
    user::{User, Watcher},
};
use crate::{
    config::{Action, EventSource},
    manage::{
        act::Act,
        backfill::{Backfill, BackfillQuery, BackfillState, NewBackfill, table_of},
        deliveries::tables_of_events,
    },
    server::{
        backfills,
        problem::Problem,
        request::{Path, Query},
    },
};

/// The fields by which backfills are limited.
fn fields(user: &User) -> [Field; 7] {
    let config = &user.caller.generation.config;
    let tables = tables_of_events(config);
    let states = BackfillState::ALL.map(BackfillState::as_str);
    [
        Field::choice("state", "State", states),
        Field::choice("event", "Event", sendable_events(user)),
        Field::choice("table", "Rows of", tables.iter().map(ToString::to_string)),
        Field::text("hook", "Hook", 8),
        Field::text("owner", "Owner", 8),
        Field::text("since", "Since", 10).such_as("2h"),
        Field::text("until", "Until", 10).such_as("10m"),
    ]
}

/// `GET /backfills`: a page of them, and the form that starts one, which `new` and `for` fill with an event and a hook.
pub(super) async fn list(user: User, Query(asked): Query<Asked>) -> Response {
    let found = found(&user, &asked).await.map(|found| {
        let events = sendable_events(&user);
        let (hook, event) = (asked.text("for"), asked.text("new"));
        context! { events, hook, event, ..found }
    });
    match found {
        Ok(values) => user.page("backfills.html", "backfills", values),
        Err(problem) => user.problem(&problem),
    }
}

/// `GET /backfills/table`: the table alone, which the script loads again while something runs.
pub(super) async fn table(Watcher(user): Watcher, Query(asked): Query<Asked>) -> Response {
    match found(&user, &asked).await {
        Ok(values) => user.page("backfills_table.html", "backfills", values),
        Err(problem) => user.problem(&problem),
    }
}

async fn found(user: &User, asked: &Asked) -> Result<Value, Problem> {
    user.caller.identity.require(Act::SeeBackfills)?;
    let query = BackfillQuery {
        state: asked
            .text("state")
            .as_deref()
            .and_then(BackfillState::parse),
        event: asked.text("event"),
        table: asked.text("table").as_deref().map(table_of).transpose()?,
        hook: asked.text("hook"),
        owner: asked.text("owner"),
        since: asked.time("since")?,
        until: asked.time("until")?,
    };
    let admin = user.admin().await?;
    let found = admin.backfills(&query, &asked.page()).await?;
    let running = found.data.iter().any(Backfill::is_running);
    let list = asked.list("/backfills", &fields(user), found.next.as_deref());
    Ok(context! { backfills => of(&found.data), running, list })
}

/// The events that a row can be sent as.
fn sendable_events(user: &User) -> Vec<String> {
    let events = user.caller.generation.config.events.iter();
    let events = events.filter(|rule| match &rule.source {
        EventSource::Row { action, .. } => matches!(action, Action::Created | Action::Updated),
        EventSource::Custom => false,
    });
    events.map(|rule| rule.name.clone()).collect()
}

/// The form that starts a backfill.
#[derive(Deserialize)]
pub(super) struct NewForm {
    csrf: String,
    event: String,
    hook: String,
    #[serde(default)]
    r#where: String,
}

/// `POST /backfills`: starts one.
pub(super) async fn start(user: User, Form(form): Form<NewForm>) -> Response {
    let started = async {
        user.check(&form.csrf, Act::Backfill)?;
        let condition = form.r#where.trim();
        let new = NewBackfill {
            event: form.event,
            hook: form.hook.trim().to_owned(),
            condition: (!condition.is_empty()).then(|| condition.to_owned()),
            ..NewBackfill::default()
        };
        let begun = user.admin().await?.start_backfill(new).await?;
        backfills::spawn(&user.caller.generation, begun.id);
        Ok(())
    };
    let started = started.await;
    respond(&user, started)
}

/// `POST /backfills/{id}/{action}`: cancels or resumes one.
pub(super) async fn act(
    user: User,
    Path((id, action)): Path<(i64, String)>,
    Form(form): Form<ButtonForm>,
) -> Response {
    let acted = async {
        user.check(&form.csrf, Act::Backfill)?;
        let mut admin = user.admin().await?;
        match action.as_str() {
            "cancel" => drop(admin.cancel_backfill(id).await?),
            "resume" => {
                admin.resume_backfill(id).await?;
                backfills::spawn(&user.caller.generation, id);
            }
            _ => return Err(Problem::no_such_address()),
        }
        Ok(())
    };
    let acted = acted.await;
    respond(&user, acted)
}

/// Goes back to the list, or shows the problem.
fn respond(user: &User, outcome: Result<(), Problem>) -> Response {
    match outcome {
        Ok(()) => Redirect::to(&format!("{}/backfills", user.root())).into_response(),
        Err(problem) => user.problem(&problem),
    }
}
