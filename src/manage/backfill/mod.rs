//! Backfills: sending the rows that a table already has to a hook.
//!
//! Each chunk is one transaction that locks its rows against changes, writes a message for each into the stream, and
//! notes how far the backfill is. So an older version of a row is never sent after a newer one, and a crash repeats
//! nothing. Rows that another transaction is changing are skipped and tried again one at a time, so that a backfill
//! that waits for a lock holds none that others wait for.

mod source;

use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::{GenericClient, Row, error::SqlState, types::ToSql};
use utoipa::ToSchema;

use self::source::{Source, condition};
use super::{Actor, Admin, Error, Page, PageRequest, Result, audit::record, begin, page::Found};
use crate::{
    act::what,
    config::{EventSource, Pattern},
    postgres::{TableName, time::timestamp},
    setup::catalog::Slot,
};

/// The rows that a chunk locks, at most.
const CHUNK: i64 = 200;
/// How long the lock of a skipped row is waited for, as Postgres writes it.
const ROW_LOCK_TIMEOUT: &str = "2s";
/// Bytes of WAL that may be unconfirmed when a chunk is begun.
const MAX_LAG: i64 = 64 << 20;
/// The time between two looks at the lag while it is above that.
const LAG_POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The default rate, in rows a second.
const DEFAULT_RATE: u32 = 1000;

/// A backfill that is to be started.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackfill {
    /// The event that the rows are sent as. Its source has to be a table, with the action created or updated.
    pub event: String,
    /// The hook that gets them. It has to be subscribed to the event, and its owner and filter apply.
    pub hook: String,
    /// A condition in SQL over the table's columns. Only rows for which it is true are sent.
    #[serde(rename = "where")]
    pub condition: Option<String>,
    /// Only rows committed since this time are sent. Needs track_commit_timestamp.
    pub since: Option<String>,
    /// The most rows to send a second; 1000 if left out.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub rate: Option<u32>,
}

/// A backfill, and how far it has come.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Backfill {
    /// Its number.
    pub id: i64,
    /// The event that the rows are sent as.
    pub event: String,
    /// The hook that gets them.
    pub hook: String,
    /// Only rows for which this SQL is true are sent.
    #[serde(rename = "where")]
    pub condition: Option<String>,
    /// Only rows committed since this time are sent.
    pub since: Option<String>,
    /// The most rows to send a second.
    pub rate: i32,
    /// `running`, `done`, `cancelled` or `failed`.
    pub state: String,
    /// How many rows have been written into the stream.
    pub sent: i64,
    /// About how many rows the table had when it began.
    pub estimate: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub created_at: String,
    /// When it last made progress.
    pub updated_at: String,
}

/// Which backfills to list. Fields that are `None` do not limit the list.
#[derive(Debug, Clone, Default)]
pub struct BackfillQuery {
    /// Those in this state.
    pub state: Option<BackfillState>,
    /// Those of this event.
    pub event: Option<String>,
    /// Those of the rows of this table.
    pub table: Option<TableName>,
    /// Those for this hook.
    pub hook: Option<String>,
    /// Those for the hooks that this owner has now.
    pub owner: Option<String>,
    /// Those begun at this time or later.
    pub since: Option<SystemTime>,
    /// Those begun before this time.
    pub until: Option<SystemTime>,
}

/// The state of a backfill, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackfillState {
    /// There is more to send.
    Running,
    /// All of it was sent.
    Done,
    /// Somebody has stopped it.
    Cancelled,
    /// It has stopped because of an error.
    Failed,
}

impl BackfillState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Cancelled, Self::Failed];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl Backfill {
    /// Whether there is more to send.
    pub fn is_running(&self) -> bool {
        self.state == "running"
    }

    fn read(row: &Row) -> anyhow::Result<Self> {
        let since: Option<SystemTime> = row.try_get("since")?;
        Ok(Self {
            id: row.try_get("id")?,
            event: row.try_get("event")?,
            hook: row.try_get("hook")?,
            condition: row.try_get("condition")?,
            since: since.map(timestamp),
            rate: row.try_get("rate")?,
            state: row.try_get("state")?,
            sent: row.try_get("sent")?,
            estimate: row.try_get("estimate")?,
            error: row.try_get("error")?,
            created_at: timestamp(row.try_get("created_at")?),
            updated_at: timestamp(row.try_get("updated_at")?),
        })
    }
}

/// The table of this name, `[schema.]table`.
///
/// # Errors
/// When it is no name of a table.
pub fn table_of(name: &str) -> Result<TableName> {
    TableName::parse(name).ok_or_else(|| {
        Error::Invalid(format!(
            "{name:?} is no table; write [schema.]table, with \"double quotes\" around odd names"
        ))
    })
}

