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

use super::{
    door::Door,
    fields::{Allowed, Texts, credentials},
    template::of,
    user::User,
    views,
};
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
struct NewHookForm {
    csrf: String,
    /// Each that is chosen, and those that are written beside them.
    events: Vec<String>,
    texts: Texts,
}

impl NewHookForm {
    /// Reads what a browser sends: the event once for each box that is ticked.
    fn read(form: &[u8]) -> Self {
        let (mut events, mut texts) = (Vec::new(), Texts::new());
        for (name, text) in form_urlencoded::parse(form) {
            let text = text.trim().to_owned();
            match &*name {
                "event" => events.push(text),
                "events" => events.extend(EventList::of_text(&text).0),
                _ => {
                    texts.insert(name.into_owned(), text);
                }
            }
        }
        events.retain(|event| !event.is_empty());
        Self {
            csrf: texts.remove("csrf").unwrap_or_default(),
            events,
            texts,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    /// The hook that it asks for, with what may be said in it.
    fn hook(&self, allowed: &Allowed) -> Result<NewHook, Problem> {
        let mut hook = Map::from_iter([("target".to_owned(), self.text("target").into())]);
        let names = allowed.fields().map(|field| field.name);
        for name in names.chain(["owner"]) {
            let text = self.text(name);
            if !text.is_empty() {
                hook.insert(name.to_owned(), text.into());
            }
        }
        let auth = self.text("auth");
        if allowed.has("auth") && !auth.is_empty() {
            hook.insert("auth".to_owned(), credentials(auth));
        }
        let hook: Result<NewHook, _> = serde_json::from_value(Json::Object(hook));
        let mut hook =
            hook.map_err(|error| Problem::bad_request(format!("the form is not whole: {error}")))?;
        let mut events = self.events.iter().cloned();
        hook.event = events.next();
        hook.events = Some(EventList(events.collect())).filter(|events| !events.0.is_empty());
        Ok(hook)
    }
}

/// `POST /hooks`: adds a hook, and shows its secret this once. In the portal, a hook that cannot be made is asked for
/// again, with what was wrong and what was written.
pub(super) async fn add(user: User, RawForm(form): RawForm) -> Response {
    let form = NewHookForm::read(&form);
    match add_hook(&user, &form).await {
        Err(problem) if user.door() == Door::Portal && problem.status().is_client_error() => {
            let (target, description) = (form.text("target"), form.text("description"));
            let written = views::Written::of(&form.events, target, description);
            views::hooks_again(&user, written, &problem).await
        }
        outcome => respond(&user, "hooks", outcome),
    }
}

async fn add_hook(user: &User, form: &NewHookForm) -> Result<Outcome, Problem> {
    user.check(&form.csrf, Act::ChangeHooks)?;
    let hook = form.hook(&Allowed::of(user))?;
    user.caller.generation.verify_target(&hook.target).await?;
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
