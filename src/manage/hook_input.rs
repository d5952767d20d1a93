//! Hooks, as people make and change them.
//!
//! What is written is read again in the same transaction as the stream will read it. So nothing gets in that a running
//! rowhook would then refuse, whichever table it is.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::Transaction;
use url::{Host, Url};
use utoipa::ToSchema;

use super::{Constraints, Error, Office, Result, Who, begin, hooks::Hook};
use crate::{
    config::HookColumns,
    hook::{self, HookId, row},
    message::{Disabled, PREFIX},
    postgres::{quote, time::timestamp},
};

/// How long a name of a target may take to be looked up.
const RESOLVE: Duration = Duration::from_secs(5);
/// The bytes of a secret that we make.
const SECRET_BYTES: usize = 32;
/// For how long the secret before a new one signs too.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// A hook that is to be made.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHook {
    /// An event of hooks.toml, or a pattern: `book.*` or `*`.
    pub event: String,
    /// The URL that events are POSTed to.
    pub target: String,
    /// Whose events it hears. An owner makes hooks of their own and may leave it out; without it, the operator's hear
    /// everyone's.
    pub owner: Option<String>,
    /// The key of its signatures, `whsec_…`. Without it one is made.
    pub secret: Option<String>,
    /// A CEL expression; only events for which it is true are sent.
    pub filter: Option<String>,
    /// The shape of the body, where it differs from hooks.toml.
    pub payload: Option<String>,
    /// Headers to add to each request.
    pub headers: Option<BTreeMap<String, String>>,
    /// A note.
    pub description: Option<String>,
}

/// What is to be changed of a hook: what is left out stays, what is null is cleared.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HookChange {
    /// An event of hooks.toml, or a pattern.
    pub event: Option<String>,
    /// The URL that events are POSTed to.
    pub target: Option<String>,
    /// A CEL expression.
    #[serde(deserialize_with = "said")]
    pub filter: Option<Option<String>>,
    /// The shape of the body.
    #[serde(deserialize_with = "said")]
    pub payload: Option<Option<String>>,
    /// Headers to add, in place of all that it adds now.
    #[serde(deserialize_with = "said")]
    pub headers: Option<Option<BTreeMap<String, String>>>,
    /// A note.
    #[serde(deserialize_with = "said")]
    pub description: Option<Option<String>>,
}

/// A hook that was made, or has a new secret, which is shown this once.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Keyed {
    /// The hook.
    #[serde(flatten)]
    pub hook: Hook,
    /// The key of its signatures; null where the hook table has no column for it.
    pub secret: Option<String>,
}

/// Null is something that was said; only what is left out is not.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A key for signatures, of the same kind as the one before it.
pub(super) fn new_secret(before: Option<&str>) -> String {
    let key: [u8; SECRET_BYTES] = rand::random();
    let kind = match before {
        Some(before) if before.starts_with("whsk_") => "whsk_",
        _ => "whsec_",
    };
    format!("{kind}{}", BASE64_STANDARD.encode(key))
}

