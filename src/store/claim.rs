//! Claims what is due in the table.
//!
//! Claims have several sessions of their own, so that few hooks have to wait for each other's commits.

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

use super::{holder::Holder, rows::place, session::connect};
use crate::{
    delivery::{Delivery, whose::Whose},
    event::Position,
    hook::HookId,
    postgres::address::Address,
};

/// How many hooks can claim at the same time. A session is opened only when something is parked.
const SESSIONS: usize = 4;
/// A body of more bytes than this is read in pieces, because the driver holds a second copy of what it reads.
const PIECE: usize = 4 << 20;

/// For how long at least a hook's claims pass over what was due before.
const SOONEST_LOOK: Duration = Duration::from_millis(250);
/// For how long at most a hook's claims pass over what was due before.
const LATEST_LOOK: Duration = Duration::from_secs(5);

/// How soon it is worth claiming again where something is due, and others have it in their hands.
const SOONEST_RETRY: Duration = Duration::from_millis(100);
/// When to claim again where the next time is out of all bounds.
const LATEST_RETRY: Duration = Duration::from_secs(10);

/// How much of what is due is claimed at once.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// From how many lanes at most. Of each, the first delivery is claimed.
    pub lanes: usize,
    /// How many deliveries that stand behind those may come along in all.
    pub behind: usize,
    /// How many of these may be of one lane.
    pub of_lane: usize,
    /// How many bytes all bodies may have.
    pub bytes: usize,
}

/// What is due of a hook, and when there will be more.
#[derive(Debug)]
pub struct Claimed {
    /// The deliveries that were claimed, oldest first.
    pub deliveries: Vec<Delivery>,
    /// What stands behind them in their lanes and can go along, oldest first.
    pub behind: Vec<Delivery>,
    /// After which time the next one is due; `None` where nothing in the table has a time.
    pub next: Option<Duration>,
    /// The bytes of the first delivery that is due, where nothing was claimed because it alone exceeds the share.
    pub too_large: Option<usize>,
}

impl Claimed {
    fn new(
        deliveries: Vec<Delivery>,
        behind: Vec<Delivery>,
        next: Option<Next>,
        share: Share,
    ) -> Self {
        let has_none = deliveries.is_empty();
        Self {
            deliveries,
            behind,
            // What is due and could not be had is in somebody else's hands for a while.
            next: next.as_ref().map(|next| match has_none {
                true => next.wait.max(SOONEST_RETRY),
                false => next.wait,
            }),
            too_large: next
                .filter(|next| has_none && next.wait.is_zero() && next.bytes > share.bytes)
                .map(|next| next.bytes),
        }
    }
}

/// The sessions in which hooks claim, opened when they are first used.
#[derive(Default)]
pub(super) struct Sessions([Mutex<Option<Session>>; SESSIONS]);

impl Sessions {
    /// Claims a share of a hook's deliveries, as soon as the session of the hook is free.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub(super) async fn claim(
        &self,
        address: &Address,
        schema: &str,
        holder: &Holder,
        hook: &HookId,
        share: Share,
        lease: Duration,
    ) -> Result<Claimed> {
        let mut slot = self.of(hook).await;
        let mut session = match slot.take() {
            Some(session) if !session.client.is_closed() => session,
            _ => Session::prepare(connect(address, schema, "rowhook claims").await?).await?,
        };
        let claimed = session.claim(holder, hook, share, lease).await?;
        *slot = Some(session);
        Ok(claimed)
    }

    async fn of(&self, hook: &HookId) -> MutexGuard<'_, Option<Session>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(hook.as_str());
        self.0[hash as usize % SESSIONS].lock().await
    }
}

/// A session, and the statements that it has prepared.
struct Session {
    client: Client,
    /// How far hooks have come of which much is due.
    reached: HashMap<HookId, Reached>,
    claim: Statement,
    behind: Statement,
    next_due: Statement,
    piece: Statement,
}

/// Up to which time a hook has claimed what is due.
///
/// The index still has the entries of all that was claimed before, until Postgres cleans it, and to pass over those
/// would take longer than the claim itself.
#[derive(Clone, Copy)]
struct Reached {
    due: SystemTime,
    /// Until when claims begin at `due`. Something may have become due before that and be visible only now, so
    /// everything is looked through once in a while.
    until: Instant,
}

/// The delivery of a hook that is due first, now or later.
#[derive(Debug)]
struct Next {
    wait: Duration,
    due: SystemTime,
    bytes: usize,
}

