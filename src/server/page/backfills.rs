//! The page of backfills, for the operator.

use axum::{
    extract::Form,
    response::{IntoResponse, Redirect, Response},
};
use minijinja::{Value, context};
use serde::Deserialize;

use super::{
    actions::ButtonForm,
    template::of,
    user::{User, Watcher},
};
use crate::{
    config::{Action, EventSource},
    manage::{
        act::Act,
        backfill::{Backfill, NewBackfill},
    },
    server::{
        backfills,
        problem::Problem,
        request::{Path, Query},
    },
};

/// What the form is filled with.
#[derive(Deserialize)]
pub(super) struct Wanted {
    hook: Option<String>,
    event: Option<String>,
}

/// `GET /backfills`: all of them, and the form that starts one.
pub(super) async fn list(user: User, Query(wanted): Query<Wanted>) -> Response {
    let found = found(&user).await.map(|found| {
        let events = sendable_events(&user);
        context! { events, hook => wanted.hook, event => wanted.event, ..found }
    });
    match found {
        Ok(values) => user.page("backfills.html", "backfills", values),
        Err(problem) => user.problem(&problem),
    }
}

/// `GET /backfills/table`: the table alone, which the script loads again while something runs.
pub(super) async fn table(Watcher(user): Watcher) -> Response {
    match found(&user).await {
        Ok(values) => user.page("backfills_table.html", "backfills", values),
        Err(problem) => user.problem(&problem),
    }
}

async fn found(user: &User) -> Result<Value, Problem> {
    user.caller.identity.require(Act::SeeBackfills)?;
    let backfills = user.admin().await?.backfills().await?;
    let running = backfills.iter().any(Backfill::is_running);
    Ok(context! { backfills => of(&backfills), running })
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
