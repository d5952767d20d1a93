//! Backfills: the rows that a table has, sent to a hook.
//!
//! Each chunk is one transaction that locks its rows against changes, writes a message for each into the stream, and notes how
//! far it is. So a row is never sent older after newer, and a crash repeats nothing. Rows that somebody is changing just then
//! are passed over and looked at again, one at a time: whoever waits holds nothing that others wait for.

use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::{Error, Office, Result, Who, begin};
use crate::{
    config::{Action, EventSource, Pattern},
    postgres::{TableName, quote, time::timestamp, types},
    setup::catalog::Slot,
};

/// So many rows are locked at a time.
const CHUNK: i64 = 200;
/// So long a row that somebody is changing is waited for.
const ROW_PATIENCE: &str = "2s";
/// No more is written while so much WAL is not confirmed.
const MOST_LAG: i64 = 64 << 20;
const LAG_LOOK: Duration = Duration::from_millis(250);
/// Rows a second, where nobody says otherwise.
const RATE: u32 = 1000;

/// A backfill that is to be made.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackfill {
    /// What the rows are sent as: an event of a table's rows, made of created or updated.
    pub event: String,
    /// The hook that gets them. It has to hear the event, and its owner and filter count.
    pub hook: String,
    /// SQL over the table's columns; only rows for which it is true.
    #[serde(rename = "where")]
    pub condition: Option<String>,
    /// Only rows that were committed since then; needs track_commit_timestamp.
    pub since: Option<String>,
    /// Rows a second, at most; 1000 without it.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub rate: Option<u32>,
}

/// A backfill, and how far it is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Backfill {
    /// Its number.
    pub id: i64,
    /// What the rows are sent as.
    pub event: String,
    /// The hook that gets them.
    pub hook: String,
    /// Only rows for which this SQL is true.
    #[serde(rename = "where")]
    pub condition: Option<String>,
    /// Only rows that were committed since then.
    pub since: Option<String>,
    /// Rows a second, at most.
    pub rate: i32,
    /// `running`, `done`, `cancelled` or `failed`.
    pub state: String,
    /// Rows that have been put into the stream.
    pub sent: i64,
    /// About so many the table had when it began.
    pub estimate: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub created_at: String,
    /// When it came further last.
    pub updated_at: String,
}

impl Backfill {
    /// Is there more to do?
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

/// What a backfill knows of its table.
struct Source {
    table: TableName,
    key: Vec<String>,
    columns: Vec<String>,
    estimate: i64,
    knows_commit_times: bool,
}

impl Office {
    /// Begins a backfill. The operator alone may, since its SQL is run as it is.
    ///
    /// # Errors
    /// When the hook does not hear the event, or the table cannot be gone through.
    pub async fn begin_backfill(&mut self, new: NewBackfill) -> Result<Backfill> {
        let invalid = |text: String| Err(Error::Invalid(text));
        let hook = self.live_hook(&Who::Operator, &new.hook).await?;
        if !hook
            .events
            .iter()
            .any(|pattern: &Pattern| pattern.matches(&new.event))
        {
            return invalid(format!("hook {} does not hear {}", new.hook, new.event));
        }
        let source = self.source(&new.event).await?;
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
            self.try_condition(&source.table, condition).await?;
        }
        let rate = i32::try_from(new.rate.unwrap_or(RATE).max(1)).unwrap_or(i32::MAX);
        let sql = "insert into backfill (event, hook, condition, since, rate, estimate) \
                   values ($1, $2, $3, $4, $5, $6) returning *";
        let row = self
            .client
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
            .map_err(|error| Error::of_postgres("begin the backfill", error))?;
        Ok(Backfill::read(&row)?)
    }

