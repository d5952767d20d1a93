//! What rowhook keeps in its own tables: parked and dead deliveries, the history of attempts, and how far the stream
//! has been dealt with.
//!
//! A write is tried until it succeeds, and what waits for it is not settled before. While the tables cannot be written
//! to, deliveries stay in memory, the memory budget is used up, and the stream pauses: nothing is dropped.
//!
//! The store does not know who parks: whoever does implements [`Parker`].

pub mod acts;
pub mod sealing;
pub mod text;

mod attempts;
mod batch;
mod checkpoint;
mod claim;
mod columns;
mod disabling;
mod due;
mod followed;
mod held;
mod holder;
mod invalid;
mod partition;
mod recording;
mod redact;
mod rows;
mod session;
mod write;
mod writer;

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    ops::Deref,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use tokio::sync::{MappedMutexGuard, mpsc, oneshot};
use tokio_postgres::{Client, error::SqlState, types::ToSql};

use self::{
    acts::Acts,
    holder::{Claimant, HOLDS},
    session::{PAUSES, Session},
    text::Charset,
    write::Signed,
    writer::Writer,
};
pub use self::{
    batch::Forgotten,
    checkpoint::{Checkpoint, NotedHooks},
    claim::{Claimed, Share},
    disabling::Disabling,
    due::{Due, FORGOTTEN, Notice},
    holder::{Holder, partition_of},
    write::{DISOWNED, Failed, Fate, Parker, Write},
};
use crate::{
    config::{self, Config, HookTable, Secrets},
    delivery::{self, attempt::Attempt, backlog::Backlog, ledger::Progress},
    hook::{HookId, off::Switch},
    lock::lock,
    message::{AUDITED, MessageKey, PREFIX},
    postgres::{Lsn, TableName, address::Address},
};

/// How many times a statement that has found no row is executed again, because its session may not see the row yet.
const LOOKS: u32 = 5;

/// Reads and writes rowhook's own tables. It connects when it is first needed, and again when a connection breaks.
///
/// In a cluster, a sender has one for each of its partitions, which share their sessions.
pub struct Store {
    core: Arc<Core>,
    /// In whose name it writes.
    claimant: Arc<Claimant>,
}

/// What the stores of a process share.
pub struct Core {
    address: Address,
    schema: String,
    /// The hook table of the application. It may be renamed while we run.
    hook_table: Mutex<Option<HookTable>>,
    /// The hooks of which a note in `invalid_hook` says that they cannot be used.
    noted_invalid: Mutex<HashSet<HookId>>,
    /// What was forgotten lately, as far as that was read.
    forgotten: delivery::forgotten::Forgotten,
    /// What secrets are sealed with.
    secrets: Secrets,
    /// The hooks whose secrets are to be sealed.
    plain: Mutex<HashSet<HookId>>,
    /// Apart, so that nothing waits for sealing.
    sealing: Session,
    client: Session,
    /// Apart, so that nothing else waits while a checkpoint cannot be saved.
    checkpoints: Session,
    claims: claim::Sessions,
    /// Apart, so that no delivery waits for history.
    history: Session,
    /// What is to be put on record.
    acts: Acts,
    /// How long acts are kept.
    acts_are_kept: Duration,
    writes: mpsc::UnboundedSender<Signed>,
}

impl Deref for Store {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Store {
    /// Opens the tables of `config` in the database at `address`.
    ///
    /// Returns the store and the task that writes for it, which ends when the store is dropped and everything is
    /// written.
    pub fn open(
        address: Address,
        config: &Config,
        holder: Holder,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + use<>) {
        let (writes, received) = mpsc::unbounded_channel();
        let writer = Writer {
            address: address.clone(),
            schema: config.database.schema.clone(),
        };
        let store = Self::with(address, config, holder, writes);
        (store, writer.write(received))
    }

    /// A store whose writes are handed to a test, and not written.
    #[cfg(test)]
    pub(crate) fn unwritten(config: &Config) -> (Arc<Self>, Unwritten) {
        let (writes, received) = mpsc::unbounded_channel();
        let holder = Holder {
            slot: config.database.slot.clone(),
            name: "test".into(),
            partition: None,
        };
        let address = config.database.address.clone();
        let store = Self::with(address, config, holder, writes);
        (store, Unwritten(received))
    }

