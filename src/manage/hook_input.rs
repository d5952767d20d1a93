//! Hooks as people make and change them.
//!
//! A row is read back in the transaction that writes it, in the way the stream will read it. So nothing is committed
//! that a running rowhook would refuse, whichever table holds the hooks.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::Transaction;
use url::Url;
use utoipa::ToSchema;

use super::{
    Actor, Admin, Constraints, Error, Result, audit::record_hook, begin, hooks::Hook,
    sealing::Sealer, seen::Seen, table::Table,
};
use crate::{
    act::what,
    config::{HookColumns, Setting, settings, unfit::Blame},
    hook::{
        self, HookId,
        difference::Difference,
        row::{self, HookRow},
    },
    message::{Disabled, PREFIX},
    postgres::{quote, time::timestamp},
};

/// The bytes of a secret that is generated.
const SECRET_BYTES: usize = 32;
/// How long the previous secret signs beside a new one.
const SECRET_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// A hook to be made.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHook {
    /// The event of hooks.toml to subscribe to, or a pattern: `book.*` or `*`. It may be left out where `events` names
    /// some.
    pub event: Option<String>,
    /// More events and patterns, beside `event` or in its place. In a form they are separated by commas.
    #[schema(value_type = Option<Vec<String>>)]
    pub events: Option<EventList>,
    /// The URL that events are POSTed to. Also taken under the names that others have for it: `target_url`,
    /// `targetUrl`, `hookUrl` and `url`.
    #[serde(
        alias = "target_url",
        alias = "targetUrl",
        alias = "hookUrl",
        alias = "url"
    )]
    pub target: String,
    /// The owner whose events it gets. Owners make hooks of their own and may leave it out. A hook of the operator
    /// without it gets the events of all owners.
    pub owner: Option<String>,
    /// The key of its signatures, `whsec_…`. Without it, one is generated.
    pub secret: Option<String>,
    /// A CEL expression. Only events for which it is true are sent.
    pub filter: Option<String>,
    /// The payload format, if it is to differ from that of hooks.toml.
    pub payload: Option<String>,
    /// How bodies are encoded: `json` or `form`, if that is to differ from hooks.toml.
    pub content: Option<String>,
    /// The content type of its requests, if it is to differ from that of hooks.toml.
    pub content_type: Option<String>,
    /// The most requests in a time, such as `100/s` or `20/m`, if it is to differ from hooks.toml.
    pub rate: Option<String>,
    /// The user agent of its requests. Owners may name one where `[limits]` allows it.
    pub user_agent: Option<String>,
    /// The name of the client certificate of its requests, one of `[[certificates]]` in hooks.toml.
    pub certificate: Option<String>,
    /// Whether its bodies are compressed: `gzip` or `none`, if that is to differ from hooks.toml.
    pub compress: Option<String>,
    /// A template that makes what is sent in place of the row. Owners may have one where `[limits]` allows it.
    pub template: Option<String>,
    /// The method of its requests: `POST`, `PUT` or `PATCH`, if it is another than POST.
    pub method: Option<String>,
    /// Credentials for the header `Authorization`: `{"bearer": …}`, `{"user": …, "password": …}`, or `{"oauth2":
    /// {"token_url": …, "client_id": …, "client_secret": …, "scope": …}}`. They are not shown again.
    pub auth: Option<Value>,
    /// The time-out of a request, such as `15s`, if that is to differ from hooks.toml.
    pub timeout: Option<String>,
    /// The pauses between attempts: `["5s", "5m"]`, `{"max_tries": 10}`, or false for a single attempt, if that is to
    /// differ from hooks.toml.
    pub retries: Option<Value>,
    /// What arrives in commit order: `row`, `hook` or `none`, if that is to differ from hooks.toml.
    pub order: Option<String>,
    /// The most requests in flight, a number, if that is to differ from hooks.toml.
    pub concurrency: Option<Value>,
    /// How deliveries are gathered: `{"max": 100, "wait": "1s"}`, or false to send each alone, if that is to differ
    /// from hooks.toml.
    pub batch: Option<Value>,
    /// The largest body, such as `20MiB`, if that is to differ from hooks.toml.
    pub max_body: Option<String>,
    /// When it is disabled for failing: a time such as `5d`, or a number of failures, if that is to differ from
    /// hooks.toml.
    pub disable_after: Option<Value>,
    /// How its bodies are signed: `standard`, or an object of `header`, `algorithm`, `encoding` and `prefix`, if that
    /// is to differ from hooks.toml.
    pub signature: Option<Value>,
    /// Headers to add to each request.
    pub headers: Option<BTreeMap<String, String>>,
    /// A note.
    pub description: Option<String>,
}

