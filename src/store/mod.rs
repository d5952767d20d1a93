//! What rowhook keeps in its own tables: deliveries that are parked or dead, and its word on hooks.
//!
//! A write is tried until it succeeds, and what waits for it is not settled before. While the tables cannot be written to,
//! deliveries stay in memory, the memory budget is used up, and the stream pauses: nothing is dropped.

mod attempts;
mod batch;
mod claim;
mod due;
mod writer;

use std::{
    collections::HashMap,
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, mpsc, oneshot};
use tokio_postgres::{Client, types::ToSql};
use tokio_util::sync::CancellationToken;

use self::writer::Writer;
pub use self::{
    batch::{Failed, Fate, Forgotten, Write},
    claim::{Claimed, Share},
    due::Due,
};
use crate::{
    config::{self, Config, HookColumns, HookTable, OnGone},
    delivery::{backlog::Backlog, ledger::Progress},
    history::Attempt,
    hook::{Hook, HookId, Origin, off::OffHooks},
    message::{Disabled, PREFIX},
    payload::timestamp,
    postgres::{Lsn, address::Address, quote, stream::Identity},
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So often a row is looked for again that others do not see yet.
const LOOKS: u32 = 5;
/// Says whether a name ($2) is that of the holder of a slot ($1).
const HOLDS: &str = "select from holder where slot = $1 and name = $2";

/// The door to rowhook's tables. Connects when it is needed, and again when a connection breaks.
pub struct Store {
    address: Address,
    schema: String,
    holder: Holder,
    /// Cancelled when another rowhook is found to hold the slot.
    overtaken: CancellationToken,
    hook_table: Option<HookTable>,
    client: Session,
    /// Nothing else waits while the progress cannot be noted.
    notes: Session,
    claims: claim::Sessions,
    /// No delivery waits for history.
    history: Session,
    writes: mpsc::UnboundedSender<Write>,
}

/// A session that is opened when it is needed, and again when it breaks.
struct Session {
    name: &'static str,
    open: Mutex<Option<Client>>,
}

impl Session {
    fn named(name: &'static str) -> Self {
        Self {
            name,
            open: Mutex::new(None),
        }
    }
}

/// Who we are to other rowhooks on the same slot.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The slot.
    pub slot: String,
    /// A name that no other process has.
    pub name: String,
}

/// The end of a hook's deliveries, for now.
pub struct Disabling<'a> {
    /// The hook.
    pub hook: &'a Hook,
    /// Why.
    pub reason: &'a str,
    /// Its target wants nothing any more, and has said so.
    pub gone: bool,
    /// Since when there has been no success.
    pub since: SystemTime,
    /// What the target answered, in a few words.
    pub last_answer: &'a str,
}

impl Disabling<'_> {
    /// The event `hook.disabled`, as a message of the stream.
    fn message(&self) -> String {
        Disabled {
            owner: self.hook.owner.as_deref(),
            id: self.hook.id.as_str(),
            hook: serde_json::json!(self.hook.id),
            target: self.hook.target.display(),
            reason: self.reason,
            since: &timestamp(self.since),
            last_answer: Some(self.last_answer),
        }
        .to_json()
    }
}

/// How a hook of the application's own table is switched off; `None` where it cannot be. One that only fails is never deleted.
fn switch_off(theirs: &HookTable, gone: bool) -> Option<String> {
    let HookColumns {
        table, id, active, ..
    } = &theirs.columns;
    let (table, id) = (quote::table(table), quote::name(id));
    match active {
        Some(active) if !gone || theirs.on_gone == OnGone::Disable => {
            let active = quote::name(active);
            Some(format!(
                "update {table} set {active} = false where {id}::text = $1 and {active} and $2::text is not null"
            ))
        }
        _ if gone => Some(format!(
            "delete from {table} where {id}::text = $1 and $2::text is not null"
        )),
        _ => None,
    }
}

/// Where we are in the WAL.
pub struct Note<'a> {
    /// Of which cluster.
    pub identity: &'a Identity,
    /// What the slot is about to hear.
    pub confirmed: Lsn,
    /// How far a large transaction is settled.
    pub progress: Option<Progress>,
    /// A name for what events are numbered by.
    pub rules: &'a str,
    /// What hooks have been switched off and on up to `confirmed`.
    pub off: &'a OffHooks,
}

