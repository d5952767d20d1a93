//! What the buttons of the page do. Each form carries the CSRF token of the session.

use std::time::{Duration, SystemTime};

use axum::{
    extract::{Form, RawForm},
    response::{IntoResponse, Redirect, Response},
};
use minijinja::{Value, context};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use url::form_urlencoded;

use super::{door::Door, template::of, user::User, views};
use crate::{
    manage::{
        act::Act,
        forget::{Forget, RowKey},
        hook_input::{EventList, NewHook},
        replay::Range,
    },
    server::{problem::Problem, request::Path},
};

/// What the replay button goes back.
const REPLAY_SPAN: Duration = Duration::from_secs(24 * 60 * 60);

/// How an action answers: with a page, or with a redirect to one.
pub(super) enum Outcome {
    Page(&'static str, Value),
    /// The path below the root of the database.
    Redirect(String),
}

impl Outcome {
    /// A redirect to the page of a hook or a delivery.
    fn to(kind: &str, id: &str) -> Self {
        let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
        Self::Redirect(format!("/{kind}/{id}"))
    }
}

pub(super) fn respond(user: &User, here: &str, outcome: Result<Outcome, Problem>) -> Response {
    match outcome {
        Ok(Outcome::Page(name, values)) => user.page(name, here, values),
        Ok(Outcome::Redirect(path)) => {
            Redirect::to(&format!("{}{path}", user.root())).into_response()
        }
        Err(problem) => user.problem(&problem),
    }
}

/// The form that adds a hook.
#[derive(Deserialize)]
pub(super) struct NewHookForm {
    csrf: String,
    /// Each that is chosen.
    event: Vec<String>,
    target: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    rate: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    events: String,
    #[serde(default)]
    filter: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    auth: String,
    #[serde(default)]
    timeout: String,
    #[serde(default)]
    retries: String,
    #[serde(default)]
    order: String,
    #[serde(default)]
    concurrency: String,
    #[serde(default)]
    batch: String,
    #[serde(default)]
    max_body: String,
    #[serde(default)]
    disable_after: String,
    #[serde(default)]
    signature: String,
}

impl NewHookForm {
    /// Reads what a browser sends: the event once for each box that is ticked.
    fn read(form: &[u8]) -> Result<Self, Problem> {
        let mut fields = Map::new();
        let mut events = Vec::new();
        for (name, text) in form_urlencoded::parse(form) {
            let text = Json::String(text.trim().to_owned());
            match &*name {
                "event" => events.push(text),
                _ => {
                    fields.insert(name.into_owned(), text);
                }
            }
        }
        events.retain(|event| event != "");
        fields.insert("event".to_owned(), Json::Array(events));
        serde_json::from_value(Json::Object(fields))
            .map_err(|error| Problem::bad_request(format!("the form is not whole: {error}")))
    }
}

/// `POST /hooks`: adds a hook, and shows its secret this once. In the portal, a hook that cannot be made is asked for
/// again, with what was wrong and what was written.
pub(super) async fn add(user: User, RawForm(form): RawForm) -> Response {
    let form = match NewHookForm::read(&form) {
        Ok(form) => form,
        Err(problem) => return user.problem(&problem),
    };
    let written = views::Written::of(&form.event, &form.target, &form.description);
    match add_hook(&user, form).await {
        Err(problem) if user.door() == Door::Portal && problem.status().is_client_error() => {
            views::hooks_again(&user, written, &problem).await
        }
        outcome => respond(&user, "hooks", outcome),
    }
}

async fn add_hook(user: &User, form: NewHookForm) -> Result<Outcome, Problem> {
    user.check(&form.csrf, Act::ChangeHooks)?;
    let given = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let generation = &user.caller.generation;
    generation.verify_target(form.target.trim()).await?;
    let json = |text: String| given(text).map(Json::String);
    let mut events = form.event;
    events.extend(given(form.events).map_or_else(Vec::new, |text| EventList::of_text(&text).0));
    let mut events = events.into_iter();
    let hook = NewHook {
        event: events.next(),
        events: Some(EventList(events.collect())).filter(|events| !events.0.is_empty()),
        target: form.target.trim().to_owned(),
        owner: given(form.owner),
        rate: given(form.rate),
        description: given(form.description),
        filter: given(form.filter),
        method: given(form.method),
        auth: json(form.auth),
        timeout: given(form.timeout),
        retries: json(form.retries),
        order: given(form.order),
        concurrency: json(form.concurrency),
        batch: json(form.batch),
        max_body: given(form.max_body),
        disable_after: json(form.disable_after),
        signature: json(form.signature),
        ..NewHook::default()
    };
    let mut admin = user.admin().await?;
    let made = admin.add_hook(user.actor(), hook).await?;
    Ok(Outcome::Page(
        "secret.html",
        context! { hook => of(&made.hook), secret => made.secret, made => true },
    ))
}

/// A form that is nothing but a button.
#[derive(Deserialize)]
pub(super) struct ButtonForm {
    pub(super) csrf: String,
}

/// `POST /hooks/{id}/{action}`: does something with a hook.
pub(super) async fn hook(
    user: User,
    Path((id, action)): Path<(String, String)>,
    Form(form): Form<ButtonForm>,
) -> Response {
    let outcome = act_on_hook(&user, &id, &action, &form.csrf).await;
    respond(&user, "hooks", outcome)
}

async fn act_on_hook(user: &User, id: &str, action: &str, csrf: &str) -> Result<Outcome, Problem> {
    let act = match action {
        "test" => Act::TestHook,
        "retry-dead" | "replay" => Act::SendAgain,
        _ => Act::ChangeHooks,
    };
    user.check(csrf, act)?;
    let actor = user.actor();
    let mut admin = user.admin().await?;
    let range = |since: Option<SystemTime>| Range {
        hook: Some(id.to_owned()),
        since,
        ..Range::default()
    };
    match action {
        "enable" => drop(admin.enable_hook(actor, id).await?),
        "disable" => drop(admin.disable_hook(actor, id, "disabled by hand").await?),
        "retry-dead" => {
            admin.retry_dead(actor, &range(None), &mut |_| {}).await?;
        }
        "replay" => {
            let range = range(SystemTime::now().checked_sub(REPLAY_SPAN));
            admin.replay(actor, &range, &mut |_| {}).await?;
        }
        "remove" => {
            admin.remove_hook(actor, id).await?;
            return Ok(Outcome::Redirect("/hooks".to_owned()));
        }
        "rotate" => {
            let rotated = admin.rotate_secret(actor, id).await?;
            return Ok(Outcome::Page(
                "secret.html",
                context! { hook => of(&rotated.hook), secret => rotated.secret },
            ));
        }
        "test" => {
            user.caller.generation.count_test(actor)?;
            let prepared = admin.prepare_test(actor, id).await?;
            drop(admin);
            let mut tested = prepared.send(&user.caller.generation.sender).await;
            user.retell([&mut tested.answer]);
            return Ok(Outcome::Page(
                "tested.html",
                context! { id, tested => of(&tested) },
            ));
        }
        _ => return Err(Problem::no_such_address()),
    }
    Ok(Outcome::to("hooks", id))
}

/// The forms that forget an owner or a row.
#[derive(Deserialize)]
pub(super) struct ForgetForm {
    csrf: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    table: String,
    #[serde(default)]
    key: String,
}

/// `POST /forget`: forgets an owner or a row, and shows what went.
pub(super) async fn forget(user: User, Form(form): Form<ForgetForm>) -> Response {
    let forgotten = async {
        user.check(&form.csrf, Act::Forget)?;
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let row = given(form.table.trim()).map(|table| RowKey::parse(&table, &form.key));
        let (owner, what) = match &row {
            Some(_) => (
                None,
                format!("The row {} of {}", form.key, form.table.trim()),
            ),
            None => (
                Some(form.owner.clone()),
                format!("The owner {}", form.owner),
            ),
        };
        let of_owner = owner.is_some();
        let mut admin = user.admin().await?;
        let done = admin.forget(&Forget { owner, row }).await?;
        Ok::<_, Problem>(context! { done => of(&done), what, of_owner })
    };
    match forgotten.await {
        Ok(values) => user.page("forget.html", "forget", values),
        Err(problem) => user.problem(&problem),
    }
}

/// `POST /deliveries/{id}/retry`: has a delivery sent at once.
pub(super) async fn retry(user: User, Path(id): Path, Form(form): Form<ButtonForm>) -> Response {
    let outcome = async {
        user.check(&form.csrf, Act::SendAgain)?;
        let mut admin = user.admin().await?;
        admin.retry(user.actor(), &id).await?;
        Ok(Outcome::to("deliveries", &id))
    };
    let outcome = outcome.await;
    respond(&user, "hooks", outcome)
}
