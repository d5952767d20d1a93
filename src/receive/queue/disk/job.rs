//! What a queue on a disk keeps of a request, and of the end of a job. Each is a part of a transaction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::file::{milliseconds, milliseconds_since_1970, now, written};
use crate::receive::{
    envelope::Received,
    queue::{Accepted, Job, worker::Outcome},
    task::Task,
};

/// A job that was claimed.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) number: i64,
    pub(super) task: Arc<Task>,
    pub(super) received: Received,
    /// Those that have failed.
    pub(super) attempts: u32,
}

/// Keeps what was received, with its jobs.
pub(super) fn accept(
    connection: &Connection,
    limit: u64,
    received: &Received,
    jobs: &[Job],
) -> rusqlite::Result<Accepted> {
    let known = connection
        .prepare_cached("select 1 from seen where id = ?1")?
        .query_row([&received.id], |_| Ok(()))
        .optional()?;
    if known.is_some() {
        return Ok(Accepted::Repeated);
    }
    let body = u64::try_from(received.body.len()).unwrap_or(u64::MAX);
    let size: i64 = connection
        .prepare_cached("select bytes from size")?
        .query_row([], |row| row.get(0))?;
    if body > limit {
        return Ok(Accepted::TooLarge);
    }
    if u64::try_from(size).unwrap_or_default() + body > limit {
        return Ok(Accepted::Full);
    }
    let at = milliseconds_since_1970(received.received_at);
    connection
        .prepare_cached("insert into seen (id, at) values (?1, ?2)")?
        .execute(params![received.id, at])?;
    connection
        .prepare_cached("insert into received (id, envelope, content_type, received_at, body) values (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            received.id,
            written(&received.envelope)?,
            received.content_type,
            at,
            &received.body[..]
        ])?;
    let number = connection.last_insert_rowid();
    let mut add = connection.prepare_cached(include_str!("../../../../sql/receive/add_job.sql"))?;
    for job in jobs {
        add.execute(params![number, job.task, job.lane, now()])?;
    }
    Ok(Accepted::New)
}

/// Keeps how an attempt of a job has ended.
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
        Outcome::Done => {
            connection
                .prepare_cached("delete from job where received = ?1 and task = ?2")?
                .execute(params![number, task])?;
            connection
                .prepare_cached("delete from received where number = ?1 and not exists (select job.task from job where job.received = ?1)")?
                .execute([number])?;
        }
        Outcome::Again { after, reason } => {
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
    if let (Some(lane), Outcome::Done | Outcome::Dead { .. }) = (lane, outcome) {
        connection
            .prepare_cached(include_str!("../../../../sql/receive/release_lane.sql"))?
            .execute(params![task, lane, now()])?;
    }
    connection
        .prepare_cached("delete from running where received = ?1 and task = ?2")?
        .execute(params![number, task])?;
    Ok(())
}
