//! How a session becomes attached: the database is checked, the slot taken, and on the first time everything loaded.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use sha2::{Digest, Sha256};
use tokio::{sync::watch, time::timeout};
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    context::SessionContext,
    control::{end_own_walsender, until_free},
    following::Following,
    health::Link,
    policy::Superseded,
    progress::ProgressRecorder,
    sessions::{Sessions, UnfitStandby},
    shutdown::{OpenStream, Shutdown},
    tables::TableWatch,
};
use crate::{
    backoff::Backoff,
    config::Config,
    postgres::{
        Lsn,
        stream::{self, Identity, LastWord, Stream},
    },
    reader::{Reader, past::Past},
    setup::{
        LockPolicy,
        catalog::{Facts, Slot},
        check::misfits,
        gap::{self, Gap},
        plan::{Refused, counted_as_standby, hidden_hooks, newer_tables, plan, unfit_slot},
        setup,
    },
};

/// The interval between looks whether the deliveries about a gap are settled.
const SETTLED_LOOK: Duration = Duration::from_millis(50);

/// How much of the stream is kept in memory, in bytes, while it is read for what changed the hooks. It is less than the
/// stream reads ahead, so that there is always room for more.
const KEPT: usize = 4 << 20;
/// How long it takes at most until the server has noticed that a stream was closed.
const RELEASE: Duration = Duration::from_secs(5);
/// How long to wait before it is noted again that a gap was found.
const GAP_PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Opens sessions, and remembers from one to the next what they have in common.
pub(super) struct Attaching<'a> {
    context: SessionContext<'a>,
    /// The tables match the configuration. Checked only once: an application that changes its tables while we run must
    /// not stop its own webhooks.
    tables_checked: bool,
    /// `None` until the first session has attached.
    loaded: Option<Loaded>,
    /// What has been recorded as confirmed, and so may be confirmed to the server.
    recorded: watch::Sender<Lsn>,
    /// The slot goes on at a standby that is promoted, because that copies it or has it. So it must have what we note
    /// before that is confirmed to the slot.
    copied: bool,
    /// What is known of the tables of `[events]`.
    tables: TableWatch,
    /// The control session of an attempt that found the slot held by another rowhook.
    standing_by: Option<Client>,
}

/// What the first session has taken up.
struct Loaded {
    /// The server of the last session.
    identity: Identity,
    /// What the events of a transaction are numbered by.
    numbering: String,
    /// Writes history. Not started earlier, because there may be no table before.
    _historian: AbortOnDropHandle<()>,
}

impl<'a> Attaching<'a> {
    pub(super) fn new(context: SessionContext<'a>) -> Self {
        Self {
            context,
            tables_checked: false,
            loaded: None,
            recorded: watch::Sender::new(Lsn::ZERO),
            copied: false,
            tables: TableWatch::default(),
            standing_by: None,
        }
    }

