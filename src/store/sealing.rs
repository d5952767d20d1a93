//! Seals what is secret in rows of the hook table.
//!
//! Many rows are sealed in one statement, which writes only rows that are as they were read. It waits for nobody's
//! lock: a row that somebody is changing is left for later. A row that the table refuses to take sealed stays as it
//! is, alone.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use tokio_postgres::{Client, types::ToSql};

use super::Store;
use crate::{
    backoff::Backoff,
    config::{HookColumns, Sealed, Secrets, Setting},
    hook::{
        HookId,
        sealed::{SecretParts, What},
    },
    lock::lock,
    postgres::{error_message, fault::Fault, quote},
    seal::{KeyId, Keyring, MARK},
};

/// How many rows are sealed in one statement. The reader takes a few milliseconds for as many, and meanwhile no event.
pub const BATCH: usize = 500;

/// How often is looked for rows that cannot be seen yet or that somebody is changing, and the pauses between.
const LOOKS: u32 = 8;
const PAUSES: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// The hook table, as far as it can be sealed.
pub struct SealedTable {
    name: String,
    id: String,
    id_type: String,
    which: Sealed,
    columns: Vec<Column>,
}

struct Column {
    part: Part,
    name: String,
    /// What a text has to be cast to; nothing where Postgres does that itself, and then refuses what is too long.
    cast: &'static str,
}

#[derive(Clone, Copy)]
enum Part {
    Secret,
    PreviousSecret,
    Target,
    Headers,
    Auth,
}

impl Part {
    fn of(self, parts: &mut SecretParts) -> &mut Option<String> {
        match self {
            Self::Secret => &mut parts.secret,
            Self::PreviousSecret => &mut parts.previous_secret,
            Self::Target => &mut parts.target,
            Self::Headers => &mut parts.headers,
            Self::Auth => &mut parts.auth,
        }
    }
}

/// What came of sealing some rows.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many were sealed.
    pub sealed: usize,
    /// Those that were as they should be, or are gone.
    pub settled: Vec<String>,
    /// Those that somebody is changing, or that cannot be seen yet.
    pub later: Vec<String>,
    /// Those that cannot be sealed, and why.
    pub refused: Vec<(String, String)>,
}