/// A change of a hook. What is left out stays, and what is null is cleared.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HookChange {
    /// The event of hooks.toml to subscribe to, or a pattern.
    #[serde(deserialize_with = "double_option")]
    pub event: Option<Option<String>>,
    /// More events and patterns, beside `event` or in its place: all of them, in place of those before.
    #[serde(deserialize_with = "double_option")]
    #[schema(value_type = Option<Vec<String>>)]
    pub events: Option<Option<EventList>>,
    /// The URL that events are POSTed to, also under the other names that a new hook's may have.
    #[serde(
        alias = "target_url",
        alias = "targetUrl",
        alias = "hookUrl",
        alias = "url"
    )]
    pub target: Option<String>,
    /// A CEL expression. Only events for which it is true are sent.
    #[serde(deserialize_with = "double_option")]
    pub filter: Option<Option<String>>,
    /// The payload format.
    #[serde(deserialize_with = "double_option")]
    pub payload: Option<Option<String>>,
    /// How bodies are encoded: `json` or `form`.
    #[serde(deserialize_with = "double_option")]
    pub content: Option<Option<String>>,
    /// The content type of its requests.
    #[serde(deserialize_with = "double_option")]
    pub content_type: Option<Option<String>>,
    /// The most requests in a time, such as `100/s` or `20/m`.
    #[serde(deserialize_with = "double_option")]
    pub rate: Option<Option<String>>,
    /// The user agent of its requests.
    #[serde(deserialize_with = "double_option")]
    pub user_agent: Option<Option<String>>,
    /// The name of the client certificate of its requests, one of `[[certificates]]` in hooks.toml.
    #[serde(deserialize_with = "double_option")]
    pub certificate: Option<Option<String>>,
    /// Whether its bodies are compressed: `gzip` or `none`.
    #[serde(deserialize_with = "double_option")]
    pub compress: Option<Option<String>>,
    /// A template that makes what is sent in place of the row.
    #[serde(deserialize_with = "double_option")]
    pub template: Option<Option<String>>,
    /// The method of its requests: `POST`, `PUT` or `PATCH`.
    #[serde(deserialize_with = "double_option")]
    pub method: Option<Option<String>>,
    /// Credentials for the header `Authorization`: `{"bearer": …}`, `{"user": …, "password": …}`, or `{"oauth2":
    /// {"token_url": …, "client_id": …, "client_secret": …, "scope": …}}`. They are not shown again.
    #[serde(deserialize_with = "double_option")]
    pub auth: Option<Option<Value>>,
    /// The time-out of a request, such as `15s`.
    #[serde(deserialize_with = "double_option")]
    pub timeout: Option<Option<String>>,
    /// The pauses between attempts: `["5s", "5m"]`, `{"max_tries": 10}`, or false for a single attempt.
    #[serde(deserialize_with = "double_option")]
    pub retries: Option<Option<Value>>,
    /// What arrives in commit order: `row`, `hook` or `none`.
    #[serde(deserialize_with = "double_option")]
    pub order: Option<Option<String>>,
    /// The most requests in flight, a number.
    #[serde(deserialize_with = "double_option")]
    pub concurrency: Option<Option<Value>>,
    /// How deliveries are gathered: `{"max": 100, "wait": "1s"}`, or false to send each alone.
    #[serde(deserialize_with = "double_option")]
    pub batch: Option<Option<Value>>,
    /// The largest body, such as `20MiB`.
    #[serde(deserialize_with = "double_option")]
    pub max_body: Option<Option<String>>,
    /// When it is disabled for failing: a time such as `5d`, or a number of failures.
    #[serde(deserialize_with = "double_option")]
    pub disable_after: Option<Option<Value>>,
    /// How its bodies are signed: `standard`, or an object of `header`, `algorithm`, `encoding` and `prefix`.
    #[serde(deserialize_with = "double_option")]
    pub signature: Option<Option<Value>>,
    /// The headers to add to each request, in place of all that it adds now.
    #[serde(deserialize_with = "double_option")]
    pub headers: Option<Option<BTreeMap<String, String>>>,
    /// A note.
    #[serde(deserialize_with = "double_option")]
    pub description: Option<Option<String>>,
}

/// A list of events and patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EventList(pub Vec<String>);