    /// Opens a session and takes the slot. `None`: it was time to stop before the database answered.
    ///
    /// # Errors
    /// What kept the session from opening. What the attempt has found out is kept for the next one.
    pub(super) async fn attach(&mut self, reader: &mut Reader) -> Result<Option<Following<'_>>> {
        let database = &self.context.config.database;
        let (sessions, notifications) = tokio::select! {
            opened = Sessions::open(database, self.loaded.is_some()) => opened?,
            () = self.context.stop.cancelled() => return Ok(None),
        };
        self.prepare(&sessions, reader).await?;
        let (mut stream, mut identity) = match self.take_slot().await {
            Ok(taken) => taken,
            Err(error) => return Err(self.not_taken(error, sessions, reader).await?),
        };
        // Again, since the slot may have been made anew just before it was ours. Nothing is confirmed to it yet.
        if let Some(gap) = find_gap(&sessions, self.context.config).await? {
            return Err(self.report_gap(&gap, &sessions.control, reader).await?);
        }
        self.recognize(&identity)?;
        self.tables.note(&self.context, reader.followed()).await;
        // Before the stream is read in advance: what it tells of these tables is of use then too.
        reader.learn_published(&sessions.control).await?;
        // The hooks are read after the slot is ours: whatever changes from now on comes through the stream.
        if self.loaded.is_some() {
            ensure!(self.context.store.holds().await?, Superseded::SlotTaken);
            reader.find_due().await?;
        } else {
            let loading = load(&self.context, reader, &sessions, &identity, &mut stream);
            let stands_at_begin = tokio::select! {
                loaded = loading => loaded?,
                error = sessions.until_lost() => return Err(error.into()),
                () = self.context.stop.cancelled() => return Ok(None),
            };
            self.loaded = Some(Loaded::new(&self.context, &identity));
            if !stands_at_begin {
                let recorded = *self.recorded.borrow();
                let last = LastWord {
                    recorded,
                    before: recorded,
                    ..LastWord::default()
                };
                stream.close(last).await;
                // Where another takes it first, we are like any that lost the slot.
                let free = until_free(sessions.source(), self.context.slot());
                let _ = timeout(RELEASE, free).await;
                (stream, identity) = match self.take_slot().await {
                    Ok(taken) => taken,
                    Err(error) => return Err(self.not_taken(error, sessions, reader).await?),
                };
                self.recognize(&identity)?;
            }
        }
        reader.learn_message_key().await?;
        sessions.limit_waits().await?;
        // Again, as late as can be: a table may have been made meanwhile.
        self.learn_tables(&sessions.control, reader).await?;
        self.tables.note(&self.context, reader.followed()).await;
        let Some(Loaded {
            identity: known,
            numbering,
            ..
        }) = &mut self.loaded
        else {
            return Ok(None);
        };
        *known = identity;
        let identity = known;
        reader.begin_session(identity.system_identifier.clone());
        self.context.health.set_link(Link::Attached);
        tracing::info!(slot = self.context.slot(), flushed = %identity.flushed, "attached");
        Ok(Some(Following {
            context: &self.context,
            progress: ProgressRecorder {
                context: &self.context,
                identity,
                numbering,
                recorded: &self.recorded,
                reached: self.copied.then(|| stream.reached()),
            },
            tables: &mut self.tables,
            stream,
            sessions,
            notifications,
        }))
    }

    /// Learns which table each name of hooks.toml stands for.
    async fn learn_tables(&mut self, client: &Client, reader: &Reader) -> Result<()> {
        let learned = self.tables.learn(client, &self.context, reader.followed());
        learned.await.context("look at the tables of events")
    }

    /// Waits until it is worth trying again: for `pause`, or until the slot is free where another rowhook holds it.
    pub(super) async fn wait(&mut self, pause: Duration) {
        match self.standing_by.take() {
            Some(client) => until_free(&client, self.context.slot()).await,
            None => tokio::time::sleep(pause).await,
        }
    }

    /// Ends all sessions. What the historian was writing just now is lost, and only that.
    pub(super) fn into_shutdown(self, stream: Option<Stream>) -> Shutdown {
        let open = stream.zip(self.loaded).map(|(stream, loaded)| OpenStream {
            stream,
            identity: loaded.identity,
            numbering: loaded.numbering,
            copied: self.copied,
        });
        Shutdown {
            open,
            off: self.context.off,
            recorded: *self.recorded.borrow(),
        }
    }

    /// Checks that no changes were lost and that the database is as it has to be. With `setup`, makes it so.
    async fn prepare(&mut self, sessions: &Sessions, reader: &mut Reader) -> Result<()> {
        let (config, client) = (self.context.config, &sessions.control);
        let mut facts = read_facts(sessions, config).await?;
        UnfitStandby::check(&facts, self.loaded.is_some())?;
        let source = facts.source();
        self.copied = source.in_recovery || config.database.failover && source.copies_slots();
        if let Some(gap) = facts.gap(config) {
            return Err(self.report_gap(&gap, client, reader).await?);
        }
        // One that has been attached goes on, as the versions of an upgrade do that stand by each other.
        if self.loaded.is_none()
            && let Some(problem) = newer_tables(config, &facts)
        {
            return Err(Refused::new(config, [problem]).into());
        }
        // Whoever has set it up: nothing is read from a slot that is not ours, and no commit waits for us.
        if let Some(problem) = unfit_slot(config, &facts) {
            return Err(Refused::new(config, [problem]).into());
        }
        if let Some(counted) = counted_as_standby(config, &facts) {
            return Err(counted.into());
        }
        // Before any is published, since it may be renamed as soon as that is so; and, after a stop, before the stream
        // is read, which may tell of a table under a name that it had meanwhile.
        if self.loaded.is_none() {
            self.tables.resume(&self.context, reader.followed()).await;
        }
        self.learn_tables(client, reader).await?;
        // Where nothing is missing, a standby that takes over need not ask twice.
        if self.context.setup && !plan(config, &facts).is_ok_and(|steps| steps.is_empty()) {
            self.set_up(&facts).await?;
            facts = read_facts(sessions, config).await?;
        }
        if !self.tables_checked {
            if let Some(problem) = hidden_hooks(config, &facts) {
                return Err(Refused::new(config, [problem]).into());
            }
            check_tables(sessions, config, &facts).await?;
            self.tables_checked = true;
        }
        if let (Some(confirmed), None) = (recorded_here(&facts), &self.loaded) {
            // The slot may be behind our record: it is confirmed later, and a crash loses its newest confirmations.
            self.context.ledger.idle(confirmed);
            self.recorded.send_replace(confirmed);
        }
        Ok(())
    }

    /// Creates what is missing. Once a session has run, a table that is gone must not keep the others from being heard.
    async fn set_up(&self, facts: &Facts) -> Result<()> {
        let config = self.context.config;
        let warn = |text: &str| tracing::warn!("{text}");
        match setup(config, LockPolicy::default(), &warn).await {
            Ok(steps) => {
                // On a slot that was there before, a table that joins was not heard until now.
                for step in steps.iter().filter(|_| facts.slot.is_some()) {
                    tracing::info!("set up: {}", step.reason);
                }
                Ok(())
            }
            Err(crate::setup::Error::Refused(refused)) if self.loaded.is_some() => {
                tracing::warn!("not everything could be set up: {refused}");
                Ok(())
            }
            // The tables are looked at again while we are attached.
            Err(locked @ crate::setup::Error::Locked { .. }) if facts.slot.is_some() => {
                tracing::warn!("not everything could be set up, tried again later: {locked}");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Delivers the gap to the hooks that listen to it, unless that has been done before. Returns the error to end
    /// with.
    ///
    /// # Errors
    /// When the hooks cannot be read.
    async fn report_gap(
        &self,
        gap: &Gap,
        client: &Client,
        reader: &mut Reader,
    ) -> Result<anyhow::Error> {
        let grace = self.context.config.delivery.grace;
        let told = tokio::select! {
            told = timeout(grace, self.tell_of_gap(gap, client, reader)) => told,
            () = self.context.stop.cancelled() => Ok(Ok(())),
        };
        match told {
            Ok(told) => told?,
            Err(_) => tracing::warn!(
                "not every hook could be told of the gap in time; those on rowhook.gap are told at the next start"
            ),
        }
        Ok(anyhow!("{}", gap.problem()))
    }

    /// Waits until each hook on `rowhook.gap` has been told, or has that parked. A process that is killed meanwhile
    /// leaves it to the next, which repeats it with the same ids.
    async fn tell_of_gap(&self, gap: &Gap, client: &Client, reader: &mut Reader) -> Result<()> {
        let store = &self.context.store;
        // One after the other, where another rowhook has found it too. The lock is given up with the session.
        let turn = "select pg_advisory_lock(hashtextextended($1::text, 0))";
        let key = format!("rowhook gap of {}", gap.slot);
        client
            .query(turn, &[&key])
            .await
            .context("take the turn to tell of a gap")?;
        let mut failures = 0;
        let found = loop {
            // Nobody holds the slot, so it is on us to deliver this. It is delivered only if that can be recorded.
            let found = async {
                store.take_over().await?;
                store.find_gap(&gap.slot).await
            };
            match found.await {
                Ok(found) => break found,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "hooks cannot be told of the gap yet"
                    );
                    tokio::time::sleep(GAP_PAUSES.pause(failures)).await;
                }
            }
        };
        let Some(found) = found else {
            return Ok(());
        };
        if self.loaded.is_none() {
            let past = reader.load_hooks(client, &gap.slot).await?;
            reader.end_undoing(&past, client).await;
        }
        let system = client
            .query_one(
                "select system_identifier::text from pg_control_system()",
                &[],
            )
            .await;
        let system: String = system
            .and_then(|row| row.try_get(0))
            .context("ask for the cluster")?;
        let ledger = reader.deliver_gap(gap, &system, found).await?;
        let mut ticks = tokio::time::interval(SETTLED_LOOK);
        while ledger.unsettled() > 0 {
            ticks.tick().await;
        }
        store.tell_gap(&gap.slot).await
    }

    /// Opens the stream.
    async fn take_slot(&self) -> Result<(Stream, Identity), stream::Error> {
        let SessionContext {
            config,
            stream_name,
            ..
        } = &self.context;
        // From what is recorded, and not from what is settled: opening the stream confirms where it begins.
        let from = *self.recorded.borrow();
        let subscription = config.database.subscription();
        Stream::open(config.database.source(), &subscription, stream_name, from).await
    }

    /// What to end with when the stream could not be opened. Where another session holds the slot, ends it if it is
    /// our own last one, and keeps the control session to wait with if it is not. Where the slot is gone or lost since
    /// we looked, that is a gap.
    async fn not_taken(
        &mut self,
        error: stream::Error,
        sessions: Sessions,
        reader: &mut Reader,
    ) -> Result<anyhow::Error> {
        match &error {
            stream::Error::Occupied { slot } => {
                let ours =
                    end_own_walsender(sessions.source(), slot, &self.context.stream_name).await?;
                ensure!(ours || self.loaded.is_none(), Superseded::SlotTaken);
                let source = sessions.standby.unwrap_or(sessions.control);
                self.standing_by = Some(source).filter(|_| !ours);
            }
            stream::Error::Refused { .. } => {
                if let Some(gap) = find_gap(&sessions, self.context.config).await? {
                    return self.report_gap(&gap, &sessions.control, reader).await;
                }
            }
            _ => {}
        }
        Ok(error.into())
    }

    /// Checks that this is the server of the last session, with the history that we have read.
    fn recognize(&self, identity: &Identity) -> Result<()> {
        let same = |known: &Identity| {
            known.system_identifier == identity.system_identifier
                && known.timeline == identity.timeline
                && self.context.ledger.confirmed() <= identity.flushed
        };
        let known = self.loaded.as_ref().map(|loaded| &loaded.identity);
        ensure!(known.is_none_or(same), Superseded::ServerReplaced);
        Ok(())
    }
}

