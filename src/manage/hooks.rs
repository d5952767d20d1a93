//! Hooks as people see them.

use std::{
    collections::{BTreeMap, HashSet},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::{Row, types::ToSql};
use url::Url;
use utoipa::ToSchema;

use super::{
    Actor, Admin, Error, Page, PageRequest, Result,
    outlook::{self, HookFacts, HookState, Process},
    page::Found,
    table,
};
use crate::{
    config::{
        Setting,
        settings::{kind_of_auth, value},
    },
    hook::events::names,
    postgres::{quote, time::timestamp},
};

/// A hook, and how it is doing. Its secret is not part of this.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Hook {
    /// The key of its row, or its name in hooks.toml.
    pub id: String,
    /// `table` for a row of the hook table; `file` for a hook of hooks.toml, which can be changed only there.
    pub origin: String,
    /// The owner whose events it gets; null for the events of all owners.
    pub owner: Option<String>,
    /// The event or pattern that it is subscribed to; several are separated by commas.
    pub event: String,
    /// The same as a list.
    pub events: Vec<String>,
    /// The URL that events are sent to, without credentials.
    pub target: String,
    /// Whether it is enabled.
    pub active: bool,
    /// `active`, `failing`, `disabled` or `invalid`.
    pub state: &'static str,
    /// Whether its requests are signed.
    pub signed: bool,
    /// A CEL expression. Only events for which it is true are sent.
    pub filter: Option<String>,
    /// The payload format, if it differs from that of hooks.toml.
    pub payload: Option<String>,
    /// How bodies are encoded, if that differs from hooks.toml: `json` or `form`.
    pub content: Option<String>,
    /// The content type of its requests, if it has one of its own.
    pub content_type: Option<String>,
    /// The most requests in a time, if that differs from hooks.toml: `100/s` or `20/m`.
    pub rate: Option<String>,
    /// The user agent of its requests, if it has one of its own.
    pub user_agent: Option<String>,
    /// The name of the client certificate of its requests, if it has one of `[[certificates]]` in hooks.toml.
    pub certificate: Option<String>,
    /// Whether its bodies are compressed, if that differs from hooks.toml: `gzip` or `none`.
    pub compress: Option<String>,
    /// The template that makes what is sent in place of the row, if it has one of its own.
    pub template: Option<String>,
    /// The method of its requests, if it is another than POST.
    pub method: Option<String>,
    /// What its credentials are, if it has some: `bearer`, `basic` or `oauth2`.
    pub auth: Option<&'static str>,
    /// The time-out of a request, such as `15s`; if it differs from hooks.toml.
    pub timeout: Option<String>,
    /// The pauses between attempts: `["5s", "5m"]`, `{"max_tries": 10}`, or false for a single attempt; if it differs
    /// from hooks.toml.
    pub retries: Option<Value>,
    /// What arrives in commit order: `row`, `hook` or `none`; if it differs from hooks.toml.
    pub order: Option<String>,
    /// The most requests in flight, a number; if it differs from hooks.toml.
    pub concurrency: Option<Value>,
    /// How deliveries are gathered: `{"max": 100, "wait": "1s"}`, or false to send each alone; if it differs from
    /// hooks.toml.
    pub batch: Option<Value>,
    /// The largest body, such as `20MiB`; if it differs from hooks.toml.
    pub max_body: Option<String>,
    /// When it is disabled for failing: a time such as `5d`, or a number of failures; if it differs from hooks.toml.
    pub disable_after: Option<Value>,
    /// How its bodies are signed: `standard`, or an object of `header`, `algorithm`, `encoding` and `prefix`; if it
    /// differs from hooks.toml.
    pub signature: Option<Value>,
    /// The names of the headers that it adds. Their values may be secret.
    pub headers: Vec<String>,
    /// A note by whoever made it.
    pub description: Option<String>,
    /// Why it cannot be used; null if it can.
    pub invalid: Option<String>,
    /// When it was disabled.
    pub disabled_at: Option<String>,
    /// Why it was disabled.
    pub disabled_reason: Option<String>,
    /// When it was made, if that is known.
    pub created_at: Option<String>,
    /// When it was last changed, if that is known.
    pub updated_at: Option<String>,
    /// When its failures began; null if the last attempt succeeded.
    pub failing_since: Option<String>,
    /// Deliveries that wait for another attempt.
    pub parked: i64,
    /// Deliveries that were given up.
    pub dead: i64,
    /// Its last request, as far as history goes back.
    pub last: Option<LastAnswer>,
    /// How it fares and what comes next, in one sentence for people.
    pub why: String,
    /// When the first of its deliveries is due.
    #[serde(skip)]
    next_attempt: Option<SystemTime>,
    /// How the last attempt of that delivery ended.
    #[serde(skip)]
    due_reason: Option<String>,
}