impl EventList {
    /// Reads names that are separated by commas.
    pub fn of_text(text: &str) -> Self {
        let names = text.split(',').map(str::trim);
        Self(
            names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }
}

/// A list, or a text with commas, as forms have it.
impl<'de> Deserialize<'de> for EventList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a list of events")]
        enum Written {
            List(Vec<String>),
            Text(String),
        }
        Ok(match Written::deserialize(from)? {
            Written::List(names) => Self(names),
            Written::Text(text) => Self::of_text(&text),
        })
    }
}

/// A hook with its new secret, which is shown this once.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HookWithSecret {
    /// The hook.
    #[serde(flatten)]
    pub hook: Hook,
    /// The key of its signatures. Null if the hook table has no column for it, and in the answer to a request that is
    /// repeated with its `Idempotency-Key`: it is kept nowhere else, and whoever has missed it has a new one made.
    pub secret: Option<String>,
}

/// A value that forms and the command line have as a text.
fn parsed(value: Value) -> Value {
    match value {
        Value::String(text) => settings::value(&text).unwrap_or(Value::Null),
        value => value,
    }
}

impl HookChange {
    /// Subscribes the hook to these events and patterns, and no others.
    pub fn name_events(&mut self, events: Vec<String>) {
        self.event = Some(None);
        self.events = Some(Some(EventList(events)));
    }

    /// Has a setting be that of hooks.toml again.
    pub fn clear(&mut self, setting: Setting) {
        match setting {
            Setting::Method => self.method = Some(None),
            Setting::Auth => self.auth = Some(None),
            Setting::Timeout => self.timeout = Some(None),
            Setting::Retries => self.retries = Some(None),
            Setting::Order => self.order = Some(None),
            Setting::Concurrency => self.concurrency = Some(None),
            Setting::Batch => self.batch = Some(None),
            Setting::MaxBody => self.max_body = Some(None),
            Setting::DisableAfter => self.disable_after = Some(None),
            Setting::Signature => self.signature = Some(None),
        }
    }

    /// What it says of how the hook is sent, taken out of it.
    pub(super) fn take_settings(&mut self) -> SettingChanges {
        let text = |value: &mut Option<Option<String>>| {
            let value = value.take();
            value.map(|value| value.map(Value::String))
        };
        let json = |value: &mut Option<Option<Value>>| {
            let value = value.take();
            value.map(|value| value.map(parsed))
        };
        Setting::ALL.map(|setting| {
            let change = match setting {
                Setting::Method => text(&mut self.method),
                Setting::Auth => json(&mut self.auth),
                Setting::Timeout => text(&mut self.timeout),
                Setting::Retries => json(&mut self.retries),
                Setting::Order => text(&mut self.order),
                Setting::Concurrency => json(&mut self.concurrency),
                Setting::Batch => json(&mut self.batch),
                Setting::MaxBody => text(&mut self.max_body),
                Setting::DisableAfter => json(&mut self.disable_after),
                Setting::Signature => json(&mut self.signature),
            };
            (setting, change)
        })
    }

