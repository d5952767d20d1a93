//! Forgetting an owner or a row.
//!
//! Of an owner, whatever rowhook's tables have of them is deleted. Of a row, and of the rows of an owner that are
//! parked for others, the key stays in what is parked (`left_out`), so that nothing vanishes in silence.
//!
//! A running rowhook may have some of it in memory. It parks deliveries of a hook that is gone, and what is written
//! about what was forgotten is left out by the statements that write it (`park.sql`, `record_attempts.sql`).

mod left_out;
mod row;

use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{Admin, Error, Result, audit::record, begin};
use crate::{act::what, delivery::about, postgres::quote, store::acts::mark};

/// How many rows are deleted at a time.
const PART: i64 = 2000;
/// How long is waited for transactions of rowhook that began before, and the pause between two looks.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// What to forget: an owner or a row, one of the two.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Forget {
    /// The owner.
    #[serde(default)]
    pub owner: Option<String>,
    /// The row.
    #[serde(default)]
    pub row: Option<RowKey>,
}

/// A row, by its table and its key.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RowKey {
    /// `[schema.]table`
    pub table: String,
    /// The value of the key, or an object of its columns where there are several.
    pub key: serde_json::Value,
}

impl RowKey {
    /// The key as a person writes it: JSON where it is an object, and otherwise a value as it is.
    pub fn parse(table: &str, key: &str) -> Self {
        let object = serde_json::from_str(key).ok();
        let object = object.filter(serde_json::Value::is_object);
        Self {
            table: table.to_owned(),
            key: object.unwrap_or_else(|| key.into()),
        }
    }
}

/// What was deleted of an owner or a row, and what is not rowhook's to delete.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Forgotten {
    /// Their hooks in rowhook's own table.
    pub hooks: u64,
    /// Deliveries to them, parked and dead, with their bodies.
    pub deliveries: u64,
    /// Deliveries to others, parked and dead, or deliveries of the row, of which the key of the row is left.
    pub left_out: u64,
    /// Attempts in the history.
    pub attempts: u64,
    /// Tokens for the API and the page, and links to the portal with the sessions that they opened.
    pub tokens: u64,
    /// Backfills of their hooks.
    pub backfills: u64,
    /// Answers that were kept for requests with an Idempotency-Key.
    pub answers: u64,
    /// Notes of their hooks: that they fail, cannot be used, or are switched off.
    pub notes: u64,
    /// Acts on record that they cannot be known by any more: a hash stands for them, and what was changed is left out.
    pub acts: u64,
    /// What is not rowhook's to delete, and where to do that.
    pub left: Vec<String>,
}

/// What is forgotten, as deliveries know it.
struct Subject<'a> {
    /// What deliveries are about that are concerned.
    marks: &'a [i64],
    /// The lanes of those that an older rowhook has parked; none where they cannot be known.
    lanes: &'a [i64],
    /// The key of the row as JSON, for those of which no key was noted.
    key: &'a str,
}

impl Admin {
    /// What deliveries are about that hold a row; several, where several keys may identify it.
    ///
    /// # Errors
    /// When the key is none of the table's, or a value of it is none of its column.
    pub(super) async fn marks_of_row(&self, named: &RowKey) -> Result<Vec<i64>> {
        Ok(self.row(named).await?.marks)
    }

    /// Forgets an owner or a row. Callers let only the operator do this.
    ///
    /// # Errors
    /// When there is neither or both, and as [`Self::forget_owner`] and [`Self::forget_row`].
    pub async fn forget(&mut self, forget: &Forget) -> Result<Forgotten> {
        match forget {
            Forget {
                owner: Some(owner),
                row: None,
            } => self.forget_owner(owner).await,
            Forget {
                owner: None,
                row: Some(row),
            } => self.forget_row(row).await,
            Forget { .. } => Err(Error::Invalid(
                "say one of the two: owner, or row with table and key".into(),
            )),
        }
    }

    /// Leaves a row out of what is parked and dead, of which its key stays, and deletes its history. It can be
    /// repeated.
    ///
    /// # Errors
    /// When the table has no such key, or the tables cannot be written to. What is left out by then stays so.
    pub async fn forget_row(&mut self, named: &RowKey) -> Result<Forgotten> {
        let row = self.row(named).await?;
        let act = self.act(what::ROW_FORGOTTEN);
        let act = act.with("table", named.table.as_str());
        let transaction = begin(&mut self.client).await?;
        record(&transaction, self.charset, act).await?;
        transaction.commit().await.context("put it on record")?;
        let subject = Subject {
            marks: &row.marks,
            lanes: &row.marks,
            key: &row.key,
        };
        let mut done = Forgotten::default();
        let at = self.note_forgotten(subject.marks).await?;
        self.leave_out(&subject, &mut done).await?;
        // As below.
        self.until_written(at).await?;
        self.leave_out(&subject, &mut done).await?;
        self.tell_forgotten().await?;
        self.until_left_out(at).await?;
        Ok(done)
    }

