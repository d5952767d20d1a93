//! Sending deliveries again: parked ones at once, dead ones anew, and delivered ones a second time, each with its old
//! id.
//!
//! A replay is a repetition: it comes after newer events, and its receiver recognizes it by the id. Deliveries of one
//! lane that are sent again stay in order.

use std::time::SystemTime;

use anyhow::Context;
use serde::Serialize;
use tokio_postgres::{Client, Transaction};
use utoipa::ToSchema;

use super::{
    Actor, Admin, Error, Result,
    audit::record,
    begin,
    deliveries::{Delivery, State},
};
use crate::{
    act::{Act, what},
    postgres::time::timestamp,
};

/// The deliveries that one transaction revives or restores, at most.
const CHUNK: i64 = 500;

/// Which deliveries to send again. Fields that are `None` do not limit them.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// Those of this hook.
    pub hook: Option<String>,
    /// Those of this event.
    pub event: Option<String>,
    /// Those given up or delivered at this time or later.
    pub since: Option<SystemTime>,
    /// Those given up or delivered before this time.
    pub until: Option<SystemTime>,
}

/// How many deliveries are sent again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplayCounts {
    /// Dead deliveries that are being sent again.
    pub revived: u64,
    /// Delivered ones that are being sent again.
    pub repeated: u64,
    /// Delivered ones that cannot be sent again, because history did not keep their body or their position.
    pub unrecorded: u64,
}