impl Loaded {
    fn new(context: &SessionContext<'_>, identity: &Identity) -> Self {
        let (history, store) = (Arc::clone(&context.history), Arc::clone(&context.store));
        let writing = async move { history.keep_writing(&store).await };
        Self {
            numbering: numbering(context.config, identity),
            identity: identity.clone(),
            _historian: AbortOnDropHandle::new(tokio::spawn(writing.in_current_span())),
        }
    }
}

/// Takes up what there is from before we started. Returns whether the stream still is where it began; if not, it has to
/// be opened again.
async fn load(
    context: &SessionContext<'_>,
    reader: &mut Reader,
    sessions: &Sessions,
    identity: &Identity,
    stream: &mut Stream,
) -> Result<bool> {
    let client = &sessions.control;
    let (slot, ledger) = (context.slot(), context.ledger);
    // Without a record of our own we begin where the slot stands, and what is recorded is never before that.
    let standing = Slot::read(sessions.source(), slot).await;
    let standing = standing.context("look at the slot")?;
    if let Some(confirmed) = standing.and_then(|slot| slot.confirmed) {
        ledger.idle(confirmed);
    }
    let numbering = numbering(context.config, identity);
    if let Some(progress) = context.store.progress(slot, &numbering).await? {
        ledger.resume(progress);
    }
    let mut past = reader.load_hooks(client, slot).await?;
    let stands_at_begin = undo(reader, &mut past, client, stream).await?;
    reader.load_backlog().await?;
    let hooks = reader.count_hooks();
    tracing::info!(hooks, changed = past.changed(), "hooks loaded");
    Ok(stands_at_begin)
}