/// How far a backfill has come.
struct Progress {
    /// The key of the last row that was looked at, as a JSON object.
    position: Option<String>,
    /// The keys of the rows that were being changed when their turn came.
    skipped: Vec<Value>,
    at_end: bool,
}

impl Admin {
    /// Starts a backfill: notes it, and sends nothing yet; see [`Self::run_backfill`]. Callers let only the operator do
    /// this, because the condition is run as it is.
    ///
    /// # Errors
    /// When the hook is not subscribed to the event, or the table has no primary key, or the condition cannot be used.
    pub async fn start_backfill(&mut self, new: NewBackfill) -> Result<Backfill> {
        let invalid = |text: String| Err(Error::Invalid(text));
        let hook = self.runtime_hook(&Actor::Operator, &new.hook).await?;
        if !hook
            .events
            .iter()
            .any(|pattern: &Pattern| pattern.matches(&new.event))
        {
            return invalid(format!("hook {} does not hear {}", new.hook, new.event));
        }
        let source = self.backfill_source(&new.event).await?;
        let since = match &new.since {
            None => None,
            Some(_) if !source.knows_commit_times => {
                return invalid(
                    "since needs the server to have track_commit_timestamp = on; say what you mean with where instead"
                        .to_owned(),
                );
            }
            Some(text) => Some(humantime::parse_rfc3339_weak(text).map_err(|_| {
                Error::Invalid(
                    "since is no time; write it in UTC, as in 2026-01-31T12:00:00Z".into(),
                )
            })?),
        };
        if let Some(condition) = &new.condition {
            self.check_condition(&source.table, condition).await?;
        }
        let rate = i32::try_from(new.rate.unwrap_or(DEFAULT_RATE).max(1)).unwrap_or(i32::MAX);
        let sql = "insert into backfill (event, hook, condition, since, rate, estimate) \
                   values ($1, $2, $3, $4, $5, $6) returning *";
        let mut act = self
            .act(what::BACKFILL_STARTED)
            .on_hook(&new.hook, hook.owner.as_deref());
        act.event = Some(new.event.clone());
        let transaction = begin(&mut self.client).await?;
        let row = transaction
            .query_one(
                sql,
                &[
                    &new.event,
                    &new.hook,
                    &new.condition,
                    &since,
                    &rate,
                    &source.estimate,
                ],
            )
            .await
            .map_err(|error| Error::from_postgres("begin the backfill", error))?;
        let begun = Backfill::read(&row)?;
        let act = act
            .with("backfill", begun.id)
            .with("where", begun.condition.clone())
            .with("since", begun.since.clone())
            .with("rate", begun.rate);
        record(&transaction, self.charset, act).await?;
        transaction.commit().await.context("begin the backfill")?;
        Ok(begun)
    }

    /// A page of these backfills, the newest first.
    ///
    /// # Errors
    /// When the cursor is invalid, or the tables cannot be read.
    pub async fn backfills(
        &self,
        query: &BackfillQuery,
        page: &PageRequest,
    ) -> Result<Page<Backfill>> {
        let before: Option<i64> = page.position()?;
        let limit = page.limit();
        let and_one_more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let events = query.table.as_ref().map(|table| self.events_of(table));
        let state = query.state.map(BackfillState::as_str);
        let sql = self.with_all_hooks(include_str!("../../../sql/manage/backfills.sql"));
        let parameters: [&(dyn ToSql + Sync); 10] = [
            &self.file_hooks(),
            &state,
            &query.event,
            &events,
            &query.hook,
            &query.owner,
            &query.since,
            &query.until,
            &before,
            &and_one_more,
        ];
        let action = "read the backfills";
        let found = Found::read(
            &self.client,
            action,
            &sql,
            &parameters,
            limit,
            Backfill::read,
        );
        Ok(Page::of(found.await?, |backfill| backfill.id))
    }

    /// The events of the rows of a table, as hooks.toml has them now.
    fn events_of(&self, table: &TableName) -> Vec<String> {
        let rules = self.config.events.iter();
        let of_table = rules.filter(|rule| match &rule.source {
            EventSource::Row { table: of, .. } => of == table,
            EventSource::Custom => false,
        });
        of_table.map(|rule| rule.name.clone()).collect()
    }

    /// One backfill.
    ///
    /// # Errors
    /// When there is none of this number.
    pub async fn backfill(&self, id: i64) -> Result<Backfill> {
        let sql = "select * from backfill where id = $1";
        one_backfill(&self.client, sql, id).await
    }