/// The answer to a hook's last request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LastAnswer {
    /// When the request was made.
    pub at: String,
    /// Whether it was accepted.
    pub delivered: bool,
    /// The HTTP status, or why there was none.
    pub answer: String,
}

/// Which hooks to list. Fields that are `None` do not limit the list.
#[derive(Debug, Clone, Default)]
pub struct HookQuery {
    /// Those subscribed to exactly this event or pattern.
    pub event: Option<String>,
    /// Those of this owner.
    pub owner: Option<String>,
    /// Those in this state.
    pub state: Option<HookCondition>,
    /// That with this id.
    pub id: Option<String>,
}

/// The state of a hook, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HookCondition {
    /// It gets events.
    Active,
    /// It is active, and its latest attempts have all failed.
    Failing,
    /// It is switched off.
    Disabled,
    /// It cannot be used.
    Invalid,
}

/// The place of a hook in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Place {
    /// That of a row with this id.
    Row(String),
    /// That of a hook of hooks.toml, before all rows.
    File {
        /// Its name.
        file: String,
    },
}

impl Place {
    fn of(hook: &Hook) -> Self {
        let id = hook.id.clone();
        match hook.origin.as_str() {
            "file" => Self::File { file: id },
            _ => Self::Row(id),
        }
    }
}

