//! Changing a hook that is there. The form shows what the hook says now, but for what is secret: a secret that is left
//! empty stays.
//!
//! What somebody has not touched is not written, and nothing is written while the hook is not as they have seen it.

use std::collections::BTreeMap;

use axum::{
    extract::RawForm,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use minijinja::{Value, context};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json};
use url::form_urlencoded;

use super::{
    door::Door,
    fields::{Allowed, Texts, credentials, label, texts_of},
    user::User,
    views::event_choices,
};
use crate::{
    config::unfit::Unfit,
    manage::{
        Error,
        act::Act,
        edit::HookEdit,
        hook_input::{EventList, HookChange},
        seen::Seen,
    },
    server::{problem::Problem, request::Path},
};

/// How many headers can be added at once.
const NEW_HEADERS: usize = 3;

/// What somebody has written.
struct Written {
    csrf: String,
    /// What stood for the hook when they saw it, and what the fields held then.
    seen: Seen,
    was: Texts,
    /// What the fields hold now.
    texts: Texts,
    /// New credentials; empty where they stay.
    auth: String,
    removes_auth: bool,
    /// Headers that get another value or go, and new ones, as far as they are written.
    headers: BTreeMap<String, Option<String>>,
    new_headers: Vec<(String, String)>,
}

/// Why nothing was saved.
enum NotSaved {
    Refused(Problem),
    /// The hook is not as it was seen.
    Changed,
}