    /// All backfills, the newest first.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn backfills(&self) -> Result<Vec<Backfill>> {
        let sql = "select * from backfill order by id desc limit 100";
        let rows = self.client.query(sql, &[]).await;
        let rows = rows.context("read the backfills")?;
        let all: anyhow::Result<_> = rows.iter().map(Backfill::read).collect();
        Ok(all?)
    }

    /// One backfill.
    ///
    /// # Errors
    /// When there is none of this number.
    pub async fn backfill(&self, id: i64) -> Result<Backfill> {
        let sql = "select * from backfill where id = $1";
        self.one_backfill(sql, id).await
    }

    /// Ends a backfill where it is. What it has put into the stream is sent.
    ///
    /// # Errors
    /// When there is none of this number.
    pub async fn cancel_backfill(&self, id: i64) -> Result<Backfill> {
        let sql = "update backfill set state = case when state = 'done' then state else 'cancelled' end \
                   where id = $1 returning *";
        self.one_backfill(sql, id).await
    }

    /// Lets a backfill that was cancelled or has failed go on where it was.
    ///
    /// # Errors
    /// When there is none of this number.
    pub async fn resume_backfill(&self, id: i64) -> Result<Backfill> {
        let sql = "update backfill set state = case when state = 'done' then state else 'running' end, error = null \
                   where id = $1 returning *";
        self.one_backfill(sql, id).await
    }

    async fn one_backfill(&self, sql: &str, id: i64) -> Result<Backfill> {
        let row = self.client.query_opt(sql, &[&id]).await;
        let row = row.map_err(|error| Error::of_postgres("read the backfill", error))?;
        let row = row.ok_or_else(|| Error::not_found("backfill", &id.to_string()))?;
        Ok(Backfill::read(&row)?)
    }

    /// Carries a backfill on until it is done, cancelled or has failed, no faster than its rate and no faster than what is sent
    /// is confirmed. `told` hears how far it is. May be dropped at any point, and carried on by anybody.
    ///
    /// # Errors
    /// When it has failed; that is noted with it.
    pub async fn carry_backfill(
        &mut self,
        id: i64,
        told: &mut (dyn FnMut(&Backfill) + Send),
    ) -> Result<Backfill> {
        types::pin_settings(&self.client)
            .await
            .context("prepare the session")?;
        let mut next = Instant::now();
        loop {
            let before = self.backfill(id).await?;
            told(&before);
            if !before.is_running() {
                return Ok(before);
            }
            self.until_confirmed().await?;
            tokio::time::sleep_until(next).await;
            let after = match self.step_backfill(&before).await {
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

    /// One chunk, or the rows that were passed over.
    async fn step_backfill(&mut self, backfill: &Backfill) -> Result<()> {
        let source = self.source(&backfill.event).await?;
        let failed = |error| Error::of_postgres("read the table", error);
        let sql = "select position::text as position, passed_over::text as passed_over, at_end from backfill where id = $1";
        let state = self.client.query_one(sql, &[&backfill.id]).await;
        let state = state.context("read the backfill")?;
        let text = |name| state.try_get::<_, Option<String>>(name);
        let position = text("position").context("read the backfill")?;
        let passed_over = text("passed_over").context("read the backfill")?;
        let passed_over: Vec<Value> = serde_json::from_str(passed_over.as_deref().unwrap_or("[]"))
            .context("read the backfill")?;
        let at_end: bool = state.try_get("at_end").context("read the backfill")?;
        let condition = condition(backfill)?;
        if at_end || passed_over.len() as i64 >= CHUNK {
            let Some((first, rest)) = passed_over.split_first() else {
                let sql = "update backfill set state = 'done', updated_at = clock_timestamp() where id = $1 and state = 'running'";
                let done = self.client.execute(sql, &[&backfill.id]).await;
                done.context("end the backfill")?;
                return Ok(());
            };
            return self
                .look_again(backfill, &source, &condition, first, rest)
                .await;
        }
        let sql = fill(
            include_str!("../../sql/manage/backfill_chunk.sql"),
            &source,
            &condition,
            position.is_some(),
        );
        let position = position.unwrap_or_else(|| "{}".to_owned());
        let transaction = begin(&mut self.client).await?;
        let row = transaction
            .query_one(
                &sql,
                &[
                    &position,
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
                row.try_get::<_, i64>("looked_at")?,
                row.try_get::<_, i64>("told")?,
                row.try_get::<_, Option<String>>("last")?,
                row.try_get::<_, String>("passed_over")?,
            ))
        };
        let (looked_at, rows, last, passed) = read().context("read the table")?;
        let sql = "update backfill set sent = sent + $2, position = coalesce($3::text::jsonb, position), \
                   passed_over = passed_over || $4::text::jsonb, at_end = $5, updated_at = clock_timestamp() \
                   where id = $1 and state = 'running'";
        let noted = transaction
            .execute(
                sql,
                &[&backfill.id, &rows, &last, &passed, &(looked_at < CHUNK)],
            )
            .await
            .map_err(failed)?;
        // Cancelled meanwhile: then nothing of the chunk is in the stream.
        if noted == 1 {
            transaction.commit().await.context("commit a chunk")?;
        }
        Ok(())
    }

    /// The first of the rows that were passed over.
    async fn look_again(
        &mut self,
        backfill: &Backfill,
        source: &Source,
        condition: &str,
        first: &Value,
        rest: &[Value],
    ) -> Result<()> {
        let sql = fill(
            include_str!("../../sql/manage/backfill_row.sql"),
            source,
            condition,
            true,
        );
        let failed = |error| Error::of_postgres("read a row", error);
        let transaction = begin(&mut self.client).await?;
        let limit = format!("set local lock_timeout = '{ROW_PATIENCE}'");
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
        let mut left = rest.to_vec();
        let told: i64 = match row {
            Ok(row) => row.try_get("told").context("read a row")?,
            // Still being changed: the others have their turn first.
            Err(error)
                if error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) =>
            {
                transaction.rollback().await.context("let a row be")?;
                left.push(first.clone());
                let sql = "update backfill set passed_over = $2::text::jsonb, updated_at = clock_timestamp() where id = $1";
                let left = Value::Array(left).to_string();
                let noted = self.client.execute(sql, &[&backfill.id, &left]).await;
                noted.map_err(failed)?;
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        };
        let sql = "update backfill set sent = sent + $2, passed_over = $3::text::jsonb, updated_at = clock_timestamp() \
                   where id = $1 and state = 'running'";
        let left = Value::Array(left).to_string();
        let noted = transaction
            .execute(sql, &[&backfill.id, &told, &left])
            .await
            .map_err(failed)?;
        if noted == 1 {
            transaction.commit().await.context("commit a row")?;
        }
        Ok(())
    }

    /// Waits until not too much is on its way.
    async fn until_confirmed(&self) -> Result<()> {
        let slot = &self.config.database.slot;
        loop {
            let found = Slot::read(&self.client, slot).await;
            let lag = found.context("look at the slot")?.and_then(|slot| slot.lag);
            if lag.is_none_or(|lag| lag < MOST_LAG) {
                return Ok(());
            }
            tokio::time::sleep(LAG_LOOK).await;
        }
    }

    /// The table whose rows an event is of, and how it can be gone through.
    async fn source(&self, event: &str) -> Result<Source> {
        let rule = self.config.events.iter().find(|rule| rule.name == event);
        let rule = rule.ok_or_else(|| Error::Invalid(format!("there is no event {event:?}")))?;
        let EventSource::Row { table, action, .. } = &rule.source else {
            return Err(Error::Invalid(format!("{event} is not of a table's rows")));
        };
        if !matches!(action, Action::Created | Action::Updated) {
            return Err(Error::Invalid(format!(
                "{event} is made of {action}; rows that are there can be sent as one of created or updated"
            )));
        }
        let sql = include_str!("../../sql/manage/backfill_table.sql");
        let found = self.client.query_opt(sql, &[&quote::table(table)]).await;
        let found = found.context("look at the table")?;
        let row = found.ok_or_else(|| Error::Invalid(format!("there is no table {table}")))?;
        let read = || -> std::result::Result<_, tokio_postgres::Error> {
            Ok((
                row.try_get::<_, Option<Vec<String>>>("key")?,
                row.try_get("columns")?,
                row.try_get("estimate")?,
                row.try_get("knows_commit_times")?,
            ))
        };
        let (key, columns, estimate, knows_commit_times) = read().context("look at the table")?;
        let key = key.ok_or_else(|| {
            Error::Invalid(format!("{table} has no primary key to go through it by"))
        })?;
        Ok(Source {
            table: table.clone(),
            key,
            columns,
            estimate,
            knows_commit_times,
        })
    }

    /// Has the server read a condition, and run nothing.
    async fn try_condition(&self, table: &TableName, condition: &str) -> Result<()> {
        let sql = format!(
            "select from {} as one where ({condition}\n)",
            quote::table(table)
        );
        self.client.prepare(&sql).await.map(drop).map_err(|error| {
            Error::Invalid(format!(
                "where cannot be used: {}",
                crate::postgres::error_message(&error)
            ))
        })
    }
}

/// The condition that rows have to meet.
fn condition(backfill: &Backfill) -> Result<String> {
    let mut conditions = Vec::new();
    if let Some(condition) = &backfill.condition {
        // On a line of its own: it may end in a comment.
        conditions.push(format!("({condition}\n)"));
    }
    if let Some(since) = &backfill.since {
        let since = humantime::parse_rfc3339_weak(since)
            .map_err(|error| Error::Failed(anyhow!("read the backfill: {error}")))?;
        conditions.push(format!(
            "pg_xact_commit_timestamp(one.xmin) >= {}::timestamptz",
            quote::text(&timestamp(since))
        ));
    }
    Ok(match conditions.is_empty() {
        true => "true".to_owned(),
        false => conditions.join(" and "),
    })
}

/// Puts names of columns into a query.
fn fill(sql: &str, source: &Source, condition: &str, begun: bool) -> String {
    let list = |each: &dyn Fn(&str) -> String| {
        let parts: Vec<String> = source.key.iter().map(|name| each(name)).collect();
        parts.join(", ")
    };
    let table = quote::table(&source.table);
    let given = |name: &str| {
        format!(
            "(select {} from jsonb_populate_record(null::{table}, $1::text::jsonb))",
            quote::name(name)
        )
    };
    let one = |name: &str| format!("one.{}", quote::name(name));
    let pairs = list(&|name| format!("{}::text, {}", quote::text(name), one(name)));
    let after = match begun {
        true => format!("row({}) > row({})", list(&one), list(&given)),
        false => "$1::text is not null".to_owned(),
    };
    let names = [
        ("{key_pairs_of_chunk}", pairs.clone()),
        ("{key_pairs}", pairs),
        ("{key_desc}", list(&|name| format!("{} desc", one(name)))),
        (
            "{one_key_is}",
            format!("row({}) = row({})", list(&one), list(&given)),
        ),
        ("{one_key}", list(&one)),
        ("{key}", list(&quote::name)),
        ("{after}", after),
        ("{table}", table.clone()),
    ];
    let filled = names.iter().fold(sql.to_owned(), |sql, (name, value)| {
        sql.replace(name, value)
    });
    // Last, because what a person writes is not ours to fill in.
    filled.replace("{condition}", condition)
}