    /// What it says besides that in texts, by the keys of `[hook_table]`.
    fn texts(&mut self) -> [(&'static str, &mut Option<Option<String>>); 10] {
        [
            ("filter", &mut self.filter),
            ("payload", &mut self.payload),
            ("content", &mut self.content),
            ("content_type", &mut self.content_type),
            ("rate", &mut self.rate),
            ("user_agent", &mut self.user_agent),
            ("certificate", &mut self.certificate),
            ("compress", &mut self.compress),
            ("template", &mut self.template),
            ("description", &mut self.description),
        ]
    }

    /// Clears all that it says nothing of and the table has a column for.
    fn clear_the_rest(&mut self, columns: &HookColumns) {
        for (key, value) in self.texts() {
            if value.is_none() && columns.named(key).is_some() {
                *value = Some(None);
            }
        }
        if self.headers.is_none() && columns.headers.is_some() {
            self.headers = Some(None);
        }
    }
}

/// What changes of how a hook is sent, in the order of [`Setting::ALL`].
pub(super) type SettingChanges = [(Setting, Option<Option<Value>>); 10];

/// What makes a hook what a new one is to be, but for its owner and its secret.
impl From<NewHook> for HookChange {
    fn from(new: NewHook) -> Self {
        Self {
            event: Some(new.event),
            events: Some(new.events),
            target: Some(new.target),
            filter: new.filter.map(Some),
            payload: new.payload.map(Some),
            content: new.content.map(Some),
            content_type: new.content_type.map(Some),
            rate: new.rate.map(Some),
            user_agent: new.user_agent.map(Some),
            certificate: new.certificate.map(Some),
            compress: new.compress.map(Some),
            template: new.template.map(Some),
            method: new.method.map(Some),
            auth: new.auth.map(Some),
            timeout: new.timeout.map(Some),
            retries: new.retries.map(Some),
            order: new.order.map(Some),
            concurrency: new.concurrency.map(Some),
            batch: new.batch.map(Some),
            max_body: new.max_body.map(Some),
            disable_after: new.disable_after.map(Some),
            signature: new.signature.map(Some),
            headers: new.headers.map(Some),
            description: new.description.map(Some),
        }
    }
}

/// Tells null from a field that is left out, which is `None` by its default.
fn double_option<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Generates a key for signatures: symmetric or asymmetric, as the key `before` it.
pub(super) fn new_secret(before: Option<&str>) -> String {
    let key: [u8; SECRET_BYTES] = rand::random();
    let kind = match before {
        Some(before) if before.starts_with("whsk_") => "whsk_",
        _ => "whsec_",
    };
    format!("{kind}{}", BASE64_STANDARD.encode(key))
}

impl Admin {
    /// Makes a hook. It gets what is committed after it. What the name of its target resolves to is checked before, by
    /// [`check_target`](super::ping::check_target).
    ///
    /// # Errors
    /// When a value of it cannot be used, or `actor` may not make it.
    pub async fn add_hook(&mut self, actor: &Actor, mut new: NewHook) -> Result<HookWithSecret> {
        let (owner, secret) = (new.owner.take(), new.secret.take());
        let mut new = HookChange::from(new);
        let settings = new.take_settings();
        self.refuse_settings(actor, &settings)?;
        let owner = match (actor, owner) {
            (Actor::Owner(own), Some(other)) if *own != other => {
                return Err(Error::Forbidden(format!(
                    "hooks of {other:?} are not yours to make; leave owner out"
                )));
            }
            (Actor::Owner(own), _) => Some(own.clone()),
            (Actor::Operator, owner) => owner,
        };
        self.check_url(new.target.as_deref().unwrap_or_default())?;
        if let Actor::Owner(owner) = actor {
            self.refuse_one_more(owner).await?;
        }
        let known = self.fresh_constraints().await?;
        let secret = match (&self.table.columns.secret, secret) {
            (Some(_), given) => Some(given.unwrap_or_else(|| new_secret(None))),
            (None, Some(_)) => return Err(no_column("secret")),
            (None, None) => None,
        };
        let mut values = self.values_of(new, settings)?;
        for (key, value) in [("owner", owner), ("secret", secret.clone())] {
            if let Some(value) = value {
                put(&mut values, &self.table.columns, key, value.into())?;
            }
        }
        // What it does not say is what the table has for that.
        values.retain(|_, value| !value.is_null());
        if let (Some(active), false) = (&self.table.columns.active, self.table.columns.is_own) {
            values.insert(active.clone(), Value::Bool(true));
        }
        let sealer = Sealer {
            columns: &self.table.columns,
            secrets: &self.config.secrets,
        };
        sealer.refuse_sealed(&values)?;
        let mut sealed = sealer.split_secrets(&mut values);
        let now = self.now_columns(&values).await?;
        let columns: Vec<&str> = values.keys().map(String::as_str).collect();
        let sql = self.table.insert(&columns, &now);
        let json = Value::Object(values).to_string();
        // Without the key, nothing is made.
        sealer.seal_values("", &mut sealed.clone())?;
        let act = self.act(what::HOOK_CREATED);
        let transaction = self.client.transaction().await;
        let transaction = transaction.context("begin a transaction")?;
        let failed = |error| Error::from_postgres("make the hook", error);
        let made = transaction
            .query_one(&sql, &[&json])
            .await
            .map_err(failed)?;
        let id: String = made.try_get(0).context("read the new hook's id")?;
        if !sealed.is_empty() {
            // What is sealed is bound to the id.
            sealer.seal_values(&id, &mut sealed)?;
            let columns: Vec<&str> = sealed.keys().map(String::as_str).collect();
            let sql = self.table.update(&columns);
            let json = Value::Object(sealed).to_string();
            let set = transaction
                .batch_execute("set local rowhook.sealing = on")
                .await;
            set.map_err(failed)?;
            transaction
                .execute(&sql, &[&json, &id])
                .await
                .map_err(failed)?;
        }
        let row = check_row(&transaction, &self.table, &known, &id).await?;
        let difference = Difference::between(None, Some(&row), &self.config.secrets);
        let act = act.on_hook(&id, None);
        record_hook(
            &transaction,
            self.charset,
            act,
            (None, Some(&row)),
            difference,
        )
        .await?;
        commit(transaction).await?;
        let hook = self.hook(&Actor::Operator, &id).await?;
        Ok(HookWithSecret { hook, secret })
    }

