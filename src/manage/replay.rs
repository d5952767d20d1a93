//! Sending again: what was given up, what waits, and what has arrived, each with the id that it had.
//!
//! A replay is a repetition. It comes after what is newer, and its receiver knows it by its id. What is sent again of one
//! lane goes in its order.

use std::time::SystemTime;

use anyhow::Context;
use serde::Serialize;
use tokio_postgres::Transaction;
use utoipa::ToSchema;

use super::{
    Error, Office, Result, Who, begin,
    deliveries::{Delivery, State},
};

/// So many are sent again in one transaction.
const CHUNK: i64 = 500;

/// Which deliveries are sent again.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// Those of this hook; `None`: of all.
    pub hook: Option<String>,
    /// Those of this event.
    pub event: Option<String>,
    /// Those that were given up, or arrived, since then.
    pub since: Option<SystemTime>,
    /// Those that were given up, or arrived, before then.
    pub until: Option<SystemTime>,
}

/// What was sent again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Replayed {
    /// Dead deliveries that are on their way again.
    pub revived: u64,
    /// Deliveries that had arrived and are on their way again.
    pub repeated: u64,
    /// Deliveries of which history does not know enough to send them again.
    pub unrecorded: u64,
}

impl Office {
    /// Has one delivery sent at once, unless it is being sent just now. Of a dead or a delivered one the schedule begins anew.
    ///
    /// # Errors
    /// When `who` has no such delivery, or it cannot be sent now; the message says why.
    pub async fn retry(&mut self, who: &Who, id: &str) -> Result<Delivery> {
        let delivery = self.delivery(who, id).await?.delivery;
        match delivery.state {
            State::Parked if delivery.in_flight => {}
            State::Parked if delivery.next_attempt.is_none() => {
                return Err(Error::Conflict(format!(
                    "{id} waits behind another delivery of its lane; retry that one"
                )));
            }
            State::Parked => {
                let sql = "update delivery set next_attempt = clock_timestamp() \
                           where id = $1 and state = 'parked' and next_attempt > clock_timestamp() and not claimed";
                let sent = self.client.execute(sql, &[&id]).await;
                sent.map_err(|error| Error::of_postgres("retry the delivery", error))?;
            }
            State::Dead => {
                let transaction = begin(&mut self.client).await?;
                let ids = [id];
                revive(&transaction, &Range::default(), Some(&ids[..])).await?;
                transaction.commit().await.context("retry the delivery")?;
            }
            State::Delivered => {
                let transaction = begin(&mut self.client).await?;
                let put = record(&transaction, &Range::default(), 0, Some(id)).await?;
                if put.ids.is_empty() {
                    return Err(Error::Conflict(format!(
                        "history does not know enough of {id} to send it again"
                    )));
                }
                revive(&transaction, &Range::default(), Some(&put.ids)).await?;
                transaction.commit().await.context("repeat the delivery")?;
            }
        }
        // It may have arrived and been forgotten in the meantime.
        match self.delivery(who, id).await {
            Ok(now) => Ok(now.delivery),
            Err(Error::NotFound { .. }) => Ok(delivery),
            Err(error) => Err(error),
        }
    }