impl From<Problem> for NotSaved {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<Error> for NotSaved {
    fn from(error: Error) -> Self {
        match error {
            Error::Changed(_) => Self::Changed,
            error => Self::Refused(error.into()),
        }
    }
}

/// `GET /hooks/{id}/edit`: the form.
pub(super) async fn form(user: User, Path(id): Path) -> Response {
    let found = async {
        user.caller.identity.require(Act::ChangeHooks)?;
        let admin = user.admin().await?;
        let (hook, seen) = admin.hook_to_edit(user.actor(), &id).await?;
        let texts = texts_of(&hook);
        let values = values(&user, &id, &seen, &texts, &texts);
        Ok::<_, Problem>(context! { new_headers => new_headers(&[]), ..values })
    };
    match found.await {
        Ok(values) => user.page("edit.html", "hooks", values),
        Err(problem) => user.problem(&problem),
    }
}

/// `POST /hooks/{id}/edit`: saves what was written, or shows the form again with what is wrong with it, or with what
/// others have changed meanwhile.
pub(super) async fn save(user: User, Path(id): Path, RawForm(form): RawForm) -> Response {
    let read = Written::read(&form, user.door());
    let written = read.and_then(|written| {
        user.check(&written.csrf, Act::ChangeHooks)?;
        Ok(written)
    });
    let written = match written {
        Ok(written) => written,
        Err(problem) => return user.problem(&problem),
    };
    match saved(&user, &id, &written).await {
        Ok(()) => {
            let id = utf8_percent_encode(&id, NON_ALPHANUMERIC);
            Redirect::to(&format!("{}/hooks/{id}", user.root())).into_response()
        }
        Err(NotSaved::Refused(problem)) if problem.is_about_input() => {
            refused(&user, &id, &written, &problem)
        }
        Err(NotSaved::Refused(problem)) => user.problem(&problem),
        Err(NotSaved::Changed) => match changed(&user, &id, &written).await {
            Ok(response) => response,
            Err(problem) => user.problem(&problem),
        },
    }
}

async fn saved(user: &User, id: &str, written: &Written) -> Result<(), NotSaved> {
    let edit = written.edit(&Allowed::of(user)).map_err(Error::from)?;
    if let Some(target) = &edit.change.target {
        // Looked at before the target is called, so that nobody causes requests with a hook that is not theirs.
        let looked = user.admin().await?.hook_to_edit(user.actor(), id).await?;
        if looked.1 != edit.seen {
            return Err(NotSaved::Changed);
        }
        user.caller.generation.verify_target(target).await?;
    }
    let mut admin = user.admin().await?;
    admin.edit_hook(user.actor(), id, edit).await?;
    Ok(())
}

/// The form again, with what is wrong at its field. What was written stays, but for what is secret.
fn refused(user: &User, id: &str, written: &Written, problem: &Problem) -> Response {
    let told = user.in_their_words(problem);
    let part = problem.part().filter(|part| label(part).is_some());
    let refused = context! {
        part,
        label => part.and_then(label),
        why => told.detail(),
        secrets => written.has_secrets(),
    };
    let shown = values(user, id, &written.seen, &written.was, &written.texts);
    let names: Vec<&str> = written
        .new_headers
        .iter()
        .map(|(name, _)| &**name)
        .collect();
    let values = context! { refused, new_headers => new_headers(&names), ..shown };
    (problem.status(), user.page("edit.html", "hooks", values)).into_response()
}

/// The form again, with what others have changed meanwhile, and what was written where they have changed nothing else.
async fn changed(user: &User, id: &str, written: &Written) -> Result<Response, Problem> {
    let admin = user.admin().await?;
    let (hook, seen) = admin.hook_to_edit(user.actor(), id).await?;
    let now = texts_of(&hook);
    let (was, mine) = (&written.was, &written.texts);
    let text = |texts: &Texts, name: &str| texts.get(name).cloned().unwrap_or_default();
    let differs = now.keys().filter(|name| !same(was, &now, name));
    let changes = differs.map(|name| {
        context! {
            label => label(name),
            was => text(was, name).replace('\n', ", "),
            now => text(&now, name).replace('\n', ", "),
            mine => (!same(mine, was, name) && mine.contains_key(name) && !same(mine, &now, name))
                .then(|| text(mine, name).replace('\n', ", ")),
        }
    });
    let changes: Vec<Value> = changes.collect();
    let mut texts = now.clone();
    let touched = mine.iter().filter(|(name, _)| !same(mine, was, name));
    texts.extend(touched.map(|(name, text)| (name.clone(), text.clone())));
    let names: Vec<&str> = written
        .new_headers
        .iter()
        .map(|(name, _)| &**name)
        .collect();
    let values = context! {
        changes,
        changed => true,
        secrets => written.has_secrets(),
        new_headers => new_headers(&names),
        ..values(user, id, &seen, &now, &texts)
    };
    let page = user.page("edit.html", "hooks", values);
    Ok((StatusCode::CONFLICT, page).into_response())
}

/// What the form shows: `texts` in its fields, and that the hook was seen as `was`.
fn values(user: &User, id: &str, seen: &Seen, was: &Texts, texts: &Texts) -> Value {
    let allowed = Allowed::of(user);
    let names = |texts: &Texts, name: &str| -> Vec<String> {
        let lines = texts.get(name).map_or("", String::as_str).lines();
        lines.map(str::to_owned).collect()
    };
    let events = names(texts, "events");
    let fields: Vec<Value> = allowed.fields().map(|field| field.shown(texts)).collect();
    let target = texts.get("target").cloned();
    context! {
        id,
        seen => seen.as_str(),
        was => Json::from_iter(was.clone()).to_string(),
        target,
        names => events.join(", "),
        fields,
        has => context! { headers => allowed.has("headers"), auth => allowed.has("auth") },
        auth => was.get("auth").filter(|kind| !kind.is_empty()),
        headers => names(was, "headers"),
        ..event_choices(user, &events)
    }
}

/// The lines for new headers, with the names that were written.
fn new_headers(names: &[&str]) -> Vec<Value> {
    let names = names.iter().copied().chain(std::iter::repeat(""));
    let numbered = (1..=NEW_HEADERS).zip(names);
    numbered
        .map(|(number, name)| context! { number, name })
        .collect()
}

/// Whether a field holds the same in both.
fn same(one: &Texts, other: &Texts, name: &str) -> bool {
    let text = |texts: &'_ Texts| texts.get(name).map_or("", String::as_str).trim().to_owned();
    text(one) == text(other)
}

impl Written {
    /// Reads what a browser sends. In the portal, each event has a box of its own; on the page, they stand in one line.
    fn read(form: &[u8], door: Door) -> Result<Self, Problem> {
        let mut texts = Texts::new();
        let (mut events, mut headers) = (Vec::new(), BTreeMap::new());
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (name, text) in form_urlencoded::parse(form) {
            let text = text.replace("\r\n", "\n").trim().to_owned();
            if name.contains('\0') || text.contains('\0') {
                let why = "the form has a zero character, which Postgres cannot keep";
                return Err(Problem::bad_request(why));
            }
            if let Some(header) = name.strip_prefix("remove:") {
                headers.insert(header.to_owned(), None);
            } else if let Some(header) = name.strip_prefix("value:") {
                if !text.is_empty() {
                    headers.entry(header.to_owned()).or_insert(Some(text));
                }
            } else {
                match &*name {
                    "events" if door == Door::Portal => events.push(text),
                    "events" => events.extend(EventList::of_text(&text).0),
                    "new-name" => names.push(text),
                    "new-value" => values.push(text),
                    _ => {
                        texts.insert(name.into_owned(), text);
                    }
                }
            }
        }
        events.sort();
        events.dedup();
        texts.insert("events".to_owned(), events.join("\n"));
        let mut take = |name: &str| texts.remove(name).unwrap_or_default();
        let was = serde_json::from_str(&take("was"));
        let new = names.into_iter().zip(values);
        Ok(Self {
            csrf: take("csrf"),
            seen: Seen::from_form(&take("seen")),
            was: was.map_err(|_| Problem::bad_request("the form is not whole; open it again"))?,
            auth: take("auth"),
            removes_auth: !take("auth-remove").is_empty(),
            headers,
            new_headers: new
                .filter(|(name, value)| !name.is_empty() || !value.is_empty())
                .collect(),
            texts,
        })
    }