impl SealedTable {
    /// Reads what the table looks like. `None`: nothing of it is to be sealed, or it is not there.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn read(client: &Client, hooks: &HookColumns) -> Result<Option<Self>> {
        let which = hooks.sealed;
        let named = [
            (which.secret, Part::Secret, hooks.secret.as_deref()),
            (
                which.secret,
                Part::PreviousSecret,
                hooks.previous_secret.as_deref(),
            ),
            (which.target, Part::Target, Some(&*hooks.target)),
            (which.headers, Part::Headers, hooks.headers.as_deref()),
            (
                which.auth,
                Part::Auth,
                hooks.setting(Setting::Auth).map(String::as_str),
            ),
        ];
        let named = named.into_iter().filter(|(is_sealed, ..)| *is_sealed);
        let named: Vec<(Part, &str)> = named
            .filter_map(|(_, part, name)| Some((part, name?)))
            .collect();
        let name = quote::table(&hooks.table);
        let sql = "select attname::text, format_type(atttypid, null) from pg_attribute \
                   where attrelid = to_regclass($1) and attnum > 0 and not attisdropped";
        let rows = client.query(sql, &[&name]).await;
        let rows = rows.with_context(|| format!("read what {} looks like", hooks.table))?;
        let type_of = |column: &str| {
            let mut rows = rows.iter();
            rows.find_map(|row| match row.try_get::<_, &str>(0) {
                Ok(name) if name == column => row.try_get::<_, &str>(1).ok(),
                _ => None,
            })
        };
        let Some(id_type) = type_of(&hooks.id) else {
            return Ok(None);
        };
        let columns = named.into_iter().filter_map(|(part, name)| {
            let cast = match type_of(name)? {
                "json" => "::json",
                "jsonb" => "::jsonb",
                _ => "",
            };
            Some(Column {
                part,
                name: quote::name(name),
                cast,
            })
        });
        let columns: Vec<Column> = columns.collect();
        Ok((!columns.is_empty()).then(|| Self {
            name,
            id: quote::name(&hooks.id),
            id_type: id_type.to_owned(),
            which,
            columns,
        }))
    }

    /// The ids of rows that may have something to seal.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn candidates(
        &self,
        client: &Client,
        what: What,
        newest: KeyId,
    ) -> Result<Vec<String>> {
        let mark = match what {
            What::Plain => MARK.to_owned(),
            What::Outdated => format!("{MARK}{newest}."),
        };
        let may = self
            .columns
            .iter()
            .map(|Column { part, name, .. }| match part {
                Part::Secret | Part::PreviousSecret => format!("not starts_with({name}::text, $1)"),
                Part::Target => {
                    format!("{name}::text ~ '://[^/?#]+@' and strpos({name}::text, $1) = 0")
                }
                Part::Headers | Part::Auth => format!("{name} is not null"),
            });
        let may: Vec<String> = may.collect();
        let sql = format!(
            "select {}::text from {} where {}",
            self.id,
            self.name,
            may.join(" or ")
        );
        let rows = client.query(&sql, &[&mark]).await;
        let rows = rows.with_context(|| format!("look for what to seal in {}", self.name))?;
        let ids = rows.iter().map(|row| row.try_get(0));
        ids.collect::<Result<_, _>>()
            .context("read the ids of hooks")
    }

    /// Hands what is secret in each row to `take`.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn each(&self, client: &Client, mut take: impl FnMut(SecretParts)) -> Result<()> {
        let columns = self.columns.iter();
        let columns: Vec<String> = columns
            .map(|column| format!("{}::text", column.name))
            .collect();
        let sql = format!("select {} from {}", columns.join(", "), self.name);
        let what = || format!("read {}", self.name);
        let none: [&str; 0] = [];
        let rows = client.query_raw(&sql, none).await.with_context(what)?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await.with_context(what)? {
            let mut parts = SecretParts::default();
            for (at, column) in self.columns.iter().enumerate() {
                *column.part.of(&mut parts) = row.try_get(at)?;
            }
            take(parts);
        }
        Ok(())
    }

    /// Seals these rows.
    ///
    /// # Errors
    /// When the connection is lost, or the table cannot be read or written to at all.
    pub async fn seal(
        &self,
        client: &Client,
        ids: &[String],
        what: What,
        keys: (&Secrets, &Keyring),
    ) -> Result<Outcome> {
        let columns = self.columns.iter();
        let columns: Vec<String> = columns
            .map(|column| format!("{}::text", column.name))
            .collect();
        let sql = format!(
            "select {id}::text, {} from {} where {id} = any($1::text[]::{}[])",
            columns.join(", "),
            self.name,
            self.id_type,
            id = self.id,
        );
        let rows = client.query(&sql, &[&ids]).await;
        let rows = rows.with_context(|| format!("read what to seal in {}", self.name))?;
        let mut outcome = Outcome::default();
        let mut unseen: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let mut changes = Vec::new();
        for row in &rows {
            let id: String = row.try_get(0)?;
            unseen.remove(&*id);
            let mut before = SecretParts::default();
            for (at, column) in self.columns.iter().enumerate() {
                *column.part.of(&mut before) = row.try_get(at + 1)?;
            }
            let mut after = before.clone();
            match after.seal(&id, self.which, what, keys) {
                Ok(true) => changes.push((id, before, after)),
                Ok(false) => outcome.settled.push(id),
                Err(why) => outcome.refused.push((id, why)),
            }
        }
        outcome.later = unseen.into_iter().map(str::to_owned).collect();
        // Halves, where the table refuses a row.
        let mut parts = vec![changes];
        while let Some(mut changes) = parts.pop() {
            if changes.is_empty() {
                continue;
            }
            match self.write(client, &mut changes).await {
                Ok(written) => {
                    outcome.sealed += written.len();
                    let ids = changes.into_iter().map(|(id, ..)| id);
                    outcome.later.extend(ids.filter(|id| !written.contains(id)));
                }
                Err(error) if Fault::of_code(&error) != Fault::Row => {
                    return Err(error).with_context(|| format!("seal rows of {}", self.name));
                }
                Err(error) if changes.len() == 1 => {
                    let why = error_message(&error);
                    let ids = changes.into_iter().map(|(id, ..)| id);
                    outcome.refused.extend(ids.map(|id| (id, why.clone())));
                }
                Err(_) => {
                    let half = changes.split_off(changes.len() / 2);
                    parts.extend([half, changes]);
                }
            }
        }
        Ok(outcome)
    }

    /// Writes rows that are as they were read, and that nobody has locked. Returns the ids of those.
    async fn write(
        &self,
        client: &Client,
        changes: &mut [(String, SecretParts, SecretParts)],
    ) -> Result<HashSet<String>, tokio_postgres::Error> {
        let mut values: Vec<Vec<Option<String>>> = Vec::new();
        for column in &self.columns {
            let mut old = Vec::with_capacity(changes.len());
            let mut new = Vec::with_capacity(changes.len());
            for (_, before, after) in &mut *changes {
                old.push(column.part.of(before).clone());
                new.push(column.part.of(after).clone());
            }
            values.extend([old, new]);
        }
        let ids: Vec<&str> = changes.iter().map(|(id, ..)| &**id).collect();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&ids];
        parameters.extend(values.iter().map(|values| values as &(dyn ToSql + Sync)));
        let rows = client.query(&self.update(), &parameters).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    fn update(&self) -> String {
        let columns = || self.columns.iter().enumerate();
        let arrays =
            columns().map(|(at, _)| format!("${}::text[], ${}::text[]", at * 2 + 2, at * 2 + 3));
        let names = columns().map(|(at, _)| format!("old{at}, new{at}"));
        let sets =
            columns().map(|(at, Column { name, cast, .. })| format!("{name} = free.new{at}{cast}"));
        let same = columns().map(|(at, Column { name, .. })| {
            format!("hook.{name}::text is not distinct from given.old{at}")
        });
        let [arrays, names] =
            [arrays.collect::<Vec<_>>(), names.collect()].map(|list| list.join(", "));
        let sets = sets.collect::<Vec<_>>().join(", ");
        let same = same.collect::<Vec<_>>().join(" and ");
        let Self {
            name, id, id_type, ..
        } = self;
        // The rows are found by the index and locked before they are joined with the table once more: as a join of the
        // locked rows with the values, this would take the square of their number. Each is read before it is updated,
        // so the setting holds by then; it ends with the statement.
        format!(
            "with free as materialized (\
                select hook.{id} as id, {names}, pg_catalog.set_config('rowhook.sealing', 'on', true) \
                from unnest($1::text[], {arrays}) as given (id, {names}) \
                join {name} as hook on hook.{id} = given.id::{id_type} \
                where {same} \
                for update of hook skip locked\
             ) \
             update {name} as hook set {sets} from free where hook.{id} = free.id returning hook.{id}::text"
        )
    }
}

