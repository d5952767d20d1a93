//! Sending many deliveries again that have not arrived: those that a list of deliveries can be limited to. How many
//! that would be can be asked first.

use std::time::SystemTime;

use anyhow::Context;
use serde::Serialize;
use tokio_postgres::types::ToSql;
use utoipa::ToSchema;

use super::{
    Actor, Admin, Error, Result,
    audit::record,
    deliveries::{DeliveryQuery, State},
    replay::begin_alone,
};
use crate::{
    act::{Act, what},
    postgres::{Lsn, time::timestamp},
};

/// The deliveries that one transaction sends again, at most.
const STEP: i64 = 500;

/// How many deliveries are sent again, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Retried {
    /// Parked ones, which go before their next time.
    pub parked: u64,
    /// Dead ones, whose retries start over.
    pub dead: u64,
    /// Whether they were only counted.
    pub dry_run: bool,
}

impl Retried {
    /// How many there are in all.
    pub fn all(&self) -> u64 {
        self.parked + self.dead
    }
}

/// The last delivery of a step: when it was parked, and its position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Last {
    created_at: SystemTime,
    commit_lsn: Lsn,
    event_index: i64,
}

/// Which deliveries are sent again, as the first parameters of both statements.
struct Wanted<'a> {
    query: &'a DeliveryQuery,
    state: Option<&'static str>,
    /// Until when they were parked: not after now, so that what fails again meanwhile is not sent without end.
    until: SystemTime,
    /// What they are about, one of these.
    about: Option<Vec<i64>>,
    /// Whose they are.
    owner: Option<&'a str>,
}

impl Wanted<'_> {
    fn parameters(&self) -> [&(dyn ToSql + Sync); 7] {
        [
            &self.query.hook,
            &self.state,
            &self.query.event,
            &self.query.since,
            &self.until,
            &self.about,
            &self.owner,
        ]
    }
}

impl Admin {
    /// Counts what [`Self::retry_all`] would send again.
    ///
    /// # Errors
    /// As for that.
    pub async fn count_to_retry(&self, actor: &Actor, query: &DeliveryQuery) -> Result<Retried> {
        self.authorize_retry(actor, query).await?;
        self.count_all(&self.wanted(actor, query).await?).await
    }

    /// Has those of these deliveries sent again that are dead, or that wait for their next time; those of each lane in
    /// order. What is parked meanwhile is left alone. `on_progress` is called with their number so far.
    ///
    /// # Errors
    /// When `actor` may not do this, what was asked for is not to be retried, or the tables cannot be written to. What
    /// was taken before that is sent all the same.
    pub async fn retry_all(
        &mut self,
        actor: &Actor,
        query: &DeliveryQuery,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Retried> {
        let owner = self.authorize_retry(actor, query).await?;
        let wanted = self.wanted(actor, query).await?;
        let counted = self.count_all(&wanted).await?;
        let mut act = Some(self.act_on_many(query, owner, counted.all()));
        let mut retried = Retried::default();
        let mut last: Option<Last> = None;
        loop {
            let (step, end) = self.retry_step(&wanted, last.as_ref(), act.take()).await?;
            retried.parked += step.parked;
            retried.dead += step.dead;
            on_progress(retried.all());
            if step.all() < STEP.unsigned_abs() {
                return Ok(retried);
            }
            last = end;
        }
    }

    /// Sends a step of them again, with the act on record in the transaction of the first. Returns the last of them.
    async fn retry_step(
        &mut self,
        wanted: &Wanted<'_>,
        after: Option<&Last>,
        act: Option<Act>,
    ) -> Result<(Retried, Option<Last>)> {
        let failed = |error| Error::from_postgres("send again", error);
        let (at, lsn, index) = (
            after.map(|last| last.created_at),
            after.map(|last| last.commit_lsn.to_string()),
            after.map(|last| last.event_index),
        );
        let step: [&(dyn ToSql + Sync); 4] = [&STEP, &at, &lsn, &index];
        let parameters = [&wanted.parameters()[..], &step].concat();
        let transaction = begin_alone(&mut self.client, &self.config.database.slot).await?;
        let sql = include_str!("../../sql/manage/retry_some.sql");
        let rows = transaction.query(sql, &parameters).await.map_err(failed)?;
        let (mut step, mut last, mut ids) = (Retried::default(), None, Vec::new());
        for row in &rows {
            let (before, taken) = read(row).context("read what is sent again")?;
            match before == State::Dead.as_str() {
                true => step.dead += 1,
                false => step.parked += 1,
            }
            last = last.max(Some(taken));
            let id: String = row.try_get("id").context("read what is sent again")?;
            ids.push(id);
        }
        let sql = include_str!("../../sql/manage/keep_lane_order.sql");
        transaction.execute(sql, &[&ids]).await.map_err(failed)?;
        if let Some(act) = act {
            record(&transaction, self.charset, act).await?;
        }
        transaction.commit().await.context("send again")?;
        Ok((step, last))
    }

    async fn count_all(&self, wanted: &Wanted<'_>) -> Result<Retried> {
        let sql = include_str!("../../sql/manage/retry_count.sql");
        let row = self.client.query_one(sql, &wanted.parameters()).await;
        let row = row.map_err(|error| Error::from_postgres("count", error))?;
        let count = |name| row.try_get::<_, i64>(name).map(i64::unsigned_abs);
        Ok(Retried {
            parked: count("parked").context("count")?,
            dead: count("dead").context("count")?,
            dry_run: true,
        })
    }

    async fn wanted<'a>(&self, actor: &'a Actor, query: &'a DeliveryQuery) -> Result<Wanted<'a>> {
        let now = self.database_now().await?;
        Ok(Wanted {
            query,
            state: query.state.map(State::as_str),
            until: query.until.map_or(now, |asked| asked.min(now)),
            about: self.marks_of(query.row.as_ref()).await?,
            owner: actor.owner(),
        })
    }

    /// An owner has to name one of their hooks; the operator may leave the hook out. Returns whose hook it is.
    async fn authorize_retry(
        &self,
        actor: &Actor,
        query: &DeliveryQuery,
    ) -> Result<Option<String>> {
        if query.state == Some(State::Delivered) {
            return Err(Error::Invalid(
                "what was delivered is not retried; a replay sends it again".into(),
            ));
        }
        match (actor, &query.hook) {
            (_, Some(hook)) => Ok(self.hook_on_record(actor, hook).await?.owner),
            (Actor::Operator, None) => Ok(None),
            (Actor::Owner(_), None) => Err(Error::Forbidden(
                "only the operator may send again for all hooks; name one of yours".into(),
            )),
        }
    }

    /// What goes on record. The key of a row is that of the application, and what is on record stays; so it is left
    /// out.
    fn act_on_many(&self, query: &DeliveryQuery, owner: Option<String>, all: u64) -> Act {
        let mut act = self.act(what::DELIVERY_RETRIED);
        act.hook = query.hook.clone();
        act.event = query.event.clone();
        act.owner = owner;
        act.with("state", query.state.map(State::as_str))
            .with("since", query.since.map(timestamp))
            .with("until", query.until.map(timestamp))
            .with("table", query.row.as_ref().map(|row| row.table.clone()))
            .with("deliveries", all)
    }
}

/// What state a delivery was in, and where it stands among those that are sent again.
fn read(row: &tokio_postgres::Row) -> anyhow::Result<(String, Last)> {
    let lsn: String = row.try_get("commit_lsn")?;
    let last = Last {
        created_at: row.try_get("created_at")?,
        commit_lsn: lsn.parse()?,
        event_index: row.try_get("event_index")?,
    };
    Ok((row.try_get("before")?, last))
}