    /// Whether something secret was written, which no page shows again.
    fn has_secrets(&self) -> bool {
        let mut headers = self.headers.values();
        !self.auth.is_empty()
            || headers.any(Option::is_some)
            || self.new_headers.iter().any(|(_, value)| !value.is_empty())
    }

    /// The change that it comes to, of what may be changed.
    fn edit(&self, allowed: &Allowed) -> Result<HookEdit, Unfit> {
        let unfit = |part, reason: String| Unfit {
            part: Some(part),
            reason,
        };
        let touched = |name: &str| {
            let text = self.texts.get(name)?;
            (!same(&self.texts, &self.was, name)).then(|| text.clone())
        };
        let mut change = Map::new();
        let names = allowed.fields().map(|field| field.name);
        for name in names.chain(["target"]) {
            if let Some(text) = touched(name) {
                let value = Some(text).filter(|text| !text.is_empty() || name == "target");
                change.insert(name.to_owned(), value.into());
            }
        }
        if allowed.has("auth") {
            match (self.auth.as_str(), self.removes_auth) {
                ("", false) => {}
                ("", true) => drop(change.insert("auth".to_owned(), Json::Null)),
                (text, _) => drop(change.insert("auth".to_owned(), credentials(text))),
            }
        }
        let change: Result<HookChange, _> = serde_json::from_value(Json::Object(change));
        let mut change = change.map_err(|error| Unfit::from(error.to_string()))?;
        if let Some(text) = touched("events") {
            let mut events = text.lines().map(str::to_owned);
            change.event = Some(events.next());
            change.events = Some(Some(EventList(events.collect())));
        }
        let mut headers = self.headers.clone();
        for (name, value) in &self.new_headers {
            if name.is_empty() {
                return Err(unfit(
                    "headers",
                    "a header has a value and no name; write both".into(),
                ));
            }
            if value.is_empty() {
                let why =
                    format!("the header {name} has no value; write it, for it is not shown again");
                return Err(unfit("headers", why));
            }
            headers.insert(name.clone(), Some(value.clone()));
        }
        Ok(HookEdit {
            change,
            headers: match allowed.has("headers") {
                true => headers,
                false => BTreeMap::new(),
            },
            seen: self.seen.clone(),
        })
    }
}
