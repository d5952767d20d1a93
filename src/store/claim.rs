//! What is due in the table is claimed, in sessions of its own: a commit takes its time, and few hooks shall have to wait for
//! each other's.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use futures_util::{TryStreamExt, future};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::{Client, Row, Statement, types::ToSql};

use super::{FIRST_PAUSE, Holder, LONGEST_PAUSE, Store, batch, connect};
use crate::{delivery::Delivery, event::Position, hook::HookId};

/// So many hooks can claim at the same time. Where nothing is parked, no session is opened.
const SESSIONS: usize = 4;
/// A body that is larger than this comes in pieces: the driver has a second copy of what it reads.
const PIECE: usize = 4 << 20;

/// So long what was due before is passed over at least,
const SOONEST_LOOK: Duration = Duration::from_millis(250);
/// and at most.
const LATEST_LOOK: Duration = Duration::from_secs(5);

/// How much of what is due is claimed at once.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Of so many lanes at most: of each the first.
    pub lanes: usize,
    /// So many come along that stand behind them,
    pub behind: usize,
    /// but only so many of a lane.
    pub of_lane: usize,
    /// So many bytes of bodies.
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
    /// Nothing was claimed, because the first that is due has more bytes than the share: so many.
    pub too_large: Option<usize>,
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
    /// Where hooks with much that is due have come to.
    reached: HashMap<HookId, Reached>,
    claim: Statement,
    behind: Statement,
    next_due: Statement,
    piece: Statement,
}

/// Up to where a hook has claimed what is due. The index still has all that has been claimed before, until Postgres comes to clean
/// it, and to pass over that would take longer than the claim.
#[derive(Clone, Copy)]
struct Reached {
    due: SystemTime,
    /// Something may have become due before that, and be seen only now. So all is looked through once in a while.
    until: Instant,
}

/// The first that will be due.
struct Next {
    wait: Duration,
    due: SystemTime,
    bytes: usize,
}

impl Session {
    /// Makes a session ready.
    async fn prepare(client: Client) -> Result<Self> {
        // While the table has grown and was not analyzed since, Postgres expects little to be due, and would gather and sort all
        // that is for the first few, of a million too. Without bitmaps it reads the first few through their index.
        let settings = client.batch_execute("set enable_bitmapscan to off").await;
        settings.context("prepare to claim")?;
        let (claim, behind, next_due, piece) = tokio::try_join!(
            client.prepare(include_str!("../../sql/store/claim.sql")),
            client.prepare(include_str!("../../sql/store/behind.sql")),
            client.prepare(include_str!("../../sql/store/next_due.sql")),
            client.prepare("select substring(body from $2 for $3), octet_length(body) from delivery where id = $1"),
        )
        .context("prepare to claim")?;
        Ok(Self {
            client,
            reached: HashMap::new(),
            claim,
            behind,
            next_due,
            piece,
        })
    }

    async fn claim(
        &mut self,
        holder: &Holder,
        hook: &HookId,
        share: Share,
        lease: Duration,
    ) -> Result<Claimed> {
        let began = Instant::now();
        self.reached.retain(|_, reached| reached.until > began);
        let reached = self.reached.remove(hook);
        let from = reached.map(|reached| reached.due);
        let (name, lease) = (hook.as_str(), lease.as_secs_f64());
        let (most, bytes, piece) = (count(share.lanes), count(share.bytes), count(PIECE));
        let due: [&(dyn ToSql + Sync); 8] = [
            &name,
            &most,
            &lease,
            &bytes,
            &holder.slot,
            &holder.name,
            &piece,
            &from,
        ];
        // Both are on their way at once, and answered in this order.
        let (mut deliveries, mut next) =
            tokio::try_join!(self.deliveries(&self.claim, &due), self.next(hook, from))
                .context("claim due deliveries")?;
        let is_due = |next: &&Next| next.wait.is_zero();
        match next.as_ref().filter(is_due).map(|next| next.due) {
            Some(due) => {
                // To look through all once took so long. It shall not be done all the time.
                let pause = (10 * began.elapsed()).clamp(SOONEST_LOOK, LATEST_LOOK);
                let until = reached.map_or(Instant::now() + pause, |reached| reached.until);
                self.reached.insert(hook.clone(), Reached { due, until });
            }
            None if from.is_some() => {
                let all = self.next(hook, None).await;
                next = all.context("look for what is due")?;
            }
            None => {}
        }
        let behind = if deliveries.is_empty() {
            Vec::new()
        } else {
            for delivery in &mut deliveries {
                if delivery.body.is_empty() {
                    delivery.body = self.body(&delivery.id).await?;
                }
            }
            let taken: usize = deliveries.iter().map(|delivery| delivery.body.len()).sum();
            let left = count(share.bytes.saturating_sub(taken));
            let of_lane = count((share.behind / deliveries.len()).min(share.of_lane));
            let ids: Vec<&str> = deliveries.iter().map(|delivery| &*delivery.id).collect();
            let asked: [&(dyn ToSql + Sync); 3] = [&ids, &of_lane, &left];
            let behind = self.deliveries(&self.behind, &asked).await;
            behind.context("read what stands behind claimed deliveries")?
        };
        let has_none = deliveries.is_empty();
        Ok(Claimed {
            deliveries,
            behind,
            // What is due and could not be had is in somebody else's hands for a while.
            next: next.as_ref().map(|next| match has_none {
                true => next.wait.max(FIRST_PAUSE),
                false => next.wait,
            }),
            too_large: next
                .filter(|next| has_none && next.wait.is_zero() && next.bytes > share.bytes)
                .map(|next| next.bytes),
        })
    }