impl Office {
    /// Makes a hook. It applies from the commit that makes it on.
    ///
    /// # Errors
    /// When something of it cannot be used, or `who` may not make it.
    pub async fn add_hook(&mut self, who: &Who, new: NewHook) -> Result<Keyed> {
        let owner = match (who, new.owner) {
            (Who::Owner(own), Some(other)) if *own != other => {
                return Err(Error::Forbidden(format!(
                    "hooks of {other:?} are not yours to make; leave owner out"
                )));
            }
            (Who::Owner(own), _) => Some(own.clone()),
            (Who::Operator, owner) => owner,
        };
        self.check_target(&new.target).await?;
        let known = self.known_now().await?;
        let mut row = Row::default();
        row.set("owner", Some(&self.table.columns.owner), owner)?;
        row.set("event", Some(&self.table.columns.event), Some(new.event))?;
        row.set("target", Some(&self.table.columns.target), Some(new.target))?;
        row.set("filter", self.table.columns.filter.as_ref(), new.filter)?;
        let secret = match (&self.table.columns.secret, new.secret) {
            (Some(_), given) => Some(given.unwrap_or_else(|| new_secret(None))),
            (None, Some(_)) => return Err(no_column("secret")),
            (None, None) => None,
        };
        if let Some(secret) = &secret {
            row.set(
                "secret",
                self.table.columns.secret.as_ref(),
                Some(secret.clone()),
            )?;
        }
        row.set("payload", self.table.columns.payload.as_ref(), new.payload)?;
        if let Some(headers) = new.headers {
            row.put(
                "headers",
                self.table.columns.headers.as_ref(),
                object(headers),
            )?;
        }
        let description = self.table.columns.description.as_ref();
        row.set("description", description, new.description)?;
        if let (Some(active), false) = (&self.table.columns.active, self.table.columns.is_own) {
            row.values.insert(active.clone(), Value::Bool(true));
        }
        let now = self.now_columns(&row.values).await?;
        let columns: Vec<&str> = row.values.keys().map(String::as_str).collect();
        let sql = self.table.insert(&columns, &now);
        let json = Value::Object(row.values).to_string();
        let transaction = begin(&mut self.client).await?;
        let made = transaction.query_one(&sql, &[&json]).await;
        let made = made.map_err(|error| Error::of_postgres("make the hook", error))?;
        let id: String = made.try_get(0).context("read the new hook's id")?;
        check_row(&transaction, &self.table.columns, &known, &id).await?;
        commit(transaction).await?;
        let hook = self.hook(&Who::Operator, &id).await?;
        Ok(Keyed { hook, secret })
    }

    /// Changes a hook. What is committed from now on is judged and sent by it as it is then; what waits goes where it points.
    ///
    /// # Errors
    /// When `who` has no such hook, or something of it cannot be used.
    pub async fn change_hook(&mut self, who: &Who, id: &str, change: HookChange) -> Result<Hook> {
        self.of_table(who, id).await?;
        if let Some(target) = &change.target {
            self.check_target(target).await?;
        }
        let mut row = Row::default();
        if let Some(event) = change.event {
            row.set("event", Some(&self.table.columns.event), Some(event))?;
        }
        if let Some(target) = change.target {
            row.set("target", Some(&self.table.columns.target), Some(target))?;
        }
        if let Some(filter) = change.filter {
            row.put("filter", self.table.columns.filter.as_ref(), text(filter))?;
        }
        if let Some(payload) = change.payload {
            row.put(
                "payload",
                self.table.columns.payload.as_ref(),
                text(payload),
            )?;
        }
        if let Some(headers) = change.headers {
            let headers = headers.map_or(Value::Null, object);
            row.put("headers", self.table.columns.headers.as_ref(), headers)?;
        }
        if let Some(description) = change.description {
            let column = self.table.columns.description.as_ref();
            row.put("description", column, text(description))?;
        }
        let values = row.values;
        self.write(id, &values).await?;
        self.hook(who, id).await
    }

    /// Switches a hook on. What waited while it was off is sent.
    ///
    /// # Errors
    /// When `who` has no such hook, or it cannot be switched.
    pub async fn enable_hook(&mut self, who: &Who, id: &str) -> Result<Hook> {
        self.of_table(who, id).await?;
        let active = self.active_column()?;
        self.write(id, &Map::from_iter([(active, Value::Bool(true))]))
            .await?;
        self.hook(who, id).await
    }