/// Reads the stream up to where the hooks were loaded, and undoes what changed them. What is not too much for memory is
/// put back, so that it comes again. Returns whether all of it was.
async fn undo(
    reader: &mut Reader,
    past: &mut Past,
    client: &Client,
    stream: &mut Stream,
) -> Result<bool> {
    let mut kept = Some(Vec::new());
    let mut bytes = 0;
    loop {
        let batch = stream.next_batch().await?;
        let is_last = reader.undo(past, &batch.received, client).await?;
        bytes += batch.bytes();
        match &mut kept {
            Some(kept) if bytes <= KEPT => kept.push(batch),
            _ => kept = None,
        }
        if is_last {
            break;
        }
    }
    reader.end_undoing(past, client).await;
    let stands_at_begin = kept.is_some();
    stream.put_back(kept.unwrap_or_default());
    Ok(stands_at_begin)
}

async fn read_facts(sessions: &Sessions, config: &Config) -> Result<Facts> {
    Facts::read(&sessions.control, sessions.standby.as_ref(), config)
        .await
        .context("read the catalog")
}

async fn find_gap(sessions: &Sessions, config: &Config) -> Result<Option<Gap>> {
    let found = gap::look(&sessions.control, sessions.standby.as_ref(), config).await;
    found.context("look whether the slot goes on where we were")
}