    /// Changes a hook, for events that are committed after the change. Parked deliveries go to its new target too.
    /// What the name of that resolves to is checked before, by [`check_target`](super::ping::check_target).
    ///
    /// # Errors
    /// When `actor` has no such hook, or a value of the change cannot be used.
    pub async fn change_hook(
        &mut self,
        actor: &Actor,
        id: &str,
        mut change: HookChange,
    ) -> Result<Hook> {
        self.editable_hook(actor, id).await?;
        let settings = change.take_settings();
        self.apply(actor, id, change, settings, None).await
    }

    /// Replaces a hook: what `new` leaves out is cleared. Its owner and its secret stay.
    ///
    /// # Errors
    /// As [`Self::change_hook`], and when `new` names another owner, or a secret.
    pub async fn replace_hook(&mut self, actor: &Actor, id: &str, new: NewHook) -> Result<Hook> {
        let before = self.editable_hook(actor, id).await?;
        if new.owner.is_some() && new.owner != before.owner {
            return Err(Error::Conflict(format!(
                "hook {id} stays its owner's; leave owner out, or make another hook"
            )));
        }
        if new.secret.is_some() {
            return Err(Error::Conflict(format!(
                "the secret of hook {id} is changed by rotating it; leave secret out"
            )));
        }
        let mut change = HookChange::from(new);
        change.clear_the_rest(&self.table.columns);
        let mut settings = change.take_settings();
        for (setting, change) in &mut settings {
            let has_column = self.table.columns.setting(*setting).is_some();
            if change.is_none() && has_column && self.may_set(actor, *setting) {
                *change = Some(None);
            }
        }
        self.apply(actor, id, change, settings, None).await
    }

    /// Changes a hook that `actor` may change; with `seen`, only if it is still as it was seen.
    pub(super) async fn apply(
        &mut self,
        actor: &Actor,
        id: &str,
        change: HookChange,
        settings: SettingChanges,
        seen: Option<&Seen>,
    ) -> Result<Hook> {
        self.refuse_settings(actor, &settings)?;
        if let Some(target) = &change.target {
            self.check_url(target)?;
        }
        let values = self.values_of(change, settings)?;
        self.write(id, &values, what::HOOK_CHANGED, seen).await?;
        self.hook(actor, id).await
    }

    /// What a change writes to the columns of the table.
    fn values_of(
        &self,
        mut change: HookChange,
        settings: SettingChanges,
    ) -> Result<Map<String, Value>> {
        let columns = &self.table.columns;
        let mut values = Map::new();
        let mut put = |key, value| put(&mut values, columns, key, value);
        let events = change.events.take();
        let events = events.map(|list| list.map(|EventList(events)| events));
        let (event, events) = match (change.event.take(), events) {
            (Some(event), Some(events)) => {
                let (event, events) = self.events_of_new(event, events.unwrap_or_default())?;
                (
                    Some(event),
                    Some(Some(events).filter(|list| !list.is_empty())),
                )
            }
            given => given,
        };
        // A column that the table has not, it need not clear.
        if let Some(event) = event.filter(|event| event.is_some() || columns.event.is_some()) {
            put("event", text(event))?;
        }
        if let Some(events) = events.filter(|list| list.is_some() || columns.events.is_some()) {
            put("events", events.map_or(Value::Null, Value::from))?;
        }
        if let Some(target) = change.target.take() {
            put("target", target.into())?;
        }
        for (key, value) in change.texts() {
            if let Some(value) = value.take() {
                put(key, text(value))?;
            }
        }
        for (setting, value) in settings {
            if let Some(value) = value {
                let value = value.unwrap_or(Value::Null);
                if !value.is_null() {
                    settings::check(setting, &value, &self.config.delivery)?;
                }
                put(setting.name(), value)?;
            }
        }
        if let Some(headers) = change.headers {
            put("headers", headers.map_or(Value::Null, object))?;
        }
        Ok(values)
    }

    /// Enables a hook. What was parked while it was disabled is sent.
    ///
    /// # Errors
    /// When `actor` has no such hook, or its table has no column for this.
    pub async fn enable_hook(&mut self, actor: &Actor, id: &str) -> Result<Hook> {
        self.editable_hook(actor, id).await?;
        let active = self.active_column()?;
        let values = Map::from_iter([(active, Value::Bool(true))]);
        self.write(id, &values, what::HOOK_ENABLED, None).await?;
        self.hook(actor, id).await
    }

