//! What is due in the table is claimed, in sessions of its own: a commit takes its time, and few hooks shall have to wait for
//! each other's.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::{Client, Row, Statement, types::ToSql};

use super::{FIRST_PAUSE, Holder, LONGEST_PAUSE, Store, batch, connect};
use crate::{delivery::Delivery, event::Position, hook::HookId};

/// So many hooks can claim at the same time. Where nothing is parked, no session is opened.
const SESSIONS: usize = 4;

/// How much of what is due is claimed at once.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Of so many lanes at most: of each the first.
    pub lanes: usize,
    /// So many come along that stand behind them,
    pub behind: usize,
    /// but only so many of a lane.
    pub of_lane: usize,
    /// So many bytes of bodies, but one delivery at least.
    pub bytes: usize,
}

/// What is due of a hook, and when there will be more.
#[derive(Debug)]
pub struct Claimed {
    /// Due deliveries, oldest first.
    pub deliveries: Vec<Delivery>,
    /// What stands behind them in their lanes and can go along, oldest first.
    pub behind: Vec<Delivery>,
    /// When the next one is due; `None` where nothing has a time.
    pub next: Option<Duration>,
}

/// The sessions, as far as they are open.
#[derive(Default)]
pub(super) struct Sessions([Mutex<Option<Session>>; SESSIONS]);

impl Sessions {
    /// That of a hook, as soon as it is free.
    pub(super) async fn of(&self, hook: &HookId) -> MutexGuard<'_, Option<Session>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(hook.as_str());
        self.0[hash as usize % SESSIONS].lock().await
    }
}

/// A session, and the statements that it is for.
pub(super) struct Session {
    client: Client,
    claim: Statement,
    behind: Statement,
    next_due: Statement,
}

impl Session {
    /// Makes a session ready.
    async fn prepare(client: Client) -> Result<Self> {
        let (claim, behind, next_due) = tokio::try_join!(
            client.prepare(include_str!("../../sql/store/claim.sql")),
            client.prepare(include_str!("../../sql/store/behind.sql")),
            client.prepare(include_str!("../../sql/store/next_due.sql")),
        )
        .context("prepare to claim")?;
        Ok(Self {
            client,
            claim,
            behind,
            next_due,
        })
    }
}

impl Store {
    /// Takes a share of a hook's deliveries that are due. They are due again after `lease`. Those that come along behind them
    /// are only read.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn claim(&self, hook: &HookId, share: Share, lease: Duration) -> Result<Claimed> {
        let mut slot = self.claims.of(hook).await;
        let session = match slot.take() {
            Some(session) if !session.client.is_closed() => session,
            _ => {
                let client = connect(&self.address, &self.schema, "rowhook claims").await?;
                Session::prepare(client).await?
            }
        };
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (hook, lease) = (hook.as_str(), lease.as_secs_f64());
        let (most, bytes) = (count(share.lanes), count(share.bytes));
        let Holder { slot: held, name } = &self.holder;
        let due: [&(dyn ToSql + Sync); 6] = [&hook, &most, &lease, &bytes, held, name];
        let later: [&(dyn ToSql + Sync); 1] = [&hook];
        // Both are on their way at once, and answered in this order.
        let (rows, next) = tokio::try_join!(
            session.client.query(&session.claim, &due),
            session.client.query_opt(&session.next_due, &later),
        )
        .context("claim due deliveries")?;
        let next: Option<f64> = next.map(|row| row.try_get(0)).transpose()?;
        let next = next.map(|wait| Duration::try_from_secs_f64(wait).unwrap_or(LONGEST_PAUSE));
        let deliveries = in_order(&rows)?;
        let behind = if deliveries.is_empty() {
            Vec::new()
        } else {
            let taken: usize = deliveries.iter().map(|delivery| delivery.body.len()).sum();
            let left = count(share.bytes.saturating_sub(taken));
            let of_lane = count((share.behind / deliveries.len()).min(share.of_lane));
            let ids: Vec<&str> = deliveries.iter().map(|delivery| &*delivery.id).collect();
            let asked: [&(dyn ToSql + Sync); 3] = [&ids, &of_lane, &left];
            let rows = session.client.query(&session.behind, &asked).await;
            in_order(&rows.context("read what stands behind claimed deliveries")?)?
        };
        *slot = Some(session);
        Ok(Claimed {
            deliveries,
            behind,
            // What is due and could not be had is in somebody else's hands for a while.
            next: match rows.is_empty() {
                true => next.map(|wait| wait.max(FIRST_PAUSE)),
                false => next,
            },
        })
    }
}

/// Deliveries in the order of their events, which `returning` does not keep.
fn in_order(rows: &[Row]) -> Result<Vec<Delivery>> {
    let mut deliveries = rows.iter().map(delivery).collect::<Result<Vec<_>>>()?;
    deliveries.sort_by_key(|delivery| delivery.position);
    Ok(deliveries)
}

fn delivery(row: &Row) -> Result<Delivery> {
    let commit_lsn: &str = row.try_get("commit_lsn")?;
    let index: i64 = row.try_get("event_index")?;
    let attempts: i32 = row.try_get("attempts")?;
    let body: Vec<u8> = row.try_get("body")?;
    Ok(Delivery {
        id: row.try_get::<_, &str>("id")?.into(),
        event: row.try_get::<_, &str>("event")?.into(),
        position: Position {
            commit_lsn: commit_lsn.parse().context("read a parked delivery's LSN")?,
            index: index.unsigned_abs(),
        },
        commit_time: row.try_get("commit_time")?,
        place: batch::place(row.try_get("lane")?, row.try_get("other_lane")?),
        body: body.into(),
        content_type: row.try_get::<_, &str>("content_type")?.into(),
        attempts: attempts.unsigned_abs(),
        unfit: None,
        asked: row
            .try_get::<_, Option<&str>>("question")?
            .map(serde_json::from_str)
            .transpose()
            .context("read what a parked delivery asks")?
            .map(Arc::new),
        held: None,
    })
}