impl HookCondition {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Failing, Self::Disabled, Self::Invalid];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Failing => "failing",
            Self::Disabled => "disabled",
            Self::Invalid => "invalid",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl Hook {
    fn current_state(&self) -> HookCondition {
        match self {
            Self {
                invalid: Some(_), ..
            } => HookCondition::Invalid,
            Self { active: false, .. } => HookCondition::Disabled,
            Self {
                failing_since: Some(_),
                ..
            } => HookCondition::Failing,
            _ => HookCondition::Active,
        }
    }

    /// How it fares, beside what the running rowhook knows of it.
    fn explain(&self, process: &Process, now: SystemTime) -> String {
        let state = match (&self.invalid, self.active) {
            (Some(reason), _) => HookState::Invalid(reason),
            (None, false) => HookState::Disabled(self.disabled_reason.as_deref()),
            (None, true) => HookState::Good(self.rate.as_deref()),
        };
        let last = self.last.as_ref();
        outlook::of_hook(&HookFacts {
            state,
            disabled_at: self.disabled_at.as_deref(),
            failing_since: self.failing_since.as_deref(),
            last: last.map(|last| (last.answer.as_str(), last.delivered)),
            parked: self.parked,
            dead: self.dead,
            next_attempt: self.next_attempt,
            due_reason: self.due_reason.as_deref(),
            process,
            now,
        })
    }

    fn read(row: &Row) -> anyhow::Result<Self> {
        let time = |name| -> anyhow::Result<Option<String>> {
            let time: Option<SystemTime> = row.try_get(name)?;
            Ok(time.map(timestamp))
        };
        let headers: Option<serde_json::Value> = row
            .try_get::<_, Option<String>>("headers")?
            .and_then(|text| serde_json::from_str(&text).ok());
        let headers: BTreeMap<String, serde_json::Value> = headers
            .and_then(|headers| serde_json::from_value(headers).ok())
            .unwrap_or_default();
        let last = time("last_at")?.map(|at| -> anyhow::Result<_> {
            Ok(LastAnswer {
                at,
                delivered: row.try_get("last_delivered")?,
                answer: row.try_get("last_answer")?,
            })
        });
        let text = |name| row.try_get::<_, Option<String>>(name);
        let event = text("event")?;
        // A list that cannot be read makes the hook invalid, which is shown.
        let more = text("events")?.and_then(|list| names(&list).ok());
        let mut events: Vec<String> = event
            .into_iter()
            .chain(more.into_iter().flatten())
            .collect();
        let mut seen = HashSet::new();
        events.retain(|event| seen.insert(event.clone()));
        let setting = |setting: Setting| -> anyhow::Result<Option<Value>> {
            Ok(text(setting.name())?.and_then(|text| value(&text)))
        };
        let word = |name: Setting| -> anyhow::Result<Option<String>> {
            Ok(setting(name)?.map(|value| match value {
                Value::String(text) => text,
                other => other.to_string(),
            }))
        };
        let auth = setting(Setting::Auth)?;
        let mut hook = Self {
            state: "",
            id: row.try_get("id")?,
            origin: row.try_get("origin")?,
            owner: text("owner")?,
            event: events.join(", "),
            events,
            target: without_credentials(text("target")?.as_deref().unwrap_or_default()),
            active: row.try_get("active")?,
            signed: row.try_get("signed")?,
            filter: text("filter")?,
            payload: text("payload")?,
            content: text("content")?,
            content_type: text("content_type")?,
            rate: text("rate")?,
            user_agent: text("user_agent")?,
            certificate: text("certificate")?,
            compress: text("compress")?,
            template: text("template")?,
            method: word(Setting::Method)?,
            auth: auth.map(|auth| kind_of_auth(&auth).unwrap_or("unknown")),
            timeout: word(Setting::Timeout)?,
            retries: setting(Setting::Retries)?,
            order: word(Setting::Order)?,
            concurrency: setting(Setting::Concurrency)?,
            batch: setting(Setting::Batch)?,
            max_body: word(Setting::MaxBody)?,
            disable_after: setting(Setting::DisableAfter)?,
            signature: setting(Setting::Signature)?,
            headers: headers.into_keys().collect(),
            description: text("description")?,
            invalid: text("invalid")?,
            disabled_at: time("disabled_at")?,
            disabled_reason: text("disabled_reason")?,
            created_at: time("created_at")?,
            updated_at: time("updated_at")?,
            failing_since: time("failing_since")?,
            parked: row.try_get("parked")?,
            dead: row.try_get("dead")?,
            last: last.transpose()?,
            why: String::new(),
            next_attempt: row.try_get("next_attempt")?,
            due_reason: text("due_reason")?,
        };
        hook.state = hook.current_state().as_str();
        Ok(hook)
    }
}