    /// Deletes what rowhook's own tables have of an owner: hooks, deliveries, history, tokens and the rest. Of their
    /// rows that are parked for others, the key stays. Callers let only the operator do this. It can be repeated.
    ///
    /// # Errors
    /// When the owner is empty, or the tables cannot be written to. What is deleted by then stays deleted.
    pub async fn forget_owner(&mut self, owner: &str) -> Result<Forgotten> {
        if owner.is_empty() {
            return Err(Error::Invalid("owner is empty; say whom to forget".into()));
        }
        let mut done = Forgotten {
            left: self.left_of(owner).await?,
            ..Forgotten::default()
        };
        let hooks = self.forget_hooks(owner).await?;
        done.hooks = u64::try_from(hooks.len()).unwrap_or(u64::MAX);
        let sql = "with old as (delete from forgotten where at < clock_timestamp() - interval '30 days') \
                   insert into forgotten (owner, at) values (hashtextextended($1::text, 0), clock_timestamp()) \
                   on conflict (owner) do update set at = excluded.at";
        let noted = self.client.execute(sql, &[&owner]).await;
        noted.context("note who is forgotten")?;
        let marks = [about::of_owner(owner)];
        let subject = Subject {
            marks: &marks,
            lanes: &[],
            key: "null",
        };
        let at = self.note_forgotten(&marks).await?;
        self.delete_all(owner, &hooks, &mut done).await?;
        self.leave_out(&subject, &mut done).await?;
        // What was being written when that was noted may have come since. Afterwards nothing comes any more.
        self.until_written(at).await?;
        self.delete_all(owner, &hooks, &mut done).await?;
        self.leave_out(&subject, &mut done).await?;
        done.acts = self.rewrite_acts(owner).await?;
        self.tell_forgotten().await?;
        self.until_left_out(at).await?;
        Ok(done)
    }

    /// Puts it on record that the owner is forgotten, deletes their hooks from rowhook's own table, and returns the ids
    /// of these.
    async fn forget_hooks(&mut self, owner: &str) -> Result<Vec<String>> {
        let act = self.act(what::OWNER_FORGOTTEN);
        let transaction = begin(&mut self.client).await?;
        let mut ids: Vec<String> = Vec::new();
        if self.table.columns.is_own {
            let sql = "delete from hook where owner = $1 returning id::text";
            let rows = transaction.query(sql, &[&owner]).await;
            let rows = rows.map_err(|error| Error::from_postgres("delete the hooks", error))?;
            let read: std::result::Result<_, _> = rows.iter().map(|row| row.try_get(0)).collect();
            ids = read.context("read which hooks were deleted")?;
        }
        let named = transaction
            .query_one("select forgotten_name($1)", &[&owner])
            .await;
        let named = named.and_then(|row| row.try_get::<_, Option<String>>(0));
        let mut act = act.with("hooks", ids.len());
        act.owner = named.context("make a hash of the owner")?;
        record(&transaction, self.charset, act).await?;
        let marked = mark(&transaction).await;
        marked.context("say that this is on record")?;
        transaction.commit().await.context("delete the hooks")?;
        Ok(ids)
    }

    /// Takes the owner out of what is on record. Acts stay: who is known by a hash, and what they changed is left out.
    async fn rewrite_acts(&self, owner: &str) -> Result<u64> {
        let sql = include_str!("../../../sql/manage/forget_acts.sql");
        let mut rewritten = 0;
        loop {
            let some = self.client.execute(sql, &[&owner, &PART]).await;
            let some = some.context("take the owner out of what is on record")?;
            rewritten += some;
            if some < PART.unsigned_abs() {
                return Ok(rewritten);
            }
        }
    }

