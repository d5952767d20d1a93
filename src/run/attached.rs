//! One session with the server after the other, each from connecting to its end.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use tokio::{sync::watch, time::timeout};
use tokio_postgres::Client;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Options, Pause,
    control::{self, end_own_walsender, until_free, until_lost, watch_slot},
    health::{Health, Link},
    stop::LastWord,
};
use crate::{
    config::Config,
    delivery::{Desk, ledger::Ledger},
    history::History,
    hook::off::OffHooks,
    postgres::{
        Lsn,
        address::Address,
        connect::Notifications,
        stream::{self, Batch, Identity, Stream},
    },
    reader::Reader,
    setup::{
        Patience,
        catalog::{Facts, read_slot},
        check::misfits,
        plan::plan,
        setup,
    },
    store::{Due, Note, Store},
};

/// How often it is noted how far we are.
const PROGRESS: Duration = Duration::from_millis(250);
/// How often deliveries that are older than the retention are deleted.
const SWEEP: Duration = Duration::from_secs(60);
/// How often we look whether what was to be told has been told.
const SETTLED_LOOK: Duration = Duration::from_millis(50);
/// So many bytes of WAL that hold no events are worth a note.
const IDLE_WAL: u64 = 16 << 10;

/// What is in memory is of a past that is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Outlived {
    /// The server has another past than the one that this process knows.
    #[error("the server was replaced by a standby or a backup")]
    ServerChanged,
    /// Another rowhook has gone on from where we were, with hooks that we have not heard of.
    #[error("another rowhook has had the slot meanwhile")]
    Overtaken,
}

/// What every session needs.
pub(super) struct Attached<'a> {
    config: &'a Config,
    address: &'a Address,
    ledger: &'a Ledger,
    store: Arc<Store>,
    history: Arc<History>,
    health: &'a Health,
    /// Writes history, from the first session on: before that there may be no table.
    historian: Option<AbortOnDropHandle<()>>,
    stop: &'a CancellationToken,
    /// What our replication sessions are called: a name that no other process has.
    name: String,
    setup: bool,
    hooks_loaded: bool,
    /// What events are numbered by.
    rules: String,
    /// Which hooks are off, which is noted with the position.
    off: OffHooks,
    /// The tables have been found to be as the configuration says. Looked at once: an application that changes them while
    /// we run must not stop its own webhooks.
    fits: bool,
    /// The session that has found the slot held by somebody else.
    standing_by: Option<Client>,
    /// The server of the last session.
    identity: Option<Identity>,
    /// What has been noted as confirmed, and may be confirmed.
    noted: watch::Sender<Lsn>,
}

impl<'a> Attached<'a> {
    /// Not attached yet.
    pub(super) fn new(
        config: &'a Config,
        address: &'a Address,
        desk: &Desk,
        ledger: &'a Ledger,
        off: OffHooks,
        options: &'a Options,
        name: String,
    ) -> Self {
        Self {
            config,
            address,
            ledger,
            store: Arc::clone(&desk.store),
            history: Arc::clone(&desk.history),
            health: &options.health,
            historian: None,
            stop: &options.stop,
            name,
            setup: options.setup,
            hooks_loaded: false,
            rules: String::new(),
            off,
            fits: false,
            standing_by: None,
            identity: None,
            noted: watch::Sender::new(Lsn::ZERO),
        }
    }

    /// The end of all sessions. What the historian was writing just now is lost, and only that.
    pub(super) fn into_last_word(self) -> LastWord {
        LastWord {
            stream: None,
            identity: self.identity,
            rules: self.rules,
            off: self.off,
            noted: *self.noted.borrow(),
        }
    }