/// A target without its credentials. A text that is not a URL is returned as it is, since nothing is ever sent there.
fn without_credentials(target: &str) -> String {
    let Ok(mut url) = Url::parse(target) else {
        return target.to_owned();
    };
    // These fail only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

impl Admin {
    /// A page of the hooks that `actor` may see: those of hooks.toml by their names, and then those of the table by
    /// their ids.
    ///
    /// # Errors
    /// When the cursor is invalid, or the tables cannot be read.
    pub async fn hooks(
        &self,
        actor: &Actor,
        query: &HookQuery,
        page: &PageRequest,
    ) -> Result<Page<Hook>> {
        let after: Option<Place> = page.position()?;
        let owner = match (actor.owner(), query.owner.as_deref()) {
            (Some(own), Some(asked)) if own != asked => {
                return Ok(Page::of(Found::none(), Place::of));
            }
            (own, asked) => own.or(asked),
        };
        let found = self
            .find_hooks(owner, query, after.as_ref(), page.limit())
            .await?;
        Ok(Page::of(found, Place::of))
    }

    /// One hook.
    ///
    /// # Errors
    /// When there is no hook of this id that `actor` may see, or the tables cannot be read.
    ///
    /// Where a row of the hook table has the name of a hook of hooks.toml, the id means the row to its owner and the
    /// hook of the file to the operator.
    pub async fn hook(&self, actor: &Actor, id: &str) -> Result<Hook> {
        // One of the file, and one of the table.
        let query = HookQuery {
            id: Some(id.to_owned()),
            ..HookQuery::default()
        };
        let found = self.find_hooks(actor.owner(), &query, None, 2).await?;
        let meant = match actor {
            Actor::Operator => "file",
            Actor::Owner(_) => "table",
        };
        let hooks = found.entries.into_iter();
        let hook = hooks.max_by_key(|hook| hook.origin == meant);
        hook.ok_or_else(|| Error::not_found("hook", id))
    }

    /// As [`Self::hook`], for what is on record of the hook: refuses a row that has the name of a hook of hooks.toml.
    pub async fn hook_on_record(&self, actor: &Actor, id: &str) -> Result<Hook> {
        let hook = self.hook(actor, id).await?;
        let is_of_file = self.config.hooks.iter().any(|hook| hook.name == id);
        if hook.origin == "table" && is_of_file {
            return Err(Error::Conflict(format!(
                "hook {id} has never heard anything: its id is the name of a hook in hooks.toml"
            )));
        }
        Ok(hook)
    }

    /// Finds up to `limit` hooks of an owner, or of all.
    async fn find_hooks(
        &self,
        owner: Option<&str>,
        query: &HookQuery,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Found<Hook>> {
        let (after, after_of_file) = match after {
            Some(Place::Row(id)) => (Some(id), None),
            Some(Place::File { file }) => (None, Some(file)),
            None => (None, None),
        };
        let table = &self.table;
        let conditions = [
            query.id.as_ref().map(|_| table.id_is("$3")),
            after.map(|_| table.id_is_after("$5")),
            query
                .state
                .filter(|state| *state == HookCondition::Failing)
                .and_then(|_| table.is_failing()),
        ];
        let conditions: Vec<String> = conditions.into_iter().flatten().collect();
        let rows = match conditions.is_empty() {
            true => table.select_in_place(),
            false => format!(
                "{} where {}",
                table.select_in_place(),
                conditions.join(" and ")
            ),
        };
        let sql = quote::fill(
            include_str!("../../sql/manage/hooks.sql"),
            &[
                ("file_hooks", table::FILE_HOOKS),
                ("rows", &rows),
                ("columns", table::COLUMNS),
            ],
        );
        let and_one_more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let (action, file_hooks) = ("read the hooks", self.file_hooks());
        let state = query.state.map(HookCondition::as_str);
        let parameters: [&(dyn ToSql + Sync); 8] = [
            &file_hooks,
            &owner,
            &query.id,
            &query.event,
            &after,
            &and_one_more,
            &state,
            &after_of_file,
        ];
        let client = &self.client;
        let mut found = Found::read(client, action, &sql, &parameters, limit, Hook::read).await?;
        let now = SystemTime::now();
        for hook in &mut found.entries {
            // A row that is shadowed has the id of another hook, which the running rowhook means.
            let of_file = self.config.hooks.iter().any(|file| file.name == hook.id);
            let process = match hook.origin == "table" && of_file {
                true => Process::Unknown,
                false => self.process(&hook.id),
            };
            hook.why = hook.explain(&process, now);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_shown_without_credentials() {
        for (target, expected) in [
            ("https://user:secret@example.com/x", "https://example.com/x"),
            ("https://example.com/x?y=1", "https://example.com/x?y=1"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(without_credentials(target), expected);
        }
    }
}