    /// Has the dead deliveries of a range sent again. `done` hears how many there are by now.
    ///
    /// # Errors
    /// When `who` may not, or the tables cannot be written to; what was sent again before stays so.
    pub async fn retry_dead(
        &mut self,
        who: &Who,
        range: &Range,
        done: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Replayed> {
        self.allow(who, range).await?;
        let mut revived = 0;
        // What fails again meanwhile is not meant.
        let until = self.now().await?;
        let range = Range {
            until: Some(range.until.map_or(until, |asked| asked.min(until))),
            ..range.clone()
        };
        loop {
            let transaction = begin(&mut self.client).await?;
            let ids = revive(&transaction, &range, None::<&[&str]>).await?;
            transaction.commit().await.context("retry the dead")?;
            revived += ids.len() as u64;
            done(revived);
            if i64::try_from(ids.len()).is_ok_and(|count| count < CHUNK) {
                return Ok(Replayed {
                    revived,
                    ..Replayed::default()
                });
            }
        }
    }

    /// Has a range sent again: what arrived in it, as far as history remembers, and what was given up in it. `done` hears how
    /// many there are by now.
    ///
    /// # Errors
    /// As [`Self::retry_dead`].
    pub async fn replay(
        &mut self,
        who: &Who,
        range: &Range,
        done: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Replayed> {
        self.allow(who, range).await?;
        let until = self.now().await?;
        let range = Range {
            until: Some(range.until.map_or(until, |asked| asked.min(until))),
            ..range.clone()
        };
        // The dead first: those that are put on record would be among them.
        let mut replayed = self.retry_dead(who, &range, done).await?;
        let mut after = 0;
        loop {
            let transaction = begin(&mut self.client).await?;
            let put = record(&transaction, &range, after, None).await?;
            if !put.ids.is_empty() {
                revive(&transaction, &Range::default(), Some(&put.ids)).await?;
            }
            transaction.commit().await.context("replay the range")?;
            replayed.repeated += put.ids.len() as u64;
            replayed.unrecorded += put.unrecorded;
            done(replayed.revived + replayed.repeated);
            match put.last {
                Some(last) => after = last,
                None => return Ok(replayed),
            }
        }
    }

    /// An owner sends again what is theirs, one hook at a time.
    async fn allow(&self, who: &Who, range: &Range) -> Result<()> {
        match (who, &range.hook) {
            (_, Some(hook)) => self.hook(who, hook).await.map(drop),
            (Who::Operator, None) => Ok(()),
            (Who::Owner(_), None) => Err(Error::Forbidden(
                "only the operator may send again for all hooks; name one of yours".into(),
            )),
        }
    }

    /// The database's clock.
    pub(super) async fn now(&self) -> Result<SystemTime> {
        let row = self.client.query_one("select clock_timestamp()", &[]).await;
        let row = row.context("ask for the time")?;
        Ok(row.try_get(0).context("ask for the time")?)
    }
}

/// What was put on record.
struct Put {
    ids: Vec<String>,
    /// The last of history that was looked at; `None`: there is no more.
    last: Option<i64>,
    unrecorded: u64,
}

async fn record(
    transaction: &Transaction<'_>,
    range: &Range,
    after: i64,
    id: Option<&str>,
) -> Result<Put> {
    let row = transaction
        .query_one(
            include_str!("../../sql/manage/record.sql"),
            &[
                &range.hook,
                &range.since,
                &range.until,
                &range.event,
                &after,
                &CHUNK,
                &id,
            ],
        )
        .await
        .map_err(|error| Error::of_postgres("put deliveries on record", error))?;
    let read = || -> std::result::Result<Put, tokio_postgres::Error> {
        Ok(Put {
            ids: row.try_get("put")?,
            last: row.try_get("last")?,
            unrecorded: row.try_get::<_, i64>("unrecorded")?.unsigned_abs(),
        })
    };
    Ok(read().context("put deliveries on record")?)
}

/// Revives a chunk, and lets each of its lanes keep its order. Returns what was revived.
async fn revive(
    transaction: &Transaction<'_>,
    range: &Range,
    ids: Option<&[impl AsRef<str> + Sync]>,
) -> Result<Vec<String>> {
    let ids: Option<Vec<&str>> = ids.map(|ids| ids.iter().map(AsRef::as_ref).collect());
    let failed = |error| Error::of_postgres("send again", error);
    let rows = transaction
        .query(
            include_str!("../../sql/manage/revive.sql"),
            &[
                &range.hook,
                &range.since,
                &range.until,
                &range.event,
                &CHUNK,
                &ids,
            ],
        )
        .await
        .map_err(failed)?;
    let revived: std::result::Result<Vec<String>, _> =
        rows.iter().map(|row| row.try_get(0)).collect();
    let revived = revived.context("read what was revived")?;
    transaction
        .execute(include_str!("../../sql/manage/queue.sql"), &[&revived])
        .await
        .map_err(failed)?;
    Ok(revived)
}