    /// The first of a hook that will be due, or is, but for what was due before `from`.
    async fn next(&self, hook: &HookId, from: Option<SystemTime>) -> Result<Option<Next>> {
        let asked: [&(dyn ToSql + Sync); 2] = [&hook.as_str(), &from];
        let Some(row) = self.client.query_opt(&self.next_due, &asked).await? else {
            return Ok(None);
        };
        let wait = Duration::try_from_secs_f64(row.try_get("wait")?);
        Ok(Some(Next {
            wait: wait.unwrap_or(LONGEST_PAUSE),
            due: row.try_get("next_attempt")?,
            bytes: row.try_get::<_, i32>("bytes")?.unsigned_abs() as usize,
        }))
    }

    /// What a statement returns, in the order of events, which `returning` does not keep. Each row is gone as soon as it is read.
    async fn deliveries(
        &self,
        statement: &Statement,
        asked: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Delivery>> {
        let rows = self.client.query_raw(statement, asked.iter().copied());
        let rows = rows.await?.err_into::<anyhow::Error>();
        let deliveries = rows.and_then(|row| future::ready(delivery(&row)));
        let mut deliveries: Vec<Delivery> = deliveries.try_collect().await?;
        deliveries.sort_by_key(|delivery| delivery.position);
        Ok(deliveries)
    }

    /// The body of a delivery, in pieces.
    async fn body(&self, id: &str) -> Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let (from, most) = (body.len() as i32 + 1, PIECE as i32);
            let row = self
                .client
                .query_opt(&self.piece, &[&id, &from, &most])
                .await;
            let row = row.with_context(|| format!("read the body of {id}"))?;
            let row = row.with_context(|| format!("{id} was deleted while it was claimed"))?;
            let piece: &[u8] = row.try_get(0)?;
            if body.is_empty() {
                body.reserve(usize::try_from(row.try_get::<_, i32>(1)?)?);
            }
            body.extend_from_slice(piece);
            if piece.len() < PIECE {
                return Ok(body.freeze());
            }
        }
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
        let mut session = match slot.take() {
            Some(session) if !session.client.is_closed() => session,
            _ => {
                let client = connect(&self.address, &self.schema, "rowhook claims").await?;
                Session::prepare(client).await?
            }
        };
        let claimed = session.claim(&self.holder, hook, share, lease).await?;
        *slot = Some(session);
        Ok(claimed)
    }
}

fn delivery(row: &Row) -> Result<Delivery> {
    let commit_lsn: &str = row.try_get("commit_lsn")?;
    let index: i64 = row.try_get("event_index")?;
    let attempts: i32 = row.try_get("attempts")?;
    let body: Option<&[u8]> = row.try_get("body")?;
    Ok(Delivery {
        id: row.try_get::<_, &str>("id")?.into(),
        event: row.try_get::<_, &str>("event")?.into(),
        position: Position {
            commit_lsn: commit_lsn.parse().context("read a parked delivery's LSN")?,
            index: index.unsigned_abs(),
        },
        commit_time: row.try_get("commit_time")?,
        place: batch::place(row.try_get("lane")?, row.try_get("other_lane")?),
        body: Bytes::copy_from_slice(body.unwrap_or_default()),
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

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