    /// Disables a hook. What is parked is kept for the retention. If the operator does it, the event `hook.disabled` is
    /// sent to the owner's hooks that are subscribed to it.
    ///
    /// # Errors
    /// When `actor` has no such hook, or its table has no column for this.
    pub async fn disable_hook(&mut self, actor: &Actor, id: &str, reason: &str) -> Result<Hook> {
        let before = self.editable_hook(actor, id).await?;
        let active = self.active_column()?;
        if !before.active {
            return Ok(before);
        }
        let own = match self.table.columns.is_own {
            true => ", disabled_at = clock_timestamp(), disabled_reason = $2",
            false => "",
        };
        let sql = format!(
            "update {} set {} = false{own} where {} and $2::text is not null",
            self.table.name,
            quote::name(&active),
            self.table.id_is("$1")
        );
        let act = self.act(what::HOOK_DISABLED).on_hook(id, None);
        let transaction = begin(&mut self.client).await?;
        let failed = |error| Error::from_postgres("disable the hook", error);
        let row = lock_row(&transaction, &self.table, id).await?;
        transaction
            .execute(&sql, &[&id, &reason])
            .await
            .map_err(failed)?;
        let after = load_row(&transaction, &self.table, id).await?;
        let rows = (row.as_ref(), after.as_ref());
        let difference = Difference::between(rows.0, rows.1, &self.config.secrets);
        let act = act.with("reason", reason);
        record_hook(&transaction, self.charset, act, rows, difference).await?;
        if let (Actor::Operator, Some(row)) = (actor, row) {
            let message = disabled_message(&before, &row.id, reason);
            let sql = "select send_message($1::text, $2::bytea)";
            transaction
                .execute(sql, &[&PREFIX, &message.as_bytes()])
                .await
                .map_err(failed)?;
        }
        commit(transaction).await?;
        self.hook(actor, id).await
    }

    /// Removes a hook. It gets nothing that is committed after that.
    ///
    /// # Errors
    /// When `actor` has no such hook, or it is one of hooks.toml.
    pub async fn remove_hook(&mut self, actor: &Actor, id: &str) -> Result<()> {
        self.editable_hook(actor, id).await?;
        let act = self.act(what::HOOK_DELETED).on_hook(id, None);
        let transaction = begin(&mut self.client).await?;
        // A role may have the right to delete from the application's table, and none to lock its rows.
        let row = load_row(&transaction, &self.table, id).await?;
        let removed = transaction.execute(&self.table.delete(), &[&id]).await;
        removed.map_err(|error| Error::from_postgres("remove the hook", error))?;
        let rows = (row.as_ref(), None);
        let difference = Difference::between(rows.0, None, &self.config.secrets);
        record_hook(&transaction, self.charset, act, rows, difference).await?;
        commit(transaction).await
    }

    /// Gives a hook a new secret. If the table has a column for the previous secret, that signs too, so that the
    /// receiver has time to switch. In rowhook's own table, this ends after a day.
    ///
    /// # Errors
    /// When `actor` has no such hook, or its table has no column for a secret.
    pub async fn rotate_secret(&mut self, actor: &Actor, id: &str) -> Result<HookWithSecret> {
        self.editable_hook(actor, id).await?;
        let column = self.table.columns.secret.clone();
        let column = column.ok_or_else(|| no_column("secret"))?;
        let before = format!(
            "select {}::text from {} where {}",
            quote::name(&column),
            self.table.name,
            self.table.id_is("$1")
        );
        let before = self.client.query_opt(&before, &[&id]).await;
        let before = before.context("read the hook's secret")?;
        let before: Option<String> = match before {
            Some(row) => row.try_get(0).context("read the hook's secret")?,
            None => return Err(Error::not_found("hook", id)),
        };
        // One that cannot be opened signs no more.
        let before = before.and_then(|before| self.sealer().open_secret(id, before));
        let secret = new_secret(before.as_deref());
        let mut values = Map::from_iter([(column, Value::String(secret.clone()))]);
        if let (Some(previous), Some(before)) = (&self.table.columns.previous_secret, before) {
            values.insert(previous.clone(), Value::String(before));
            if self.table.columns.is_own {
                let until = timestamp(self.database_now().await? + SECRET_OVERLAP);
                values.insert("previous_secret_expires_at".into(), Value::String(until));
            }
        }
        self.write(id, &values, what::HOOK_ROTATED, None).await?;
        let hook = self.hook(actor, id).await?;
        Ok(HookWithSecret {
            hook,
            secret: Some(secret),
        })
    }