impl Admin {
    /// Has a delivery sent at once, unless it is being sent already. The retries of a dead or a delivered one start
    /// over.
    ///
    /// # Errors
    /// When `actor` has no such delivery, or it cannot be sent now; the message says why.
    pub async fn retry(&mut self, actor: &Actor, id: &str) -> Result<Delivery> {
        let delivery = self.delivery(actor, id).await?.delivery;
        self.refuse_foreign(&delivery).await?;
        let mut act = self.act(what::DELIVERY_RETRIED);
        act.hook = Some(delivery.hook.clone());
        act.delivery = Some(id.to_owned());
        act.event = Some(delivery.event.clone());
        act.owner = delivery.owner.clone();
        let act = act.with("state", delivery.state.as_str());
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
                let transaction = begin(&mut self.client).await?;
                let sent = transaction.execute(sql, &[&id]).await;
                sent.map_err(|error| Error::from_postgres("retry the delivery", error))?;
                record(&transaction, self.charset, act).await?;
                transaction.commit().await.context("retry the delivery")?;
            }
            State::Dead => {
                let transaction = begin_alone(&mut self.client, &self.config.database.slot).await?;
                let ids = [id];
                revive(&transaction, actor, &Range::default(), Some(&ids[..])).await?;
                record(&transaction, self.charset, act).await?;
                transaction.commit().await.context("retry the delivery")?;
            }
            State::Delivered => {
                let transaction = begin_alone(&mut self.client, &self.config.database.slot).await?;
                let restored = restore(&transaction, actor, &Range::default(), 0, Some(id)).await?;
                if restored.ids.is_empty() {
                    return Err(Error::Conflict(format!(
                        "history does not know enough of {id} to send it again"
                    )));
                }
                revive(&transaction, actor, &Range::default(), Some(&restored.ids)).await?;
                record(&transaction, self.charset, act).await?;
                transaction.commit().await.context("repeat the delivery")?;
            }
        }
        // It may have been delivered meanwhile, and history may not have noted that yet.
        match self.delivery(actor, id).await {
            Ok(now) => Ok(now.delivery),
            Err(Error::NotFound { .. }) => Ok(delivery),
            Err(error) => Err(error),
        }
    }

    /// Has the dead deliveries of a range sent again. `on_progress` is called with their number so far.
    ///
    /// # Errors
    /// When `actor` may not do this, or the tables cannot be written to. What was revived before that is sent all the
    /// same.
    pub async fn retry_dead(
        &mut self,
        actor: &Actor,
        range: &Range,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<ReplayCounts> {
        let owner = self.authorize(actor, range).await?;
        let act = self.act_on_range(what::DELIVERY_RETRIED, range, owner);
        self.revive_dead(actor, range, act, on_progress).await
    }

    /// Has the dead deliveries of a range sent again. The act goes on record with the first of them, or alone.
    async fn revive_dead(
        &mut self,
        actor: &Actor,
        range: &Range,
        act: Act,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<ReplayCounts> {
        let mut act = Some(act);
        let mut revived = 0;
        // Limited to what is dead now: what fails again meanwhile must not be revived a second time.
        let until = self.database_now().await?;
        let range = Range {
            until: Some(range.until.map_or(until, |asked| asked.min(until))),
            ..range.clone()
        };
        loop {
            let transaction = begin_alone(&mut self.client, &self.config.database.slot).await?;
            let ids = revive(&transaction, actor, &range, None::<&[&str]>).await?;
            if let Some(act) = act.take() {
                record(&transaction, self.charset, act).await?;
            }
            transaction.commit().await.context("retry the dead")?;
            revived += ids.len() as u64;
            on_progress(revived);
            if i64::try_from(ids.len()).is_ok_and(|count| count < CHUNK) {
                return Ok(ReplayCounts {
                    revived,
                    ..ReplayCounts::default()
                });
            }
        }
    }

    /// Has a range sent again: what was given up in it and, as far as history goes back, what was delivered in it.
    /// `on_progress` is called with the number of deliveries so far.
    ///
    /// # Errors
    /// As [`Self::retry_dead`].
    pub async fn replay(
        &mut self,
        actor: &Actor,
        range: &Range,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<ReplayCounts> {
        let owner = self.authorize(actor, range).await?;
        let act = self.act_on_range(what::REPLAY_STARTED, range, owner);
        let until = self.database_now().await?;
        let range = Range {
            until: Some(range.until.map_or(until, |asked| asked.min(until))),
            ..range.clone()
        };
        // The dead first: the rows that are restored next begin as dead ones.
        let mut replayed = self.revive_dead(actor, &range, act, on_progress).await?;
        let mut after = 0;
        loop {
            let transaction = begin_alone(&mut self.client, &self.config.database.slot).await?;
            let restored = restore(&transaction, actor, &range, after, None).await?;
            if !restored.ids.is_empty() {
                revive(&transaction, actor, &Range::default(), Some(&restored.ids)).await?;
            }
            transaction.commit().await.context("replay the range")?;
            replayed.repeated += restored.ids.len() as u64;
            replayed.unrecorded += restored.unrecorded;
            on_progress(replayed.revived + replayed.repeated);
            match restored.last {
                Some(last) => after = last,
                None => return Ok(replayed),
            }
        }
    }

    /// Refuses to send what is not that of the hook's owner any more. It would be dead again at once.
    async fn refuse_foreign(&self, delivery: &Delivery) -> Result<()> {
        match self.hook(&Actor::Operator, &delivery.hook).await {
            Ok(hook) if !delivery.whose.may_go_to(hook.owner.as_deref()) => {
                Err(Error::Conflict(format!(
                    "the hook {} belongs to another owner now, who must not get {}",
                    delivery.hook, delivery.id
                )))
            }
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// An owner has to name one of their hooks; the operator may leave the hook out. Returns whose hook it is.
    async fn authorize(&self, actor: &Actor, range: &Range) -> Result<Option<String>> {
        match (actor, &range.hook) {
            (_, Some(hook)) => Ok(self.hook_on_record(actor, hook).await?.owner),
            (Actor::Operator, None) => Ok(None),
            (Actor::Owner(_), None) => Err(Error::Forbidden(
                "only the operator may send again for all hooks; name one of yours".into(),
            )),
        }
    }

    /// What goes on record of sending a range again.
    fn act_on_range(&self, what: &'static str, range: &Range, owner: Option<String>) -> Act {
        let mut act = self.act(what);
        act.hook = range.hook.clone();
        act.event = range.event.clone();
        act.owner = owner;
        act.with("since", range.since.map(timestamp))
            .with("until", range.until.map(timestamp))
    }

    /// The database's clock.
    pub(super) async fn database_now(&self) -> Result<SystemTime> {
        let row = self.client.query_one("select clock_timestamp()", &[]).await;
        let row = row.context("ask for the time")?;
        Ok(row.try_get(0).context("ask for the time")?)
    }
}

/// Begins a transaction beside which a running rowhook parks nothing and takes nothing out of the table: it waits for
/// the end of this one, as this one has waited for its last. Otherwise the first of a lane could leave just when
/// another one is put behind it, which then would wait for nobody, and nobody would know.
pub(super) async fn begin_alone<'a>(client: &'a mut Client, slot: &str) -> Result<Transaction<'a>> {
    let transaction = begin(client).await?;
    // Before anything else is locked, as whoever parks does it.
    let sql = "select from holder where slot = $1 for update";
    let held = transaction.execute(sql, &[&slot]).await;
    held.context("wait for what is being parked")?;
    Ok(transaction)
}

/// A chunk of history whose deliveries have rows again.
struct Restored {
    ids: Vec<String>,
    /// The last attempt that was looked at; `None` at the end of history.
    last: Option<i64>,
    unrecorded: u64,
}

/// Makes rows of a chunk of delivered deliveries, from the attempts after `after`. They are dead until they are
/// revived.
async fn restore(
    transaction: &Transaction<'_>,
    actor: &Actor,
    range: &Range,
    after: i64,
    id: Option<&str>,
) -> Result<Restored> {
    let row = transaction
        .query_one(
            include_str!("../../sql/manage/restore.sql"),
            &[
                &range.hook,
                &range.since,
                &range.until,
                &range.event,
                &after,
                &CHUNK,
                &id,
                &actor.owner(),
            ],
        )
        .await
        .map_err(|error| Error::from_postgres("put deliveries on record", error))?;
    let read = || -> std::result::Result<Restored, tokio_postgres::Error> {
        Ok(Restored {
            ids: row.try_get("restored")?,
            last: row.try_get("last")?,
            unrecorded: row.try_get::<_, i64>("unrecorded")?.unsigned_abs(),
        })
    };
    Ok(read().context("put deliveries on record")?)
}

/// Revives a chunk of dead deliveries, in the order of their lanes. Returns their ids.
async fn revive(
    transaction: &Transaction<'_>,
    actor: &Actor,
    range: &Range,
    ids: Option<&[impl AsRef<str> + Sync]>,
) -> Result<Vec<String>> {
    let ids: Option<Vec<&str>> = ids.map(|ids| ids.iter().map(AsRef::as_ref).collect());
    let failed = |error| Error::from_postgres("send again", error);
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
                &actor.owner(),
            ],
        )
        .await
        .map_err(failed)?;
    let revived: std::result::Result<Vec<String>, _> =
        rows.iter().map(|row| row.try_get(0)).collect();
    let revived = revived.context("read what was revived")?;
    transaction
        .execute(
            include_str!("../../sql/manage/keep_lane_order.sql"),
            &[&revived],
        )
        .await
        .map_err(failed)?;
    Ok(revived)
}
