//! The jobs in the SQLite file. Each function runs inside a transaction of the caller's.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension, params};

use super::file::{
    envelope_from_json, envelope_to_json, milliseconds, milliseconds_since_1970, now, system_time,
};
use crate::receive::{
    envelope::Received,
    queue::{
        job::{Enqueued, Job},
        limits::Limits,
        outcome::Outcome,
    },
    task::Task,
};

/// A job that was claimed, and is about to run.
#[derive(Debug)]
pub(super) struct Claimed {
    /// The number of the request.
    pub(super) number: i64,
    pub(super) task: Arc<Task>,
    pub(super) received: Received,
    /// How many attempts have failed.
    pub(super) attempts: u32,
}

/// Stores a request with its jobs. `limit` bounds the bodies in the queue, in bytes.
pub(super) fn enqueue(
    connection: &Connection,
    limit: u64,
    received: &Received,
    jobs: &[Job],
) -> rusqlite::Result<Enqueued> {
    let known = connection
        .prepare_cached("select 1 from seen where id = ?1")?
        .query_row([&received.id], |_| Ok(()))
        .optional()?;
    if known.is_some() {
        return Ok(match revive(connection, &received.id, jobs)? {
            0 => Enqueued::Duplicate,
            revived => Enqueued::Revived(revived),
        });
    }
    let body = u64::try_from(received.body.len()).unwrap_or(u64::MAX);
    let size: i64 = connection
        .prepare_cached("select bytes from size")?
        .query_row([], |row| row.get(0))?;
    if body > limit {
        return Ok(Enqueued::TooLarge);
    }
    if u64::try_from(size).unwrap_or_default() + body > limit {
        return Ok(Enqueued::Full);
    }
    let at = milliseconds_since_1970(received.received_at);
    connection
        .prepare_cached("insert into seen (id, at) values (?1, ?2)")?
        .execute(params![received.id, at])?;
    connection
        .prepare_cached("insert into received (id, envelope, content_type, received_at, body) values (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            received.id,
            envelope_to_json(&received.envelope)?,
            received.content_type,
            at,
            &received.body[..]
        ])?;
    let number = connection.last_insert_rowid();
    let mut add = connection.prepare_cached(include_str!("../../../../sql/receive/add_job.sql"))?;
    for job in jobs {
        add.execute(params![number, job.task, job.lane, now()])?;
    }
    Ok(Enqueued::New)
}

/// Returns the dead jobs of a request to the queue, as far as they are among `jobs`: somebody has the sender send it
/// again because they want it done.
fn revive(connection: &Connection, id: &str, jobs: &[Job]) -> rusqlite::Result<usize> {
    let number = connection
        .prepare_cached(include_str!("../../../../sql/receive/dead_of_id.sql"))?
        .query_row([id], |row| row.get::<_, i64>(0))
        .optional()?;
    let Some(number) = number else { return Ok(0) };
    let mut revive =
        connection.prepare_cached(include_str!("../../../../sql/receive/revive.sql"))?;
    let mut revived = 0;
    for job in jobs {
        revived += revive.execute(params![number, job.task, now()])?;
    }
    Ok(revived)
}

/// Claims jobs of `task` that are due, at most `limit` of them. A claim ends with [`record`], or with the connection.
pub(super) fn claim(
    connection: &Connection,
    task: &Arc<Task>,
    limit: i64,
) -> rusqlite::Result<Vec<Claimed>> {
    let mut query = connection.prepare_cached(include_str!("../../../../sql/receive/claim.sql"))?;
    let mut mark = connection.prepare_cached("insert into running values (?1, ?2)")?;
    let rows = query.query_map(params![task.name, now(), limit], |row| {
        Ok(Claimed {
            number: row.get(0)?,
            task: Arc::clone(task),
            attempts: row.get(6)?,
            received: Received {
                id: row.get(1)?,
                envelope: envelope_from_json(&row.get::<_, String>(2)?)?,
                content_type: row.get(3)?,
                received_at: system_time(row.get(4)?),
                body: row.get::<_, Vec<u8>>(5)?.into(),
            },
        })
    })?;
    let claimed: Vec<Claimed> = rows.collect::<rusqlite::Result<_>>()?;
    for job in &claimed {
        mark.execute(params![job.number, task.name])?;
    }
    Ok(claimed)
}

/// How long it takes until the next job of `task` is due; zero where one is due already. `None`: no job waits for a
/// time.
pub(super) fn next_due_in(
    connection: &Connection,
    task: &str,
) -> rusqlite::Result<Option<Duration>> {
    let sql = include_str!("../../../../sql/receive/next_due.sql");
    let mut query = connection.prepare_cached(sql)?;
    let due: Option<i64> = query.query_row([task], |row| row.get(0))?;
    let wait = due.map(|due| u64::try_from(due - now()).unwrap_or_default());
    Ok(wait.map(Duration::from_millis))
}

/// The names of the tasks that jobs wait for, each with the number of its jobs.
pub(super) fn waiting_by_task(connection: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    let mut query = connection.prepare(include_str!("../../../../sql/receive/orphans.sql"))?;
    query
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Deletes dead jobs and remembered ids that are past their time, and returns how many dead jobs there were.
pub(super) fn delete_expired(connection: &Connection, limits: Limits) -> rusqlite::Result<usize> {
    let dead = "delete from job where state = 'dead' and due < ?1";
    let dead = connection.execute(dead, [now() - milliseconds(limits.keep_dead)])?;
    let left = "delete from received where number not in (select job.received from job)";
    connection.execute(left, [])?;
    let sql = include_str!("../../../../sql/receive/forget.sql");
    connection.execute(sql, [now() - milliseconds(limits.remember)])?;
    Ok(dead)
}

/// Records how an attempt of a claimed job ended, and gives up the claim.
pub(super) fn record(
    connection: &Connection,
    job: &Claimed,
    outcome: &Outcome,
) -> rusqlite::Result<()> {
    let (number, task) = (job.number, &job.task.name);
    let lane: Option<String> = connection
        .prepare_cached("select lane from job where received = ?1 and task = ?2")?
        .query_row(params![number, task], |row| row.get(0))
        .optional()?
        .flatten();
    match outcome {
        Outcome::Succeeded => {
            connection
                .prepare_cached("delete from job where received = ?1 and task = ?2")?
                .execute(params![number, task])?;
            connection
                .prepare_cached("delete from received where number = ?1 and not exists (select job.task from job where job.received = ?1)")?
                .execute([number])?;
        }
        Outcome::Retry { after, reason } => {
            let due = now() + milliseconds(*after);
            connection
                .prepare_cached("update job set attempts = ?3, due = ?4, error = ?5 where received = ?1 and task = ?2")?
                .execute(params![number, task, job.attempts + 1, due, reason])?;
        }
        Outcome::Dead { reason } => {
            connection
                .prepare_cached("update job set state = 'dead', attempts = ?3, due = ?4, error = ?5 where received = ?1 and task = ?2")?
                .execute(params![number, task, job.attempts + 1, now(), reason])?;
        }
    }
    if let (Some(lane), Outcome::Succeeded | Outcome::Dead { .. }) = (lane, outcome) {
        connection
            .prepare_cached(include_str!("../../../../sql/receive/release_lane.sql"))?
            .execute(params![task, lane, now()])?;
    }
    connection
        .prepare_cached("delete from running where received = ?1 and task = ?2")?
        .execute(params![number, task])?;
    Ok(())
}