/// Checks that the tables match the configuration. Once a session has read from the slot, a table that was changed
/// since must not keep the others from being heard: what cannot be told of it is then told of each event.
async fn check_tables(sessions: &Sessions, config: &Config, facts: &Facts) -> Result<()> {
    let misfits = misfits(&sessions.control, config, facts)
        .await
        .context("look at the tables")?;
    if facts.progress.is_none() {
        ensure!(misfits.is_empty(), "{}", misfits.join("\n"));
    }
    for misfit in misfits {
        tracing::error!("{misfit}");
    }
    Ok(())
}

/// What was recorded as confirmed, if that was on this server and timeline.
fn recorded_here(facts: &Facts) -> Option<Lsn> {
    let (server, known) = (&facts.server, facts.progress.as_ref()?);
    let is_here = known.system_identifier == server.system_identifier
        && Some(known.timeline) == server.timeline;
    is_here.then_some(known.confirmed)
}

/// A name for everything that the numbers of events depend on: with other rules, or on another server, the same number
/// is another event.
fn numbering(config: &Config, identity: &Identity) -> String {
    let rules: Vec<_> = config
        .events
        .iter()
        .map(|rule| (&rule.name, &rule.source))
        .collect();
    let Identity {
        system_identifier,
        timeline,
        ..
    } = identity;
    // The number says how events are numbered. Change it with that.
    let hash = Sha256::digest(format!("2 {system_identifier} {timeline} {rules:?}"));
    hex::encode(hash)
}