    /// Cancels a backfill. What it has written into the stream is still sent.
    ///
    /// # Errors
    /// When there is none of this number.
    pub async fn cancel_backfill(&mut self, id: i64) -> Result<Backfill> {
        let sql = "update backfill set state = case when state = 'done' then state else 'cancelled' end \
                   where id = $1 returning *";
        self.switch_backfill(sql, id, what::BACKFILL_STOPPED).await
    }

    /// Sets a backfill that was cancelled or has failed back to running, where it was; see [`Self::run_backfill`].
    ///
    /// # Errors
    /// When there is none of this number.
    pub async fn resume_backfill(&mut self, id: i64) -> Result<Backfill> {
        let sql = "update backfill set state = case when state = 'done' then state else 'running' end, error = null \
                   where id = $1 returning *";
        self.switch_backfill(sql, id, what::BACKFILL_RESUMED).await
    }

    /// Changes the state of a backfill, and puts that on record.
    async fn switch_backfill(
        &mut self,
        sql: &str,
        id: i64,
        what: &'static str,
    ) -> Result<Backfill> {
        let hook = self.backfill(id).await?.hook;
        let owner = match self.hook(&Actor::Operator, &hook).await {
            Ok(hook) => hook.owner,
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let act = self.act(what).on_hook(&hook, owner.as_deref());
        let transaction = begin(&mut self.client).await?;
        let switched = one_backfill(&transaction, sql, id).await?;
        let mut act = act
            .with("backfill", id)
            .with("state", switched.state.as_str())
            .with("sent", switched.sent);
        act.event = Some(switched.event.clone());
        record(&transaction, self.charset, act).await?;
        transaction.commit().await.context("switch the backfill")?;
        Ok(switched)
    }

    /// Runs a backfill until it is done or cancelled, at its rate and no faster than what is sent is confirmed.
    /// `on_progress` is called before each chunk. The future may be dropped at any point; whoever calls this again goes
    /// on where it was.
    ///
    /// # Errors
    /// When the backfill has failed. That is noted in its row, with the reason.
    pub async fn run_backfill(
        &mut self,
        id: i64,
        on_progress: &mut (dyn FnMut(&Backfill) + Send),
    ) -> Result<Backfill> {
        let mut next = Instant::now();
        loop {
            let before = self.backfill(id).await?;
            on_progress(&before);
            if !before.is_running() {
                return Ok(before);
            }
            self.wait_for_confirmation().await?;
            tokio::time::sleep_until(next).await;
            let after = match self.step(&before).await {
                Ok(()) => self.backfill(id).await?,
                Err(error) => {
                    let sql = "update backfill set state = 'failed', error = $2 where id = $1";
                    let noted = self.client.execute(sql, &[&id, &error.to_string()]).await;
                    noted.context("note that the backfill has failed")?;
                    return Err(error);
                }
            };
            let rows = u32::try_from(after.sent - before.sent).unwrap_or(0);
            let rate = f64::from(before.rate.max(1));
            next = Instant::now() + Duration::from_secs_f64(f64::from(rows) / rate);
        }
    }

    /// Sends one chunk, or one of the rows that were skipped, or finds that nothing is left.
    async fn step(&mut self, backfill: &Backfill) -> Result<()> {
        let source = self.backfill_source(&backfill.event).await?;
        let progress = self.backfill_progress(backfill.id).await?;
        let condition = condition(backfill.condition.as_deref(), backfill.since.as_deref())?;
        if !progress.at_end && (progress.skipped.len() as i64) < CHUNK {
            let position = progress.position.as_deref();
            return self
                .send_chunk(backfill, &source, &condition, position)
                .await;
        }
        match progress.skipped.split_first() {
            Some((first, rest)) => {
                self.send_skipped(backfill, &source, &condition, first, rest)
                    .await
            }
            None => {
                let sql = "update backfill set state = 'done', updated_at = clock_timestamp() where id = $1 and state = 'running'";
                let done = self.client.execute(sql, &[&backfill.id]).await;
                done.context("end the backfill")?;
                Ok(())
            }
        }
    }

    async fn backfill_progress(&self, id: i64) -> Result<Progress> {
        let sql = "select position::text as position, passed_over::text as passed_over, at_end from backfill where id = $1";
        let row = self.client.query_one(sql, &[&id]).await;
        let read = |row: Row| -> anyhow::Result<Progress> {
            let skipped: Option<String> = row.try_get("passed_over")?;
            Ok(Progress {
                position: row.try_get("position")?,
                skipped: serde_json::from_str(skipped.as_deref().unwrap_or("[]"))?,
                at_end: row.try_get("at_end")?,
            })
        };
        let row = row.context("read the backfill")?;
        Ok(read(row).context("read the backfill")?)
    }

    /// Sends the next rows after `position`; `None` is the beginning of the table.
    async fn send_chunk(
        &mut self,
        backfill: &Backfill,
        source: &Source,
        condition: &str,
        position: Option<&str>,
    ) -> Result<()> {
        let failed = |error| Error::from_postgres("read the table", error);
        let sql = include_str!("../../../sql/manage/backfill_chunk.sql");
        let sql = source.fill_in(sql, condition, position.is_some());
        let transaction = begin(&mut self.client).await?;
        let row = transaction
            .query_one(
                &sql,
                &[
                    &position.unwrap_or("{}"),
                    &CHUNK,
                    &source.table.schema,
                    &source.table.name,
                    &backfill.event,
                    &backfill.hook,
                    &source.columns,
                ],
            )
            .await
            .map_err(failed)?;
        let read = || -> std::result::Result<_, tokio_postgres::Error> {
            Ok((
                row.try_get::<_, i64>("selected")?,
                row.try_get::<_, i64>("emitted")?,
                row.try_get::<_, Option<String>>("last")?,
                row.try_get::<_, String>("skipped")?,
            ))
        };
        let (selected, emitted, last, skipped) = read().context("read the table")?;
        let sql = "update backfill set sent = sent + $2, position = coalesce($3::text::jsonb, position), \
                   passed_over = passed_over || $4::text::jsonb, at_end = $5, updated_at = clock_timestamp() \
                   where id = $1 and state = 'running'";
        let at_end = selected < CHUNK;
        let noted = transaction
            .execute(sql, &[&backfill.id, &emitted, &last, &skipped, &at_end])
            .await
            .map_err(failed)?;
        // If the backfill was cancelled meanwhile, the transaction is rolled back, and nothing of the chunk is in the
        // stream.
        if noted == 1 {
            transaction.commit().await.context("commit a chunk")?;
        }
        Ok(())
    }

    /// Sends the first of the rows that were skipped. One that is still being changed goes to the end of the list.
    async fn send_skipped(
        &mut self,
        backfill: &Backfill,
        source: &Source,
        condition: &str,
        first: &Value,
        rest: &[Value],
    ) -> Result<()> {
        let failed = |error| Error::from_postgres("read a row", error);
        let sql = include_str!("../../../sql/manage/backfill_row.sql");
        let sql = source.fill_in(sql, condition, true);
        let transaction = begin(&mut self.client).await?;
        let limit = format!("set local lock_timeout = '{ROW_LOCK_TIMEOUT}'");
        transaction.batch_execute(&limit).await.map_err(failed)?;
        let row = transaction
            .query_one(
                &sql,
                &[
                    &first.to_string(),
                    &source.table.schema,
                    &source.table.name,
                    &backfill.event,
                    &backfill.hook,
                    &source.columns,
                ],
            )
            .await;
        let emitted: i64 = match row {
            Ok(row) => row.try_get("emitted").context("read a row")?,
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                transaction.rollback().await.context("let a row be")?;
                let mut left = rest.to_vec();
                left.push(first.clone());
                let left = Value::Array(left).to_string();
                let sql = "update backfill set passed_over = $2::text::jsonb, updated_at = clock_timestamp() where id = $1";
                let noted = self.client.execute(sql, &[&backfill.id, &left]).await;
                noted.map_err(failed)?;
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        };
        let sql = "update backfill set sent = sent + $2, passed_over = $3::text::jsonb, updated_at = clock_timestamp() \
                   where id = $1 and state = 'running'";
        let left = Value::Array(rest.to_vec()).to_string();
        let noted = transaction
            .execute(sql, &[&backfill.id, &emitted, &left])
            .await
            .map_err(failed)?;
        if noted == 1 {
            transaction.commit().await.context("commit a row")?;
        }
        Ok(())
    }

    /// Waits while more than [`MAX_LAG`] is unconfirmed.
    async fn wait_for_confirmation(&self) -> Result<()> {
        let database = &self.config.database;
        let standby = database.connect_standby("rowhook backfill").await;
        let standby = standby.context("look at the slot")?;
        let source = standby.as_ref().unwrap_or(&self.client);
        loop {
            let found = Slot::read(source, &database.slot).await;
            let lag = found.context("look at the slot")?.and_then(|slot| slot.lag);
            if lag.is_none_or(|lag| lag < MAX_LAG) {
                return Ok(());
            }
            tokio::time::sleep(LAG_POLL_INTERVAL).await;
        }
    }
}

/// The backfill that a statement returns.
async fn one_backfill(client: &impl GenericClient, sql: &str, id: i64) -> Result<Backfill> {
    let row = client.query_opt(sql, &[&id]).await;
    let row = row.map_err(|error| Error::from_postgres("read the backfill", error))?;
    let row = row.ok_or_else(|| Error::not_found("backfill", &id.to_string()))?;
    Ok(Backfill::read(&row)?)
}