impl Session {
    /// Prepares the statements.
    async fn prepare(client: Client) -> Result<Self> {
        // Until a table that has grown is analyzed, Postgres expects little to be due, and to find the first few it
        // would gather and sort everything, be it a million rows. Without bitmaps it reads the first few through their
        // index.
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
        // Both are on their way at once, and answered in this order.
        let (mut deliveries, mut next) = tokio::try_join!(
            self.due(holder, hook, share, lease, from),
            self.next(hook, from)
        )
        .context("claim due deliveries")?;
        match next.as_ref().filter(|next| next.wait.is_zero()) {
            Some(Next { due, .. }) => {
                let due = *due;
                // To look through everything takes about as long as this claim did. It must not be done all the time.
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
        for delivery in &mut deliveries {
            if delivery.body.is_empty() {
                delivery.body = self.body(&delivery.id).await?;
            }
        }
        let behind = self.behind(&deliveries, share).await;
        let behind = behind.context("read what stands behind claimed deliveries")?;
        Ok(Claimed::new(deliveries, behind, next, share))
    }

    /// Claims what is due of a hook, but for what was due before `from`.
    async fn due(
        &self,
        holder: &Holder,
        hook: &HookId,
        share: Share,
        lease: Duration,
        from: Option<SystemTime>,
    ) -> Result<Vec<Delivery>> {
        let (name, lease) = (hook.as_str(), lease.as_secs_f64());
        let (most, bytes, piece) = (count(share.lanes), count(share.bytes), count(PIECE));
        let values: [&(dyn ToSql + Sync); 9] = [
            &name,
            &most,
            &lease,
            &bytes,
            &holder.slot,
            &holder.name,
            &piece,
            &from,
            &holder.partition,
        ];
        self.deliveries(&self.claim, &values).await
    }

    /// Reads what stands behind claimed deliveries, as far as the share has room for it.
    async fn behind(&self, claimed: &[Delivery], share: Share) -> Result<Vec<Delivery>> {
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        let taken: usize = claimed.iter().map(|delivery| delivery.body.len()).sum();
        let left = count(share.bytes.saturating_sub(taken));
        let of_lane = count((share.behind / claimed.len()).min(share.of_lane));
        let ids: Vec<&str> = claimed.iter().map(|delivery| &*delivery.id).collect();
        self.deliveries(&self.behind, &[&ids, &of_lane, &left])
            .await
    }

    /// Finds the first delivery of a hook that is or will be due, but for what was due before `from`.
    async fn next(&self, hook: &HookId, from: Option<SystemTime>) -> Result<Option<Next>> {
        let asked: [&(dyn ToSql + Sync); 2] = [&hook.as_str(), &from];
        let Some(row) = self.client.query_opt(&self.next_due, &asked).await? else {
            return Ok(None);
        };
        let wait = Duration::try_from_secs_f64(row.try_get("wait")?);
        Ok(Some(Next {
            wait: wait.unwrap_or(LATEST_RETRY),
            due: row.try_get("next_attempt")?,
            bytes: row.try_get::<_, i32>("bytes")?.unsigned_abs() as usize,
        }))
    }

    /// Reads the deliveries that a statement returns, and puts them in the order of events, which `returning` does not
    /// keep. No row stays in memory once it is read.
    async fn deliveries(
        &self,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Delivery>> {
        let rows = self.client.query_raw(statement, values.iter().copied());
        let rows = rows.await?.err_into::<anyhow::Error>();
        let deliveries = rows.and_then(|row| future::ready(delivery(&row)));
        let mut deliveries: Vec<Delivery> = deliveries.try_collect().await?;
        deliveries.sort_by_key(|delivery| delivery.position);
        Ok(deliveries)
    }

    /// Reads the body of a delivery in pieces.
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
        place: place(row.try_get("lane")?, row.try_get("other_lane")?),
        body: Bytes::copy_from_slice(body.unwrap_or_default()),
        content_type: row.try_get::<_, &str>("content_type")?.into(),
        whose: Whose::from_columns(row.try_get("owner")?, row.try_get("everyones")?),
        about: row
            .try_get::<_, Option<Vec<i64>>>("about")?
            .unwrap_or_default()
            .into(),
        outline: None,
        attempts: attempts.unsigned_abs(),
        waited: row
            .try_get::<_, Option<i64>>("waited_ms")?
            .map(|millis| Duration::from_millis(millis.unsigned_abs())),
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