impl Store {
    /// The tables of `config` in the database at `address`, and the task that writes to them, which ends when the store is
    /// dropped.
    pub fn open(
        address: Address,
        config: &Config,
        holder: Holder,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + use<>) {
        let (writes, received) = mpsc::unbounded_channel();
        let writer = Writer {
            address: address.clone(),
            schema: config.database.schema.clone(),
            holder: holder.clone(),
            overtaken: CancellationToken::new(),
        };
        let store = Arc::new(Self {
            address,
            schema: config.database.schema.clone(),
            holder,
            overtaken: writer.overtaken.clone(),
            hook_table: config.hook_table.clone(),
            client: Session::named("rowhook store"),
            notes: Session::named("rowhook notes"),
            claims: claim::Sessions::default(),
            history: Session::named("rowhook history"),
            writes,
        });
        (store, writer.write(received))
    }

    /// Hands a write over. It is durable when its own word says so: a ticket settled, an answer sent.
    pub fn put(&self, write: Write) {
        // The writer lives as long as the store does; without it nothing is settled, and so nothing is lost.
        let _ = self.writes.send(write);
    }

    /// Hands a write over and waits until it is durable.
    pub async fn done(&self, write: impl FnOnce(oneshot::Sender<()>) -> Write) {
        let (done, durable) = oneshot::channel();
        self.put(write(done));
        // A writer that has ended answers nobody; then we are ending too.
        let _ = durable.await;
    }