    /// One session, from connecting to its end. `Ok` means that it was stopped, and gives back the open stream if there is
    /// one; every error ends the session.
    pub(super) async fn attach(
        &mut self,
        reader: &mut Reader,
        pause: &mut Pause,
    ) -> Result<Option<Stream>> {
        let (client, notifications) = tokio::select! {
            opened = control::open(self.address, &self.config.database.schema) => opened?,
            () = self.stop.cancelled() => return Ok(None),
        };
        let facts = self.facts(&client).await?;
        let known = self.refuse_gap(&facts, &client, reader).await?;
        // Where nothing is missing, a standby that takes over need not ask twice.
        if self.setup && !plan(self.config, &facts).is_ok_and(|steps| steps.is_empty()) {
            setup(self.config, Patience::default(), &|text| {
                tracing::warn!("{text}")
            })
            .await?;
        }
        if !self.fits {
            self.fit(&client).await?;
            self.fits = true;
        }
        if let (Some(known), false) = (known, self.hooks_loaded) {
            // The slot may be behind our note: it is told of it later, and forgets the last in a crash.
            self.ledger.idle(known);
            self.noted.send_replace(known);
        }
        // From what is noted, and not from what is settled: opening the stream confirms where it begins.
        let noted = *self.noted.borrow();
        let opened = Stream::open(self.address, &self.config.database, &self.name, noted).await;
        let (stream, identity) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if let stream::Error::Occupied { slot } = &error {
                    let ours = end_own_walsender(&client, slot, &self.name).await?;
                    ensure!(ours || !self.hooks_loaded, Outlived::Overtaken);
                    self.standing_by = Some(client).filter(|_| !ours);
                }
                return Err(error.into());
            }
        };
        self.recognize(&identity)?;
        // The hooks are read after the slot is ours: whatever changes from now on comes through the stream.
        if self.hooks_loaded {
            ensure!(self.store.holds().await?, Outlived::Overtaken);
            reader.look_for_due().await?;
        } else {
            self.load(reader, &client, &identity).await?;
        }
        self.historian.get_or_insert_with(|| {
            let (history, store) = (Arc::clone(&self.history), Arc::clone(&self.store));
            let writing = async move { history.keep_writing(&store).await };
            AbortOnDropHandle::new(tokio::spawn(writing))
        });
        reader.begin_session(identity.system_identifier.clone());
        // Reset here, not on exit: a session that once ran counts as success.
        *pause = Pause::default();
        self.health.link(Link::Attached);
        tracing::info!(slot = self.config.database.slot, flushed = %identity.flushed, "attached");
        self.identity = Some(identity);
        self.follow(stream, reader, &client, notifications).await
    }

    /// Waits until it is worth trying again: for `pause`, or, where somebody else holds the slot, until they do not.
    pub(super) async fn wait(&mut self, pause: Duration) {
        match self.standing_by.take() {
            Some(client) => until_free(&client, &self.config.database.slot).await,
            None => tokio::time::sleep(pause).await,
        }
    }

    /// Takes up what there is from before we started.
    async fn load(
        &mut self,
        reader: &mut Reader,
        client: &Client,
        identity: &Identity,
    ) -> Result<()> {
        let slot = &self.config.database.slot;
        self.rules = numbering(self.config, identity);
        // Without a note of our own we begin where the slot stands, and what is noted is never before that.
        let standing = read_slot(client, slot).await.context("look at the slot")?;
        if let Some(confirmed) = standing.and_then(|slot| slot.confirmed) {
            self.ledger.idle(confirmed);
        }
        if let Some(progress) = self.store.progress(slot, &self.rules).await? {
            self.ledger.resume(progress);
        }
        let hooks = reader.load_hooks(client, slot).await?;
        reader.load_backlog().await?;
        self.hooks_loaded = true;
        tracing::info!(hooks, "hooks loaded");
        Ok(())
    }

    /// Stops where changes were lost, after the hooks that listen to that have been told once.
    /// Otherwise returns where we were, if that is known.
    async fn refuse_gap(
        &self,
        facts: &Facts,
        client: &Client,
        reader: &mut Reader,
    ) -> Result<Option<Lsn>> {
        let Some(gap) = facts.gap(self.config) else {
            let server = &facts.server;
            let here = facts.known.as_ref().filter(|known| {
                known.system_identifier == server.system_identifier
                    && Some(known.timeline) == server.timeline
            });
            return Ok(here.map(|known| known.confirmed));
        };
        // Nobody has the slot, and we are the one who tells. That we have told is noted only if we can.
        if let Err(error) = self.store.take_over().await {
            tracing::warn!(
                error = format!("{error:#}"),
                "hooks cannot be told of the gap yet"
            );
            bail!("{}", gap.problem());
        }
        if let Some(found) = self.store.note_gap(&gap.slot).await? {
            if !self.hooks_loaded {
                reader.load_hooks(client, &gap.slot).await?;
            }
            reader
                .tell_gap(&gap, &facts.server.system_identifier, found)
                .await?;
            self.until_settled().await;
        }
        bail!("{}", gap.problem());
    }

    /// Waits until everything is delivered or parked, for as long as stopping may take.
    async fn until_settled(&self) {
        let settled = async {
            let mut ticks = tokio::time::interval(SETTLED_LOOK);
            while self.ledger.unsettled() > 0 {
                ticks.tick().await;
            }
        };
        if timeout(self.config.delivery.grace, settled).await.is_err() {
            tracing::warn!("not every hook could be told of the gap");
        }
    }

    /// Is it the server that we know, with the past that we know?
    fn recognize(&self, identity: &Identity) -> Result<()> {
        let same = |known: &Identity| {
            known.system_identifier == identity.system_identifier
                && known.timeline == identity.timeline
                && self.ledger.confirmed() <= identity.flushed
        };
        ensure!(
            self.identity.as_ref().is_none_or(same),
            Outlived::ServerChanged
        );
        Ok(())
    }

    /// Reads until the end of the session or the word to stop.
    async fn follow(
        &self,
        mut stream: Stream,
        reader: &mut Reader,
        client: &Client,
        mut notifications: Notifications,
    ) -> Result<Option<Stream>> {
        let mut confirmed = self.noted.subscribe();
        let (lost, notes) = (until_lost(client), self.note_progress());
        let watching = watch_slot(client, &self.config.database.slot, self.health);
        let overtaken = self.store.overtaken();
        tokio::pin!(lost, overtaken, notes, watching);
        let mut sweep = tokio::time::interval(SWEEP);
        stream.confirm(*confirmed.borrow_and_update());
        loop {
            let work = tokio::select! {
                batch = stream.next_batch() => Work::Read(batch?),
                _ = sweep.tick() => Work::ForgetOld,
                Some(payload) = notifications.recv() => Work::Call(payload),
                _ = confirmed.changed() => {
                    stream.confirm(*confirmed.borrow_and_update());
                    continue;
                }
                error = &mut lost => return Err(error.into()),
                () = &mut overtaken => return Err(Outlived::Overtaken.into()),
                never = &mut notes => match never {},
                never = &mut watching => match never {},
                () = self.stop.cancelled() => return Ok(Some(stream)),
            };
            // Whatever is done here, the others go on meanwhile: one of them may hold what it waits for.
            let working = work.done_by(reader, client);
            tokio::pin!(working);
            loop {
                tokio::select! {
                    done = &mut working => break done?,
                    _ = confirmed.changed() => stream.confirm(*confirmed.borrow_and_update()),
                    error = &mut lost => return Err(error.into()),
                    () = &mut overtaken => return Err(Outlived::Overtaken.into()),
                    never = &mut notes => match never {},
                    never = &mut watching => match never {},
                    () = self.stop.cancelled() => return Ok(Some(stream)),
                }
            }
        }
    }

    /// Notes, now and then, what is settled, and only then lets the slot hear of it.
    async fn note_progress(&self) -> Infallible {
        let mut last = None;
        // The last session may have ended over its note.
        let mut first = true;
        let mut ticks = tokio::time::interval(PROGRESS);
        loop {
            ticks.tick().await;
            let (confirmed, progress) = (self.ledger.confirmed(), self.ledger.progress());
            let moved = confirmed.0.saturating_sub(self.noted.borrow().0);
            // A note is itself WAL: without a threshold an idle database would never come to rest.
            let worth = moved >= IDLE_WAL || moved > 0 && (self.ledger.take_eventful() || first);
            let Some(identity) = self.identity.as_ref() else {
                continue;
            };
            if worth || progress.is_some() && progress != last {
                let note = Note {
                    identity,
                    confirmed,
                    progress,
                    rules: &self.rules,
                    off: &self.off,
                };
                self.store.note(&self.config.database.slot, &note).await;
                self.noted.send_replace(confirmed);
                (last, first) = (progress, false);
            }
        }
    }

    async fn facts(&self, client: &Client) -> Result<Facts> {
        Facts::read(client, self.config)
            .await
            .context("read the catalog")
    }

    async fn fit(&self, client: &Client) -> Result<()> {
        let facts = self.facts(client).await?;
        let misfits = misfits(client, self.config, &facts)
            .await
            .context("look at the tables")?;
        ensure!(misfits.is_empty(), "{}", misfits.join("\n"));
        Ok(())
    }
}

/// A name for everything that the numbers of events depend on: with other rules, or on another server, the same number is
/// another event.
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
    let hash = Sha256::digest(format!("{system_identifier} {timeline} {rules:?}"));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What there is to do for the reader.
enum Work {
    /// A batch of the stream has come.
    Read(Batch),
    /// It is time to look for what is too old.
    ForgetOld,
    /// Something was made due by hand.
    Call(String),
}

impl Work {
    async fn done_by(self, reader: &mut Reader, client: &Client) -> Result<()> {
        match self {
            Self::Read(Batch {
                received,
                room: _held,
            }) => return reader.read(received, client).await,
            Self::ForgetOld => {
                reader.dismiss_orphans(client).await?;
                forget_old(reader).await;
            }
            Self::Call(payload) => match Due::parse(&payload) {
                Ok(due) => reader.call(due),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "not understood"),
            },
        }
        Ok(())
    }
}

/// Deletes what is older than the retention. If that cannot be done now, there is another time.
async fn forget_old(reader: &mut Reader) {
    match timeout(control::PROBE, reader.forget_old()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(
            error = format!("{error:#}"),
            "old deliveries were not deleted; tried again later"
        ),
        Err(_) => tracing::warn!("deleting old deliveries took too long; tried again later"),
    }
}