    fn with(
        address: Address,
        config: &Config,
        holder: Holder,
        writes: mpsc::UnboundedSender<Signed>,
    ) -> Arc<Self> {
        let core = Core {
            address,
            schema: config.database.schema.clone(),
            hook_table: Mutex::new(config.hook_table.clone()),
            noted_invalid: Mutex::default(),
            forgotten: delivery::forgotten::Forgotten::default(),
            secrets: config.secrets.clone(),
            plain: Mutex::default(),
            sealing: Session::named("rowhook seal"),
            client: Session::named("rowhook store"),
            checkpoints: Session::named("rowhook notes"),
            claims: claim::Sessions::default(),
            history: Session::named("rowhook history"),
            acts: Acts::new(),
            acts_are_kept: config.audit.retention,
            writes,
        };
        Arc::new(Self {
            core: Arc::new(core),
            claimant: Arc::new(Claimant::new(holder)),
        })
    }

    /// The same tables, written to in another name.
    pub fn in_the_name_of(&self, holder: Holder) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::clone(&self.core),
            claimant: Arc::new(Claimant::new(holder)),
        })
    }

    /// Hands a write over. How one learns that it is durable is up to the [`Write`]: a ticket is settled, a [`Parker`]
    /// called, or an answer sent.
    pub fn enqueue(&self, write: Write) {
        // The writer lives as long as the store does; without it nothing is settled, and so nothing is lost.
        let _ = self.writes.send(Signed {
            by: Arc::clone(&self.claimant),
            write,
        });
    }

    /// Hands a write over and waits until it is durable.
    pub async fn persist(&self, write: impl FnOnce(oneshot::Sender<()>) -> Write) {
        let (done, durable) = oneshot::channel();
        self.enqueue(write(done));
        // A writer that has ended answers nobody; then we are ending too.
        let _ = durable.await;
    }

    /// Makes us the holder of the slot, and makes due again what an earlier holder has claimed. From here on nobody
    /// else parks anything.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn take_over(&self) -> Result<()> {
        let Holder { slot, name, .. } = self.holder();
        let hold = include_str!("../../sql/store/hold.sql");
        let held = self.execute_once(&self.client, hold, &[slot, name]).await;
        held.context("take over the slot")?;
        // The senders of a cluster, if there was one, stop with this.
        let alone = "update partition set epoch = epoch + 1, sender = null where slot = $1";
        let taken = self.execute_once(&self.client, alone, &[slot]).await;
        taken.context("take over what the senders had")?;
        // A statement of its own, so that it sees what the earlier holder has done until it had to stop, and so that it
        // locks nothing that the first one waits for.
        let reclaim = include_str!("../../sql/store/reclaim.sql");
        let reclaimed = self.execute_once(&self.client, reclaim, &[]).await;
        reclaimed.context("take over what was claimed")?;
        Ok(())
    }

    /// Makes us the holder of the slot as the reader of a cluster, whose senders go on with what they have.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn take_over_reading(&self) -> Result<()> {
        let Holder { slot, name, .. } = self.holder();
        let hold = include_str!("../../sql/store/hold.sql");
        let held = self.execute_once(&self.client, hold, &[slot, name]).await;
        held.context("take over the slot")?;
        Ok(())
    }

    /// In whose name it writes.
    fn holder(&self) -> &Holder {
        &self.claimant.holder
    }

    /// Whether we are still the holder of the slot.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn holds(&self) -> Result<bool> {
        let client = self.session(&self.client).await?;
        let Holder { slot, name, .. } = self.holder();
        let row = client.query_opt(HOLDS, &[slot, name]).await;
        Ok(row.context("read who holds the slot")?.is_some())
    }

    /// Waits until somebody else is found to hold what we write for. From then on nothing is parked.
    pub async fn overtaken(&self) {
        self.claimant.overtaken.cancelled().await;
    }

    /// Reads what is parked, by the ids of hooks.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn backlog(&self) -> Result<HashMap<String, Backlog>> {
        let client = self.session(&self.client).await?;
        let sql = include_str!("../../sql/store/backlog.sql");
        let none: [&str; 0] = [];
        // Row by row, because there may be millions.
        let rows = client.query_raw(sql, none).await;
        let mut rows = pin!(rows.context("read what is parked")?);
        let mut backlog: HashMap<String, Backlog> = HashMap::new();
        while let Some(row) = rows.try_next().await.context("read what is parked")? {
            let deliveries: i64 = row.try_get("deliveries")?;
            let place = rows::place(row.try_get("lane")?, row.try_get("other_lane")?);
            let of_hook = backlog.entry(row.try_get("hook")?).or_default();
            of_hook.add(place, deliveries.unsigned_abs());
        }
        Ok(backlog)
    }

    /// What was forgotten lately, as far as [`load_forgotten`](Self::load_forgotten) has read it.
    pub fn forgotten(&self) -> &delivery::forgotten::Forgotten {
        &self.forgotten
    }

    /// Reads what was forgotten lately. Returns when the last of it was; `None`: nothing was.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn load_forgotten(&self) -> Result<Option<SystemTime>> {
        let client = self.session(&self.client).await?;
        let rows = client.query("select mark, at from forgotten_mark", &[]);
        let rows = rows.await.context("read what was forgotten")?;
        let marks = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let marks: std::result::Result<HashMap<i64, SystemTime>, tokio_postgres::Error> =
            marks.collect();
        let marks = marks.context("read what was forgotten")?;
        let last = marks.values().max().copied();
        self.forgotten.replace(marks);
        Ok(last)
    }

    /// Says that what was forgotten until then is not in the memory of the holder of the slot any more.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn say_left_out(&self, until: SystemTime) -> Result<()> {
        let client = self.session(&self.client).await?;
        let sql = "update holder set forgotten_seen = $3 \
                   where slot = $1 and name = $2 and forgotten_seen is distinct from $3";
        let holder = &self.claimant.holder;
        let values: [&(dyn ToSql + Sync); 3] = [&holder.slot, &holder.name, &until];
        let said = client.execute(sql, &values).await;
        said.context("say what was left out")?;
        Ok(())
    }

    /// Reads what the last [checkpoint](Self::save_checkpoint) of this slot says about a large transaction; `None`
    /// where it says nothing, or under other rules.
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

    /// Saves a checkpoint, before the slot learns of it. When this returns, it is durable.
    pub async fn save_checkpoint(&self, slot: &str, checkpoint: &Checkpoint<'_>) {
        let Checkpoint {
            identity,
            confirmed,
            progress,
            rules,
            off,
        } = checkpoint;
        let commit_lsn = progress.map(|progress| progress.commit_lsn.to_string());
        let events = progress.map(|progress| i64::try_from(progress.events).unwrap_or(i64::MAX));
        let rules = progress.map(|_| *rules);
        let turned = off.turned(*confirmed);
        let of = |off: bool| {
            turned
                .iter()
                .filter(move |(_, to)| (*to != Switch::On) == off)
        };
        let ids = |off: bool| -> Vec<String> {
            of(off).map(|(hook, _)| hook.as_str().to_owned()).collect()
        };
        let keeps: Vec<bool> = of(true).map(|(_, to)| *to == Switch::Kept).collect();
        let sql = include_str!("../../sql/store/save_checkpoint.sql");
        self.execute(
            &self.checkpoints,
            "note the progress",
            sql,
            &[
                &slot,
                &identity.system_identifier,
                &i64::from(identity.timeline),
                &Lsn::to_string(confirmed),
                &commit_lsn,
                &events,
                &rules,
                &ids(true),
                &ids(false),
                &off.table(*confirmed),
                &keeps,
            ],
        )
        .await;
        off.noted(*confirmed);
    }

    /// Where the WAL ends by now, as far as it is on the disk: behind everything that was saved before.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn wal_end(&self) -> Result<Lsn> {
        let client = self.session(&self.checkpoints).await?;
        let sql = "select pg_current_wal_flush_lsn()::text";
        let row = client.query_one(sql, &[]).await;
        let row = row.context("ask where the WAL ends")?;
        row.try_get::<_, &str>(0)?
            .parse()
            .context("ask where the WAL ends")
    }

    /// Reads what was noted of the hooks where the slot stands; `None` where no checkpoint has been saved yet.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn noted_hooks(&self, slot: &str) -> Result<Option<NotedHooks>> {
        let client = self.session(&self.client).await?;
        let sql = "select p.hook_table, o.hook, o.keeps from progress as p \
                   left join off_hook as o on o.slot = p.slot where p.slot = $1";
        let rows = client.query(sql, &[&slot]).await;
        let rows = rows.context("read which hooks were off")?;
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let off = rows.iter().filter_map(|row| {
            let id = row.try_get::<_, Option<String>>(1).transpose()?;
            let switch = row.try_get(2).map(|keeps| match keeps {
                true => Switch::Kept,
                false => Switch::Off,
            });
            Some((id, switch))
        });
        let off = off.map(|(id, switch)| Ok((HookId::new(id?, false), switch?)));
        Ok(Some(NotedHooks {
            table: first.try_get(0)?,
            off: off.collect::<Result<_>>()?,
        }))
    }

    /// Reads what messages are signed with. The first rowhook that reads it also notes where the WAL stands, because
    /// messages before that were written by the functions of an older one, which did not sign.
    ///
    /// # Errors
    /// When the table cannot be read or written to.
    pub async fn message_key(&self) -> Result<MessageKey> {
        let sql = "update message_key set since = pg_current_wal_insert_lsn() where since is null";
        self.execute_once(&self.client, sql, &[]).await?;
        let client = self.session(&self.client).await?;
        let sql = "select key, since::text from message_key";
        let row = client.query_one(sql, &[]).await;
        let row = row.context("read what messages are signed with")?;
        let since: String = row.try_get(1)?;
        Ok(MessageKey::new(row.try_get(0)?, since.parse()?))
    }

    /// Records that a gap was found. Returns when it was found first, or `None` where all hooks have been told of it.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn find_gap(&self, slot: &str) -> Result<Option<SystemTime>> {
        let client = self.session(&self.client).await?;
        let sql = "update progress set gap_found = coalesce(gap_found, clock_timestamp()) where slot = $1 and gap_told is null returning gap_found";
        let row = match client.query_opt(sql, &[&slot]).await {
            // The tables of an earlier rowhook, which are not changed before the gap is accepted.
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => {
                let sql = "update progress set gap_told = clock_timestamp() where slot = $1 and gap_told is null returning gap_told";
                client.query_opt(sql, &[&slot]).await
            }
            found => found,
        };
        let row = row.context("note a gap")?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Records that all hooks have been told of the gap, or have it parked.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn tell_gap(&self, slot: &str) -> Result<()> {
        let sql =
            "update progress set gap_told = coalesce(gap_told, clock_timestamp()) where slot = $1";
        self.execute_once(&self.client, sql, &[&slot]).await?;
        Ok(())
    }

    /// The hook table of the application has this name now.
    pub fn follow_hook_table(&self, name: &TableName) {
        if let Some(table) = &mut *lock(&self.hook_table) {
            table.columns.table = name.clone();
        }
    }

    /// Forgets which hooks are off: another table holds the hooks now, and its ids are others.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn forget_off_hooks(&self) -> Result<()> {
        let sql = "delete from off_hook where slot = $1";
        self.execute_once(&self.client, sql, &[&self.holder().slot])
            .await?;
        Ok(())
    }

    /// Switches a hook off, and emits `hook.disabled` in the same transaction. For a hook that cannot be switched off,
    /// because it is one of the file or its table has no column for that, the event is emitted all the same.
    pub async fn disable(&self, disabling: &Disabling<'_>) {
        let what_is_done = "disable a hook";
        let id = disabling.hook.id.as_str();
        let (switch_off, message, is_deleted) = {
            let table = lock(&self.hook_table);
            let table = table.as_ref();
            (
                disabling.switch_off(table),
                disabling.message(table),
                disabling.deletes(table),
            )
        };
        let charset = self.charset().await;
        let reason = charset.hold(disabling.reason);
        let act = disabling.act(is_deleted);
        let after = serde_json::Value::Object(act.after).to_string();
        let after = charset.hold(&after);
        let record = "insert into audit (actor, what, hook, owner, after) \
                      select 'rowhook', $2::text, $1::text, $3::text, $4::text::jsonb";
        let on_record: [&(dyn ToSql + Sync); 4] = [&id, &act.what, &act.owner, &after];
        match switch_off {
            // The hook's row is changed before the message is written, so the hook does not get the event itself.
            Some(sql) => {
                // A sender that has lost the hook knows no better than whoever has it now.
                let holder = &self.claimant.holder;
                let has = holder.partition.map_or(String::new(), |number| {
                    format!(" and exists (select from partition where slot = $9 and epoch::text = $10 and number = {number})")
                });
                let sql = format!(
                    "with disabled as ({sql}{has} returning 1), \
                     act as ({record} from disabled) \
                     select send_message($6::text, $7::bytea), send_message($8::text, ''::bytea) from disabled"
                );
                let [id, what, owner, after] = on_record;
                let message = message.as_bytes();
                let mut values: Vec<&(dyn ToSql + Sync)> =
                    vec![id, what, owner, after, &reason, &PREFIX, &message, &AUDITED];
                if holder.partition.is_some() {
                    values.extend([&holder.slot as &(dyn ToSql + Sync), &holder.name]);
                }
                self.execute_when_seen(what_is_done, &sql, &values).await;
            }
            None => {
                let sql =
                    format!("with act as ({record}) select send_message($5::text, $6::bytea)");
                let [id, what, owner, after] = on_record;
                let values: [&(dyn ToSql + Sync); 6] =
                    [id, what, owner, after, &PREFIX, &message.as_bytes()];
                self.execute(&self.client, what_is_done, &sql, &values)
                    .await;
            }
        }
    }

    /// Deletes some of the deliveries that are older than `retention`: dead ones, and parked ones of the hooks in
    /// `orphaned`. Returns how many they were, and where the parked ones stood.
    ///
    /// # Errors
    /// When the tables cannot be written to; then nothing is deleted.
    pub async fn forget(&self, orphaned: &[&str], retention: Duration) -> Result<Forgotten> {
        let mut client = self.session(&self.client).await?;
        let forgotten = batch::forget(&mut client, orphaned, retention).await;
        forgotten.context("delete what is older than the retention")
    }

    /// Writes attempts to the history, and deletes the successes that are too many by now.
    ///
    /// # Errors
    /// When the tables cannot be written to; the attempts are lost then.
    pub async fn record_attempts(
        &self,
        attempts: &[Attempt],
        rules: &config::History,
    ) -> Result<()> {
        let client = self.session(&self.history).await?;
        attempts::record(&client, attempts, rules).await
    }

    /// Deletes the attempts that are older than the history is kept.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn forget_attempts(&self, rules: &config::History) -> Result<()> {
        let client = self.session(&self.history).await?;
        attempts::forget(&client, rules).await
    }

    /// Reads which hooks fail, and for how long they have had no success, as [`Write::FailingSince`] has recorded it.
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

    /// Records why a hook cannot be used: in its row, or beside the application's table; `None`: it can be used again.
    pub async fn mark_invalid(&self, hook: &HookId, invalid: Option<&str>) {
        let is_theirs = lock(&self.hook_table).is_some();
        match invalid {
            Some(reason) if is_theirs => self.note_invalid(hook, reason, false).await,
            _ => self.forget_invalid(hook).await,
        }
        if is_theirs {
            return;
        }
        let invalid = match invalid {
            Some(invalid) => Some(self.charset().await.hold(invalid)),
            None => None,
        };
        let sql = "with marked as (update hook set invalid = $2 where id::text = $1 and invalid is distinct from $2) \
                   select from hook where id::text = $1";
        self.execute_when_seen("mark a hook", sql, &[&hook.as_str(), &invalid])
            .await;
    }

    /// Claims a share of a hook's deliveries that are due, and reads what may come along behind them. What is claimed
    /// is due again after `lease`.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn claim(&self, hook: &HookId, share: Share, lease: Duration) -> Result<Claimed> {
        let (address, schema) = (&self.address, &self.schema);
        self.claims
            .claim(address, schema, self.holder(), hook, share, lease)
            .await
    }

    /// Executes a statement about a row of the stream, which can be ahead of what other sessions see: where there is no
    /// such row, it is tried again for a moment.
    async fn execute_when_seen(&self, what: &str, sql: &str, values: &[&(dyn ToSql + Sync)]) {
        let mut unseen = 0;
        while self.execute(&self.client, what, sql, values).await == 0 && unseen < LOOKS {
            unseen += 1;
            tokio::time::sleep(PAUSES.pause(unseen)).await;
        }
    }

    /// Executes a statement until it succeeds, and returns the number of its rows.
    async fn execute(
        &self,
        session: &Session,
        what: &str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> u64 {
        let mut failures = 0;
        loop {
            let error = match self.execute_once(session, sql, values).await {
                Ok(rows) => return rows,
                Err(error) => error,
            };
            failures += 1;
            let pause = PAUSES.pause(failures);
            tracing::warn!(error = format!("{error:#}"), retry_in = ?pause, "could not {what}; it is tried again");
            tokio::time::sleep(pause).await;
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

    /// Which characters the database can hold, as soon as it says so.
    async fn charset(&self) -> Charset {
        let mut failures = 0;
        loop {
            let asked =
                async { anyhow::Ok(Charset::of(&*self.session(&self.client).await?).await?) };
            match asked.await {
                Ok(charset) => return charset,
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "could not read the encoding of the database; it is tried again"
                ),
            }
            failures += 1;
            tokio::time::sleep(PAUSES.pause(failures)).await;
        }
    }

    /// The client of a session, as soon as nobody else uses it.
    async fn session<'a>(&self, session: &'a Session) -> Result<MappedMutexGuard<'a, Client>> {
        session.client(&self.address, &self.schema).await
    }
}

/// The writes of a store that are not written.
#[cfg(test)]
pub(crate) struct Unwritten(mpsc::UnboundedReceiver<Signed>);

#[cfg(test)]
impl Unwritten {
    /// The next of those that were handed over, if there is one.
    pub(crate) fn try_recv(&mut self) -> Option<Write> {
        self.0.try_recv().ok().map(|signed| signed.write)
    }
}