    /// The hook as deliveries use it, with its secret.
    pub(super) async fn runtime_hook(&self, actor: &Actor, id: &str) -> Result<hook::Hook> {
        let of_file = self.config.hooks.iter().find(|hook| hook.name == id);
        match (self.hook(actor, id).await?.origin.as_str(), of_file) {
            ("file", Some(of_file)) => return Ok(hook::from_file(of_file)),
            ("file", None) => return Err(Error::not_found("hook", id)),
            _ => {}
        }
        let id_of_row = self.table.hook_id(id);
        let row = row::load_one(&self.client, &self.table.columns, &id_of_row).await?;
        let row = row.ok_or_else(|| Error::not_found("hook", id))?;
        row.into_hook(&self.rules.constraints)
            .map_err(|reason| Error::Conflict(format!("hook {id} cannot be used: {reason}")))
    }

    /// The hook, if `actor` may change it: it is theirs, and not one of the file.
    pub(super) async fn editable_hook(&self, actor: &Actor, id: &str) -> Result<Hook> {
        let hook = self.hook(actor, id).await?;
        if hook.origin == "file" {
            return Err(Error::Conflict(format!(
                "hook {id} stands in {}; change it there",
                self.config.path.display()
            )));
        }
        Ok(hook)
    }

    /// Whether `actor` may choose this setting.
    pub fn may_set(&self, actor: &Actor, setting: Setting) -> bool {
        match actor {
            Actor::Operator => true,
            Actor::Owner(_) => self.config.limits.owner_settings.has(setting),
        }
    }

    /// Refuses settings that owners may not choose themselves.
    fn refuse_settings(&self, actor: &Actor, changes: &SettingChanges) -> Result<()> {
        let mut given = changes.iter().filter(|(_, change)| change.is_some());
        match given.find(|(setting, _)| !self.may_set(actor, *setting)) {
            Some((setting, _)) => Err(Error::Forbidden(format!(
                "{setting} is not yours to set; leave it out, or have it added to owner_settings in [limits]"
            ))),
            None => Ok(()),
        }
    }

    /// What a new hook has in the columns for one event and for several.
    fn events_of_new(
        &self,
        event: Option<String>,
        mut events: Vec<String>,
    ) -> Result<(Option<String>, Vec<String>)> {
        let columns = &self.table.columns;
        if event.is_none() && events.is_empty() {
            return Err(Error::Unfit {
                part: "events",
                reason: "it names no event; give event, or events for several".into(),
            });
        }
        Ok(match (event, &columns.event) {
            (Some(event), None) => {
                events.insert(0, event);
                (None, events)
            }
            // The application's column may have to hold something.
            (None, Some(_)) if !columns.is_own => (Some(events.remove(0)), events),
            (event, _) => (event, events),
        })
    }

    fn active_column(&self) -> Result<String> {
        self.table
            .columns
            .active
            .clone()
            .ok_or_else(|| no_column("active"))
    }

    /// Writes columns of a row, unless that would leave a hook that cannot be used, or the row is not as it was `seen`.
    /// It goes on record as `what`.
    async fn write(
        &mut self,
        id: &str,
        values: &Map<String, Value>,
        what: &'static str,
        seen: Option<&Seen>,
    ) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let mut values = values.clone();
        self.sealer().seal_values(id, &mut values)?;
        let columns: Vec<&str> = values.keys().map(String::as_str).collect();
        let sql = self.table.update(&columns);
        let json = Value::Object(values).to_string();
        let known = self.fresh_constraints().await?;
        let act = self.act(what).on_hook(id, None);
        let transaction = begin(&mut self.client).await?;
        let before = lock_row(&transaction, &self.table, id).await?;
        if let (Some(seen), Some(before)) = (seen, &before)
            && Seen::of(before, &self.config.secrets) != *seen
        {
            return Err(Error::Changed(id.to_owned()));
        }
        let changed = transaction.execute(&sql, &[&json, &id]).await;
        let changed = changed.map_err(|error| Error::from_postgres("change the hook", error))?;
        if changed == 0 {
            return Err(Error::not_found("hook", id));
        }
        let after = check_row(&transaction, &self.table, &known, id).await?;
        let rows = (before.as_ref(), Some(&after));
        let difference = Difference::between(rows.0, rows.1, &self.config.secrets);
        record_hook(&transaction, self.charset, act, rows, difference).await?;
        commit(transaction).await
    }