    /// Makes us the holder of the slot, and due again what an earlier one has claimed. From here on nobody else parks anything.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn take_over(&self) -> Result<()> {
        let Holder { slot, name } = &self.holder;
        let hold = include_str!("../../sql/store/hold.sql");
        let held = self.execute_once(&self.client, hold, &[slot, name]).await;
        held.context("take over the slot")?;
        // Apart, so that it sees what an earlier holder has done before it had to stop, and locks nothing that it waits for.
        let reclaim = include_str!("../../sql/store/reclaim.sql");
        let reclaimed = self.execute_once(&self.client, reclaim, &[]).await;
        reclaimed.context("take over what was claimed")?;
        Ok(())
    }

    /// Are we still the holder of the slot?
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn holds(&self) -> Result<bool> {
        let client = self.session(&self.client).await?;
        let Holder { slot, name } = &self.holder;
        let row = client.query_opt(HOLDS, &[slot, name]).await;
        Ok(row.context("read who holds the slot")?.is_some())
    }

    /// Waits until it is found that we are not the holder of the slot any more. Nothing more is parked then.
    pub async fn overtaken(&self) {
        self.overtaken.cancelled().await;
    }

    /// What is parked, by hook.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn backlog(&self) -> Result<HashMap<String, Backlog>> {
        let client = self.session(&self.client).await?;
        let sql = include_str!("../../sql/store/backlog.sql");
        let none: [&str; 0] = [];
        // Row by row: there may be millions.
        let rows = client.query_raw(sql, none).await;
        let mut rows = pin!(rows.context("read what is parked")?);
        let mut backlog: HashMap<String, Backlog> = HashMap::new();
        while let Some(row) = rows.try_next().await.context("read what is parked")? {
            let deliveries: i64 = row.try_get("deliveries")?;
            let place = batch::place(row.try_get("lane")?, row.try_get("other_lane")?);
            let of_hook = backlog.entry(row.try_get("hook")?).or_default();
            of_hook.add(place, deliveries.unsigned_abs());
        }
        Ok(backlog)
    }

    /// What [`note`](Self::note) has noted last of a transaction in hand, for this slot and under the same rules.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn progress(&self, slot: &str, rules: &str) -> Result<Option<Progress>> {
        let client = self.session(&self.client).await?;
        let sql = "select commit_lsn::text, events from progress where slot = $1 and rules = $2";
        let row = client
            .query_opt(sql, &[&slot, &rules])
            .await
            .context("read the progress")?;
        let Some(row) = row else { return Ok(None) };
        let events: i64 = row.try_get(1)?;
        Ok(Some(Progress {
            commit_lsn: row
                .try_get::<_, &str>(0)?
                .parse()
                .context("read the progress")?,
            events: events.unsigned_abs(),
        }))
    }

    /// Notes where we are, before the slot hears of it. When this returns, it is durable.
    pub async fn note(&self, slot: &str, note: &Note<'_>) {
        let lsn = |lsn: Lsn| lsn.to_string();
        let commit_lsn = note.progress.map(|progress| lsn(progress.commit_lsn));
        let events = note.progress.map(|progress| progress.events);
        let events = events.map(|events| i64::try_from(events).unwrap_or(i64::MAX));
        let rules = note.progress.map(|_| note.rules);
        let (off, on) = note.off.turned(note.confirmed);
        let ids = |hooks: &[HookId]| -> Vec<String> {
            hooks.iter().map(|hook| hook.as_str().to_owned()).collect()
        };
        let sql = include_str!("../../sql/store/note_progress.sql");
        self.execute(
            &self.notes,
            "note the progress",
            sql,
            &[
                &slot,
                &note.identity.system_identifier,
                &i64::from(note.identity.timeline),
                &lsn(note.confirmed),
                &commit_lsn,
                &events,
                &rules,
                &ids(&off),
                &ids(&on),
            ],
        )
        .await;
        note.off.noted(note.confirmed);
    }

    /// The hooks that were off where the slot stands; `None` where nothing has been noted yet.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn off_hooks(&self, slot: &str) -> Result<Option<Vec<HookId>>> {
        let client = self.session(&self.client).await?;
        let sql = "select o.hook from progress as p left join off_hook as o on o.slot = p.slot where p.slot = $1";
        let rows = client.query(sql, &[&slot]).await;
        let rows = rows.context("read which hooks were off")?;
        if rows.is_empty() {
            return Ok(None);
        }
        let ids = rows
            .iter()
            .filter_map(|row| row.try_get::<_, Option<String>>(0).transpose());
        let ids = ids.map(|id| Ok(HookId::new(id?, false)));
        ids.collect::<Result<_>>().map(Some)
    }

    /// Notes that hooks are told of a gap. Returns when that is, if nobody had noted it before.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn note_gap(&self, slot: &str) -> Result<Option<SystemTime>> {
        let client = self.session(&self.client).await?;
        let sql = "update progress set gap_told = clock_timestamp() where slot = $1 and gap_told is null returning gap_told";
        let row = client
            .query_opt(sql, &[&slot])
            .await
            .context("note a gap")?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Switches a hook of the table off, and emits `hook.disabled` in the same transaction. What cannot be switched off, a hook
    /// of hooks.toml or one whose table has no column for it, is told of all the same.
    pub async fn disable(&self, disabling: &Disabling<'_>) {
        let Disabling { hook, reason, .. } = disabling;
        let gone = match (hook.origin, &self.hook_table) {
            (Origin::File, _) => None,
            (Origin::Table, None) => Some(
                "update hook set active = false, disabled_at = clock_timestamp(), disabled_reason = $2 \
                 where id::text = $1 and active"
                    .to_owned(),
            ),
            (Origin::Table, Some(theirs)) => switch_off(theirs, disabling.gone),
        };
        let (what, message) = ("disable a hook", disabling.message());
        let id = hook.id.as_str();
        match gone {
            // The hook's row is changed before the message is written, and so it does not hear of itself.
            Some(sql) => {
                let sql = format!(
                    "with disabled as ({sql} returning 1) \
                     select pg_logical_emit_message(true, $3::text, $4::text) from disabled"
                );
                self.execute_when_seen(what, &sql, &[&id, reason, &PREFIX, &message])
                    .await;
            }
            None => {
                let sql = "select pg_logical_emit_message(true, $1::text, $2::text)";
                self.execute(&self.client, what, sql, &[&PREFIX, &message])
                    .await;
            }
        }
    }

    /// Deletes some of what is older than `retention`: dead deliveries, and parked ones of these hooks. Returns whether there
    /// may be more, and where the parked ones stood.
    ///
    /// # Errors
    /// When the tables cannot be written to; then nothing is deleted.
    pub async fn forget(&self, idle: &[&str], retention: Duration) -> Result<Forgotten> {
        let mut client = self.session(&self.client).await?;
        let forgotten = batch::forget(&mut client, idle, retention).await;
        forgotten.context("delete what is older than the retention")
    }

    /// Writes history, and forgets the successes that are too many by now.
    ///
    /// # Errors
    /// When the tables cannot be written to; then it is lost.
    pub async fn note_attempts(&self, attempts: &[Attempt], rules: &config::History) -> Result<()> {
        let client = self.session(&self.history).await?;
        attempts::note(&client, attempts, rules).await
    }

    /// Forgets the attempts that are older than history is kept.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn forget_attempts(&self, rules: &config::History) -> Result<()> {
        let client = self.session(&self.history).await?;
        attempts::forget(&client, rules).await
    }

    /// For how long hooks have been without success, as [`Write::Failing`] has noted.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn failing(&self) -> Result<Vec<(String, Duration)>> {
        let client = self.session(&self.client).await?;
        let sql = "select hook, greatest(extract(epoch from clock_timestamp() - since), 0)::double precision from failing";
        let rows = client
            .query(sql, &[])
            .await
            .context("read which hooks fail")?;
        rows.iter()
            .map(|row| {
                let lasted = Duration::try_from_secs_f64(row.try_get(1)?);
                Ok((row.try_get(0)?, lasted.unwrap_or_default()))
            })
            .collect()
    }

    /// Writes beside a hook of rowhook's own table why it cannot be used, or that it can again.
    pub async fn judge(&self, hook: &HookId, invalid: Option<&str>) {
        if self.hook_table.is_some() {
            return;
        }
        let sql = "with marked as (update hook set invalid = $2 where id::text = $1 and invalid is distinct from $2) \
                   select from hook where id::text = $1";
        self.execute_when_seen("mark a hook", sql, &[&hook.as_str(), &invalid])
            .await;
    }

    /// The same as [`execute`](Self::execute), for something about a row of the stream, which can be ahead of what other
    /// sessions see: what is about no row yet is tried again for a moment.
    async fn execute_when_seen(&self, what: &str, sql: &str, values: &[&(dyn ToSql + Sync)]) {
        let (mut pause, mut unseen) = (FIRST_PAUSE, 0);
        while self.execute(&self.client, what, sql, values).await == 0 && unseen < LOOKS {
            unseen += 1;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Tries until it succeeds, and returns how many rows it was about.
    async fn execute(
        &self,
        session: &Session,
        what: &str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> u64 {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.execute_once(session, sql, values).await {
                Ok(rows) => return rows,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), retry_in = ?pause, "could not {what}; it is tried again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn execute_once(
        &self,
        session: &Session,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64> {
        let client = self.session(session).await?;
        let rows = client.execute(sql, values).await;
        rows.context("write to the tables")
    }

    /// A session, as soon as nobody else has it.
    async fn session<'a>(&self, session: &'a Session) -> Result<MappedMutexGuard<'a, Client>> {
        let mut open = session.open.lock().await;
        if open.as_ref().is_none_or(Client::is_closed) {
            *open = Some(connect(&self.address, &self.schema, session.name).await?);
        }
        let open = MutexGuard::try_map(open, Option::as_mut);
        open.map_err(|_| anyhow::anyhow!("{} is not open", session.name))
    }
}

/// Opens a session in which rowhook's own tables need no schema.
async fn connect(address: &Address, schema: &str, name: &str) -> Result<Client> {
    let client = address.connect(name).await?;
    // A plan that is kept could be of a time when the tables were empty; and a machine that is gone in the middle of a transaction
    // must not keep its successor waiting.
    let settings = format!(
        "set search_path to {}; set plan_cache_mode to force_custom_plan; set idle_in_transaction_session_timeout to '30s'",
        quote::name(schema)
    );
    client
        .batch_execute(&settings)
        .await
        .context("prepare the store's session")?;
    Ok(client)
}
