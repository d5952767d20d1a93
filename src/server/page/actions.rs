//! What the buttons do. Each form carries a word that only our own pages know.

use std::time::{Duration, SystemTime};

use axum::{
    extract::Form,
    response::{IntoResponse, Redirect, Response},
};
use minijinja::{Value, context};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{session::Visitor, template::of};
use crate::{
    manage::{hook_input::NewHook, replay::Range},
    server::{problem::Problem, request::Id},
};

/// A page that is shown once, or the way to one.
enum Done {
    Page(&'static str, Value),
    See(String),
}

fn answer(visitor: &Visitor, done: Result<Done, Problem>) -> Response {
    match done {
        Ok(Done::Page(name, values)) => visitor.page(name, "hooks", values),
        Ok(Done::See(path)) => Redirect::to(&path).into_response(),
        Err(problem) => visitor.problem(&problem),
    }
}

fn address(of: &str, id: &str) -> String {
    format!("/{of}/{}", utf8_percent_encode(id, NON_ALPHANUMERIC))
}

#[derive(Deserialize)]
pub(super) struct New {
    csrf: String,
    event: String,
    target: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    description: String,
}

pub(super) async fn add(visitor: Visitor, Form(new): Form<New>) -> Response {
    let done = async {
        visitor.check_change(&new.csrf)?;
        let given = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut office = visitor.office().await?;
        office
            .prove(new.target.trim(), visitor.house.server.verify)
            .await?;
        let hook = NewHook {
            event: new.event.trim().to_owned(),
            target: new.target.trim().to_owned(),
            owner: given(new.owner),
            description: given(new.description),
            ..NewHook::default()
        };
        let made = office.add_hook(visitor.who(), hook).await?;
        Ok(Done::Page(
            "secret.html",
            context! { hook => of(&made.hook), secret => made.secret, made => true },
        ))
    };
    let done = done.await;
    answer(&visitor, done)
}

#[derive(Deserialize)]
pub(super) struct Pressed {
    csrf: String,
}

pub(super) async fn hook(
    visitor: Visitor,
    Id((id, action)): Id<(String, String)>,
    Form(pressed): Form<Pressed>,
) -> Response {
    let done = async {
        visitor.check_change(&pressed.csrf)?;
        let who = visitor.who();
        let mut office = visitor.office().await?;
        match action.as_str() {
            "enable" => drop(office.enable_hook(who, &id).await?),
            "disable" => drop(office.disable_hook(who, &id, "disabled by hand").await?),
            "retry-dead" | "replay" => {
                let since = SystemTime::now().checked_sub(Duration::from_secs(24 * 60 * 60));
                let range = Range {
                    hook: Some(id.clone()),
                    since: since.filter(|_| action == "replay"),
                    ..Range::default()
                };
                match action == "replay" {
                    true => office.replay(who, &range, &mut |_| {}).await?,
                    false => office.retry_dead(who, &range, &mut |_| {}).await?,
                };
            }
            "remove" => {
                office.remove_hook(who, &id).await?;
                return Ok(Done::See("/hooks".to_owned()));
            }
            "rotate" => {
                let rotated = office.rotate_secret(who, &id).await?;
                return Ok(Done::Page(
                    "secret.html",
                    context! { hook => of(&rotated.hook), secret => rotated.secret },
                ));
            }
            "test" => {
                let tested = office.test_hook(who, &id).await?;
                return Ok(Done::Page(
                    "tested.html",
                    context! { id, tested => of(&tested) },
                ));
            }
            _ => {
                return Err(Problem::new(
                    axum::http::StatusCode::NOT_FOUND,
                    "there is nothing at this address",
                ));
            }
        }
        Ok(Done::See(address("hooks", &id)))
    };
    let done = done.await;
    answer(&visitor, done)
}

pub(super) async fn retry(visitor: Visitor, Id(id): Id, Form(pressed): Form<Pressed>) -> Response {
    let done = async {
        visitor.check_change(&pressed.csrf)?;
        let mut office = visitor.office().await?;
        office.retry(visitor.who(), &id).await?;
        Ok(Done::See(address("deliveries", &id)))
    };
    let done = done.await;
    answer(&visitor, done)
}