    /// Refuses another hook of an owner who has as many as `[limits]` allows.
    async fn refuse_one_more(&self, owner: &str) -> Result<()> {
        let most = i64::from(self.config.limits.hooks);
        let column = quote::name(&self.table.columns.owner);
        let sql = format!(
            "select count(*) from (select from {} where {column}::text = $1 limit $2) as theirs",
            self.table.name
        );
        let row = self.client.query_one(&sql, &[&owner, &most]).await;
        let row = row.map_err(|error| Error::from_postgres("count the hooks", error))?;
        let theirs: i64 = row.try_get(0).context("count the hooks")?;
        if theirs < most {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "you have {theirs} hooks, and may have {most}; remove one, or have hooks raised in [limits]"
        )))
    }

    /// Refuses a target that may never be called, whatever its name resolves to.
    fn check_url(&self, target: &str) -> Result<()> {
        let url = Url::parse(target);
        let url = url.map_err(|error| format!("the target is not a URL: {error}"));
        let guard = &self.rules.constraints.guard;
        guard.check_url(&url.blame("target")?).blame("target")?;
        Ok(())
    }

    /// The columns that an insert has to fill with the current time, as the application's ORM does.
    async fn now_columns(&self, given: &Map<String, Value>) -> Result<Vec<String>> {
        if self.table.columns.is_own {
            return Ok(Vec::new());
        }
        let sql = include_str!("../../sql/manage/now_columns.sql");
        let rows = self.client.query(sql, &[&self.table.name]).await;
        let rows = rows.context("read the columns of the hook table")?;
        let names = rows.iter().map(|row| row.try_get::<_, String>(0));
        let names: std::result::Result<Vec<String>, _> = names.collect();
        let mut names = names.context("read the columns of the hook table")?;
        names.retain(|name| !given.contains_key(name));
        Ok(names)
    }
}

/// Sets the column for `key` of a row, possibly to null.
fn put(
    values: &mut Map<String, Value>,
    columns: &HookColumns,
    key: &'static str,
    value: Value,
) -> Result<()> {
    let column = columns.named(key).ok_or_else(|| no_column(key))?;
    values.insert(column.to_owned(), value);
    Ok(())
}

fn text(value: Option<String>) -> Value {
    value.map_or(Value::Null, Value::String)
}

fn object(headers: BTreeMap<String, String>) -> Value {
    let texts = headers.into_iter();
    Value::Object(texts.map(|(name, value)| (name, value.into())).collect())
}

fn no_column(what: &str) -> Error {
    Error::Conflict(format!(
        "the table of [hook_table] has no column for {what}; name one there, or leave it out"
    ))
}

/// Reads the row as the stream will, and refuses one that the stream would.
async fn check_row(
    transaction: &Transaction<'_>,
    table: &Table,
    known: &Constraints,
    id: &str,
) -> Result<HookRow> {
    let row = load_row(transaction, table, id).await?;
    let row = row.ok_or_else(|| Error::not_found("hook", id))?;
    row.clone().fit(known)?;
    Ok(row)
}

/// Reads the row, and keeps others from changing it meanwhile; `None`: it is gone.
async fn lock_row(
    transaction: &Transaction<'_>,
    table: &Table,
    id: &str,
) -> Result<Option<HookRow>> {
    let locked = transaction.execute(&table.lock(), &[&id]).await;
    locked.map_err(|error| Error::from_postgres("read the hook", error))?;
    load_row(transaction, table, id).await
}

async fn load_row(
    transaction: &Transaction<'_>,
    table: &Table,
    id: &str,
) -> Result<Option<HookRow>> {
    let id = table.hook_id(id);
    Ok(row::load_one(transaction.client(), &table.columns, &id).await?)
}

async fn commit(transaction: Transaction<'_>) -> Result<()> {
    let committed = transaction.commit().await;
    committed.map_err(|error| Error::from_postgres("commit", error))
}

/// The event `hook.disabled`, as a message in the stream.
fn disabled_message(hook: &Hook, id: &HookId, reason: &str) -> String {
    Disabled {
        owner: hook.owner.as_deref(),
        id: &hook.id,
        hook: serde_json::json!(id),
        target: &hook.target,
        reason,
        since: &timestamp(std::time::SystemTime::now()),
        last_answer: hook.last.as_ref().map(|last| last.answer.as_str()),
        kept: false,
    }
    .to_json()
}