impl Store {
    /// Seals what is secret in the row of this hook soon. If that is not possible, the row stays as it is, and the log
    /// says so.
    pub fn seal_soon(self: &Arc<Self>, hook: &HookId) -> Option<impl Future<Output = ()> + use<>> {
        let mut plain = lock(&self.plain);
        let is_first = plain.is_empty();
        plain.insert(hook.clone());
        let store = Arc::clone(self);
        is_first.then_some(async move { store.seal_plain().await })
    }

    /// Seals the rows that were named, until there are no more.
    async fn seal_plain(&self) {
        let mut look = 1;
        while look <= LOOKS {
            let before = lock(&self.plain).len();
            let ids: Vec<String> = lock(&self.plain)
                .iter()
                .map(|hook| hook.as_str().to_owned())
                .collect();
            for ids in ids.chunks(BATCH) {
                if let Err(error) = self.seal_some(ids).await {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "secrets are not sealed yet; tried again"
                    );
                    break;
                }
            }
            match lock(&self.plain).len() {
                0 => return,
                // Others came meanwhile, or some are done.
                left if left != before => look = 1,
                _ => look += 1,
            }
            tokio::time::sleep(PAUSES.pause(look)).await;
        }
        let left = std::mem::take(&mut *lock(&self.plain));
        tracing::warn!(
            hooks = left.len(),
            "the secrets of hooks are not sealed: their rows are gone or locked; once they are free, run: rowhook secrets seal"
        );
    }

    async fn seal_some(&self, ids: &[String]) -> Result<()> {
        let Some(keyring) = self.secrets.keyring() else {
            return Ok(());
        };
        let keyring = keyring.map_err(anyhow::Error::msg)?;
        let columns = match &*lock(&self.hook_table) {
            Some(theirs) => theirs.columns.clone(),
            None => HookColumns::own(&self.schema),
        };
        let client = self.session(&self.sealing).await?;
        let outcome = match SealedTable::read(&client, &columns).await? {
            Some(table) => {
                let keys = (&self.secrets, &*keyring);
                table.seal(&client, ids, What::Plain, keys).await?
            }
            None => Outcome::default(),
        };
        for (hook, reason) in &outcome.refused {
            tracing::warn!(hook, reason, "the secrets of a hook are not sealed");
        }
        let later: HashSet<&str> = outcome.later.iter().map(String::as_str).collect();
        let done = ids.iter().filter(|id| !later.contains(id.as_str()));
        let mut plain = lock(&self.plain);
        for id in done {
            plain.remove(&HookId::new(id.as_str(), false));
        }
        Ok(())
    }
}