    async fn delete_all(&self, owner: &str, hooks: &[String], done: &mut Forgotten) -> Result<()> {
        type Count = fn(&mut Forgotten) -> &mut u64;
        let tables: [(Count, &str, &str); 9] = [
            (
                |done| &mut done.deliveries,
                "delivery",
                "owner = $1 or hook = any($2::text[])",
            ),
            (
                |done| &mut done.attempts,
                "attempt",
                "owner = $1 or hook = any($2::text[])",
            ),
            (
                |done| &mut done.tokens,
                "token",
                "owner = $1 and $2::text[] is not null",
            ),
            (
                |done| &mut done.tokens,
                "portal_link",
                "owner = $1 and $2::text[] is not null",
            ),
            (
                |done| &mut done.backfills,
                "backfill",
                "hook = any($2::text[]) and $1::text is not null",
            ),
            (
                |done| &mut done.answers,
                "idempotency",
                "(caller = 'owner ' || $1::text \
                     or position(convert_to('\"owner\":' || to_json($1::text)::text, 'UTF8') in body) > 0) \
                 and $2::text[] is not null",
            ),
            (
                |done| &mut done.notes,
                "failing",
                "hook = any($2::text[]) and $1::text is not null",
            ),
            (
                |done| &mut done.notes,
                "invalid_hook",
                "hook = any($2::text[]) and $1::text is not null",
            ),
            (
                |done| &mut done.notes,
                "off_hook",
                "hook = any($2::text[]) and $1::text is not null",
            ),
        ];
        for (count, table, theirs) in tables {
            let sql = format!(
                "delete from {table} where ctid = any(array(select ctid from {table} where {theirs} limit {PART}))"
            );
            loop {
                let deleted = self.client.execute(&sql, &[&owner, &hooks]).await;
                let deleted = deleted.with_context(|| format!("delete from {table}"))?;
                *count(done) += deleted;
                if deleted < PART.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits until no transaction of rowhook is running that began before this time.
    async fn until_written(&self, at: SystemTime) -> Result<()> {
        let sql = "select count(*) from pg_stat_activity \
                   where application_name like 'rowhook%' and datname = current_database() \
                       and pid <> pg_backend_pid() and backend_type = 'client backend' \
                       and state <> 'idle' and xact_start <= $1";
        let until = Instant::now() + PATIENCE;
        loop {
            let running = self.client.query_one(sql, &[&at]).await;
            let running = running.and_then(|row| row.try_get::<_, i64>(0));
            match running.context("look what is being written")? {
                0 => return Ok(()),
                running if Instant::now() >= until => {
                    return Err(Error::Conflict(format!(
                        "{running} transactions of rowhook have lasted for more than {PATIENCE:?}; \
                         what they write may come back, so repeat this when they have ended"
                    )));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Waits until no rowhook that reads has in its memory what was forgotten at this time. Of one that reads from a
    /// standby the slot is not seen here, and it is not waited for.
    async fn until_left_out(&self, at: SystemTime) -> Result<()> {
        let sql = "select min(holder.slot) from holder \
                   join pg_replication_slots as slots on slots.slot_name = holder.slot \
                   where slots.active and slots.database = current_database() \
                       and coalesce(holder.forgotten_seen, '-infinity') < $1";
        let until = Instant::now() + PATIENCE;
        loop {
            let behind = self.client.query_one(sql, &[&at]).await;
            let behind = behind.and_then(|row| row.try_get::<_, Option<String>>(0));
            match behind.context("look what running rowhooks have left out")? {
                None => return Ok(()),
                Some(slot) if Instant::now() >= until => {
                    return Err(Error::Conflict(format!(
                        "it is gone from the tables, but the rowhook on the slot {slot} has not left it out of its memory \
                         within {PATIENCE:?}; restart that one, or repeat this"
                    )));
                }
                Some(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// What is not rowhook's to delete.
    async fn left_of(&self, owner: &str) -> Result<Vec<String>> {
        let of_file = self.config.hooks.iter();
        let of_file = of_file.filter(|hook| hook.owner.as_deref() == Some(owner));
        let path = self.config.path.display();
        let mut left: Vec<String> = of_file
            .map(|hook| format!("the hook {} stands in {path}; remove it there", hook.name))
            .collect();
        if !self.table.columns.is_own {
            let sql = format!(
                "select count(*) from {} where {}::text = $1",
                self.table.name,
                quote::name(&self.table.columns.owner)
            );
            let row = self.client.query_one(&sql, &[&owner]).await;
            let count = row.and_then(|row| row.try_get::<_, i64>(0));
            let count = count.context("count the hooks of the application's table")?;
            if count > 0 {
                let table = &self.table.columns.table;
                left.push(format!(
                    "{count} hooks are in {table}, the application's; delete them there first"
                ));
            }
        }
        Ok(left)
    }
}