    /// Switches a hook off. What waits is kept for the retention. When it is the operator who does it, hooks of its owner on
    /// `hook.disabled` are told.
    ///
    /// # Errors
    /// When `who` has no such hook, or it cannot be switched.
    pub async fn disable_hook(&mut self, who: &Who, id: &str, reason: &str) -> Result<Hook> {
        let before = self.of_table(who, id).await?;
        let active = self.active_column()?;
        if !before.active {
            return Ok(before);
        }
        let own = match self.table.columns.is_own {
            true => ", disabled_at = clock_timestamp(), disabled_reason = $2",
            false => "",
        };
        let sql = format!(
            "update {} set {} = false{own} where {}::text = $1 and $2::text is not null",
            self.table.name,
            quote::name(&active),
            self.table.id
        );
        let transaction = begin(&mut self.client).await?;
        let failed = |error| Error::of_postgres("disable the hook", error);
        let key = HookId::new(id, false);
        let row = row::load_one(transaction.client(), &self.table.columns, &key).await?;
        transaction
            .execute(&sql, &[&id, &reason])
            .await
            .map_err(failed)?;
        if let (Who::Operator, Some(row)) = (who, row) {
            let message = told_disabled(&before, &row.id, reason);
            let sql = "select pg_logical_emit_message(true, $1::text, $2::text)";
            transaction
                .execute(sql, &[&PREFIX, &message])
                .await
                .map_err(failed)?;
        }
        commit(transaction).await?;
        self.hook(who, id).await
    }

    /// Removes a hook. It hears nothing that is committed from now on.
    ///
    /// # Errors
    /// When `who` has no such hook, or it stands in hooks.toml.
    pub async fn remove_hook(&mut self, who: &Who, id: &str) -> Result<()> {
        self.of_table(who, id).await?;
        let removed = self.client.execute(&self.table.delete(), &[&id]).await;
        removed.map_err(|error| Error::of_postgres("remove the hook", error))?;
        Ok(())
    }

    /// Gives a hook a new secret, from the commit on. Where the table has room for it, the old one signs too for a day, so that
    /// the receiver has time to learn the new one.
    ///
    /// # Errors
    /// When `who` has no such hook, or its table has no column for a secret.
    pub async fn rotate_secret(&mut self, who: &Who, id: &str) -> Result<Keyed> {
        self.of_table(who, id).await?;
        let column = self.table.columns.secret.clone();
        let column = column.ok_or_else(|| no_column("secret"))?;
        let before = format!(
            "select {}::text from {} where {}::text = $1",
            quote::name(&column),
            self.table.name,
            self.table.id
        );
        let before = self.client.query_opt(&before, &[&id]).await;
        let before = before.context("read the hook's secret")?;
        let before: Option<String> = match before {
            Some(row) => row.try_get(0).context("read the hook's secret")?,
            None => return Err(Error::not_found("hook", id)),
        };
        let secret = new_secret(before.as_deref());
        let mut row = Row::default();
        row.put("secret", Some(&column), Value::String(secret.clone()))?;
        if let (Some(previous), Some(before)) = (&self.table.columns.previous_secret, before) {
            row.put("previous_secret", Some(previous), Value::String(before))?;
            if self.table.columns.is_own {
                let until = timestamp(self.now().await? + OVERLAP);
                row.values
                    .insert("previous_secret_expires_at".into(), Value::String(until));
            }
        }
        self.write(id, &row.values).await?;
        let hook = self.hook(who, id).await?;
        Ok(Keyed {
            hook,
            secret: Some(secret),
        })
    }

    /// The hook as it is sent to, with its secret.
    pub(super) async fn live_hook(&self, who: &Who, id: &str) -> Result<hook::Hook> {
        self.hook(who, id).await?;
        if let Some(of_file) = self.config.hooks.iter().find(|hook| hook.name == id) {
            return Ok(hook::from_file(of_file));
        }
        let row = row::load_one(&self.client, &self.table.columns, &HookId::new(id, false)).await?;
        let row = row.ok_or_else(|| Error::not_found("hook", id))?;
        row.into_hook(&self.rules.known)
            .map_err(|reason| Error::Conflict(format!("hook {id} cannot be used: {reason}")))
    }

    /// A hook that `who` may change: theirs, and not one of the file.
    async fn of_table(&self, who: &Who, id: &str) -> Result<Hook> {
        let hook = self.hook(who, id).await?;
        if hook.origin == "file" {
            return Err(Error::Conflict(format!(
                "hook {id} stands in {}; change it there",
                self.config.path.display()
            )));
        }
        Ok(hook)
    }

    fn active_column(&self) -> Result<String> {
        self.table
            .columns
            .active
            .clone()
            .ok_or_else(|| no_column("active"))
    }

    /// Writes columns of a row, if the row can still be used afterwards.
    async fn write(&mut self, id: &str, values: &Map<String, Value>) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let columns: Vec<&str> = values.keys().map(String::as_str).collect();
        let sql = self.table.update(&columns);
        let json = Value::Object(values.clone()).to_string();
        let known = self.known_now().await?;
        let transaction = begin(&mut self.client).await?;
        let changed = transaction.execute(&sql, &[&json, &id]).await;
        let changed = changed.map_err(|error| Error::of_postgres("change the hook", error))?;
        if changed == 0 {
            return Err(Error::not_found("hook", id));
        }
        check_row(&transaction, &self.table.columns, &known, id).await?;
        commit(transaction).await
    }

    /// Refuses a target that would not be called: by what its URL says, and by where its name leads now.
    pub(super) async fn check_target(&self, target: &str) -> Result<()> {
        let url = Url::parse(target)
            .map_err(|error| Error::Invalid(format!("the target is not a URL: {error}")))?;
        let refused = |refusal: crate::send::guard::Refusal| Error::Invalid(refusal.to_string());
        self.rules.known.guard.check_url(&url).map_err(refused)?;
        let Some(Host::Domain(name)) = url.host() else {
            return Ok(());
        };
        // A name that nobody knows yet may be known when there is something to send; where it leads is judged then too.
        let looking = tokio::time::timeout(RESOLVE, tokio::net::lookup_host((name, 0)));
        let Ok(Ok(found)) = looking.await else {
            return Ok(());
        };
        let judged = |address: SocketAddr| self.rules.known.guard.check_address(address.ip());
        let judged: Vec<_> = found.map(judged).collect();
        match judged.iter().all(std::result::Result::is_err) {
            true => judged
                .into_iter()
                .next()
                .map_or(Ok(()), |first| first.map_err(refused)),
            false => Ok(()),
        }
    }

    /// The columns that have to be filled with the present time, as an ORM would do it.
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

/// The columns of a row that are to be written.
#[derive(Default)]
struct Row {
    values: Map<String, Value>,
}

impl Row {
    /// Sets what was given; a column that the table lacks must not be.
    fn set(&mut self, what: &str, column: Option<&String>, value: Option<String>) -> Result<()> {
        match value {
            Some(_) => self.put(what, column, text(value)),
            None => Ok(()),
        }
    }

    /// Sets a column, to null too.
    fn put(&mut self, what: &str, column: Option<&String>, value: Value) -> Result<()> {
        let column = column.ok_or_else(|| no_column(what))?;
        self.values.insert(column.clone(), value);
        Ok(())
    }
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

/// Reads the row as the stream will, and refuses what that would.
async fn check_row(
    transaction: &Transaction<'_>,
    columns: &HookColumns,
    known: &Constraints,
    id: &str,
) -> Result<()> {
    let row = row::load_one(transaction.client(), columns, &HookId::new(id, false)).await?;
    let row = row.ok_or_else(|| Error::not_found("hook", id))?;
    row.into_hook(known).map(drop).map_err(Error::Invalid)
}

async fn commit(transaction: Transaction<'_>) -> Result<()> {
    let committed = transaction.commit().await;
    committed.map_err(|error| Error::of_postgres("commit", error))
}

/// The event `hook.disabled`, as a message of the stream.
fn told_disabled(hook: &Hook, id: &HookId, reason: &str) -> String {
    Disabled {
        owner: hook.owner.as_deref(),
        id: &hook.id,
        hook: serde_json::json!(id),
        target: &hook.target,
        reason,
        since: &timestamp(std::time::SystemTime::now()),
        last_answer: hook.last.as_ref().map(|last| last.answer.as_str()),
    }
    .to_json()
}
