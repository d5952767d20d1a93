//! `rowhook run`: attaches, and stays attached until it is told to stop.
//!
//! The outer loop decides whether and when a session is opened again; the inner one reads a session to its end.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_postgres::Client;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    config::Config,
    delivery::{Desk, ledger::Ledger, send::Sender},
    history::History,
    journal::Journal,
    postgres::{
        Lsn,
        address::Address,
        catalog::{Facts, read_slot},
        check::misfits,
        connect,
        setup::{self, Patience, setup},
        stream::{self, Identity, Stream},
        types::SESSION,
    },
    reader::Reader,
    store::{Note, Store},
};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often we look whether the control session is still open.
const CONTROL_LOOK: Duration = Duration::from_millis(500);
/// How often we ask it for an answer, and how long we wait for one.
const CONTROL_PROBE: Duration = Duration::from_secs(10);
/// How often it is noted how far we are.
const PROGRESS: Duration = Duration::from_millis(250);
/// How often deliveries that are older than the retention are deleted.
const SWEEP: Duration = Duration::from_secs(60);
/// So long the end waits for history.
const LAST_HISTORY: Duration = Duration::from_secs(2);
/// So many bytes of WAL that hold no events are worth a note.
const IDLE_WAL: u64 = 16 << 10;
/// A standby looks so often whether the slot is free.
const STANDBY_PAUSE: Duration = Duration::from_secs(1);

/// What is handed in from outside.
pub struct Options {
    /// Make what is missing in the database.
    pub setup: bool,
    /// Who is told of what happens.
    pub journal: Journal,
    /// Cancelled when it is time to stop: then nothing more is read, what is in flight is finished within the grace period,
    /// and what is settled is confirmed.
    pub stop: CancellationToken,
}

/// Runs until `options.stop` is cancelled, or something needs a human.
///
/// # Errors
/// When something needs a human; the message says what to do.
pub async fn run(config: &Config, options: Options) -> Result<()> {
    // A server that is another than before, though it calls itself the same, has another past: nothing in memory fits it.
    while let Ended::ServerChanged = live(config, &options).await? {
        tracing::warn!("the server is another than before; starting anew from its slot");
    }
    Ok(())
}

/// How a life ended that nothing went wrong in.
enum Ended {
    Stopped,
    ServerChanged,
}

/// From the first session on, as long as the server is the same.
async fn live(config: &Config, options: &Options) -> Result<Ended> {
    let address = Address::parse(config.database.url.expose()).context("database.url")?;
    let (store, writer) = Store::open(address.clone(), config);
    let writer = tokio::spawn(writer);
    let desk = Arc::new(Desk {
        sender: Sender::new(&config.delivery)?,
        store,
        journal: options.journal.clone(),
        history: Arc::new(History::new(config.history)),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let ledger = Ledger::new(Lsn::ZERO);
    let mut reader = Reader::new(config, Arc::clone(&desk), ledger.clone())?;
    let mut session = Attached {
        config,
        address: &address,
        ledger: &ledger,
        store: Arc::clone(&desk.store),
        history: Arc::clone(&desk.history),
        historian: None,
        stop: &options.stop,
        name: format!("{} {:08x}", address.stream_name(), rand::random::<u32>()),
        setup: options.setup,
        hooks_loaded: false,
        rules: String::new(),
        fits: false,
        identity: None,
        noted: watch::Sender::new(Lsn::ZERO),
    };
    let mut pause = Pause::default();
    let ended = loop {
        let ended = session.attach(&mut reader, &mut pause).await;
        match ended {
            Ok(stream) => break Ok((Ended::Stopped, stream)),
            Err(error) if options.stop.is_cancelled() => {
                tracing::debug!(
                    error = format!("{error:#}"),
                    "the session ended while stopping"
                );
                break Ok((Ended::Stopped, None));
            }
            Err(error) if error.is::<ServerChanged>() => break Ok((Ended::ServerChanged, None)),
            Err(error) if !is_transient(&error) => break Err(error),
            Err(error) => pause.tell(&error, &config.database.slot),
        }
        tokio::select! {
            () = tokio::time::sleep(pause.next()) => {}
            () = options.stop.cancelled() => break Ok((Ended::Stopped, None)),
        }
    };
    let (noted, identity, rules) = (
        *session.noted.borrow(),
        session.identity.take(),
        std::mem::take(&mut session.rules),
    );
    // What the historian was writing just now is lost, and only that.
    drop((reader, session));
    let (ended, stream) = match ended {
        Ok((ended, stream)) => (Ok(ended), stream),
        Err(error) => (Err(error), None),
    };
    let last = LastWord {
        stream,
        identity,
        rules,
        noted,
    };
    stop(config, desk, writer, &ledger, last).await;
    ended
}

/// The server has another past than the one that this process knows.
#[derive(Debug, thiserror::Error)]
#[error("the server was replaced by a standby or a backup")]
struct ServerChanged;

/// What every session needs.
struct Attached<'a> {
    config: &'a Config,
    address: &'a Address,
    ledger: &'a Ledger,
    store: Arc<Store>,
    history: Arc<History>,
    /// Writes history, from the first session on: before that there may be no table.
    historian: Option<AbortOnDropHandle<()>>,
    stop: &'a CancellationToken,
    /// What our replication sessions are called: a name that no other process has.
    name: String,
    setup: bool,
    hooks_loaded: bool,
    /// What events are numbered by.
    rules: String,
    /// The tables have been found to be as the configuration says. Looked at once: an application that changes them while
    /// we run must not stop its own webhooks.
    fits: bool,
    /// The server of the last session.
    identity: Option<Identity>,
    /// What has been noted as confirmed, and may be confirmed.
    noted: watch::Sender<Lsn>,
}

impl Attached<'_> {
    /// One session, from connecting to its end. `Ok` means that it was stopped, and gives back the open stream if there is
    /// one; every error ends the session.
    async fn attach(&mut self, reader: &mut Reader, pause: &mut Pause) -> Result<Option<Stream>> {
        let client = tokio::select! {
            client = self.connect() => client?,
            () = self.stop.cancelled() => return Ok(None),
        };
        self.refuse_gap(&client, reader).await?;
        if self.setup {
            setup(self.config, Patience::default(), &|text| {
                tracing::warn!("{text}")
            })
            .await?;
        }
        if !self.fits {
            self.fit(&client).await?;
            self.fits = true;
        }
        let opened = Stream::open(
            self.address,
            &self.config.database,
            &self.name,
            self.ledger.confirmed(),
        )
        .await;
        if let Err(stream::Error::Occupied { slot }) = &opened {
            end_own_walsender(&client, slot, &self.name).await?;
        }
        let (stream, identity) = opened?;
        self.recognize(&identity)?;
        // The hooks are read after the slot is ours: whatever changes from now on comes through the stream.
        if !self.hooks_loaded {
            let hooks = reader.load_hooks(&client).await?;
            reader.load_backlog().await?;
            self.rules = numbering(self.config, &identity);
            let slot = &self.config.database.slot;
            // Where the slot stands is where we begin, and what is noted is never before that.
            let standing = read_slot(&client, slot).await.context("look at the slot")?;
            if let Some(confirmed) = standing.and_then(|slot| slot.confirmed) {
                self.ledger.idle(confirmed);
            }
            if let Some(progress) = self.store.progress(slot, &self.rules).await? {
                self.ledger.resume(progress);
            }
            self.hooks_loaded = true;
            tracing::info!(hooks, "hooks loaded");
        }
        self.historian.get_or_insert_with(|| {
            let (history, store) = (Arc::clone(&self.history), Arc::clone(&self.store));
            let writing = async move { history.keep_writing(&store).await };
            AbortOnDropHandle::new(tokio::spawn(writing))
        });
        reader.begin_session(identity.system_identifier.clone());
        // Reset here, not on exit: a session that once ran counts as success.
        *pause = Pause::default();
        tracing::info!(slot = self.config.database.slot, flushed = %identity.flushed, "attached");
        self.identity = Some(identity);
        self.follow(stream, reader, &client).await
    }

    /// Stops where changes were lost, after the hooks that listen to that have been told once.
    async fn refuse_gap(&self, client: &Client, reader: &mut Reader) -> Result<()> {
        let facts = self.facts(client).await?;
        let Some(gap) = facts.gap(self.config) else {
            return Ok(());
        };
        if let Some(found) = self.store.note_gap(&gap.slot).await? {
            if !self.hooks_loaded {
                reader.load_hooks(client).await?;
            }
            reader
                .tell_gap(&gap, &facts.server.system_identifier, found)
                .await;
            self.until_settled().await;
        }
        bail!("{}", gap.problem());
    }

    /// Waits until everything is delivered or parked, for as long as stopping may take.
    async fn until_settled(&self) {
        let settled = async {
            let mut ticks = tokio::time::interval(CONTROL_LOOK / 10);
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
        ensure!(self.identity.as_ref().is_none_or(same), ServerChanged);
        Ok(())
    }

    /// Reads until the end of the session or the word to stop.
    async fn follow(
        &self,
        mut stream: Stream,
        reader: &mut Reader,
        client: &Client,
    ) -> Result<Option<Stream>> {
        let mut confirmed = self.noted.subscribe();
        let lost = until_lost(client);
        let notes = self.note_progress();
        tokio::pin!(lost, notes);
        let mut sweep = tokio::time::interval(SWEEP);
        stream.confirm(*confirmed.borrow_and_update());
        loop {
            let batch = tokio::select! {
                batch = stream.next_batch() => Some(batch?),
                _ = confirmed.changed() => {
                    stream.confirm(*confirmed.borrow_and_update());
                    continue;
                }
                _ = sweep.tick() => None,
                error = &mut lost => return Err(error.into()),
                never = &mut notes => match never {},
                () = self.stop.cancelled() => return Ok(Some(stream)),
            };
            // Whatever is done here, the others go on meanwhile: one of them may hold what it waits for.
            let reading = async {
                match batch {
                    Some(batch) => reader.read(batch, client).await,
                    None => {
                        forget_old(reader).await;
                        Ok(())
                    }
                }
            };
            tokio::pin!(reading);
            loop {
                tokio::select! {
                    done = &mut reading => break done?,
                    _ = confirmed.changed() => stream.confirm(*confirmed.borrow_and_update()),
                    error = &mut lost => return Err(error.into()),
                    never = &mut notes => match never {},
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
        let misfits = misfits(self.config, &facts);
        ensure!(misfits.is_empty(), "{}", misfits.join("\n"));
        Ok(())
    }

    async fn connect(&self) -> Result<Client> {
        let client = self.address.connect("rowhook control").await?;
        // Values that are looked up have to read as those of the stream do.
        let settings: Vec<String> = SESSION
            .iter()
            .map(|(name, value)| format!("set {name} = '{value}'"))
            .collect();
        client
            .batch_execute(&settings.join("; "))
            .await
            .context("prepare the control session")?;
        Ok(client)
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

/// Deletes what is older than the retention. If that cannot be done now, there is another time.
async fn forget_old(reader: &mut Reader) {
    match timeout(CONTROL_PROBE, reader.forget_old()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(
            error = format!("{error:#}"),
            "old deliveries were not deleted; tried again later"
        ),
        Err(_) => tracing::warn!("deleting old deliveries took too long; tried again later"),
    }
}

/// Watches the control session, and says when it is lost.
///
/// Our stream ends with it, for two reasons. A server that shuts down ends ordinary sessions at once, but waits for
/// walsenders until all that they sent is confirmed, however long an endpoint takes; nobody shall wait for us. And a network
/// that has gone silent is not noticed on an idle stream, where the server has no reason to say anything.
async fn until_lost(client: &Client) -> stream::Error {
    let mut last_heard = Instant::now();
    let mut look = tokio::time::interval(CONTROL_LOOK);
    loop {
        look.tick().await;
        if client.is_closed() {
            return stream::Error::Lost("the server has closed the control session".into());
        }
        if last_heard.elapsed() < CONTROL_PROBE {
            continue;
        }
        if timeout(CONTROL_PROBE, client.simple_query(""))
            .await
            .is_err()
        {
            return stream::Error::Lost(format!(
                "the server has not answered for {CONTROL_PROBE:?}"
            ));
        }
        last_heard = Instant::now();
    }
}

/// Ends the walsender of our own last session, which holds the slot until it notices that nobody listens any more. That of
/// another rowhook is not ours to end.
async fn end_own_walsender(client: &Client, slot: &str, name: &str) -> Result<()> {
    let sql = include_str!("../sql/catalog/end_walsender.sql");
    let ended = client
        .query(sql, &[&slot, &name])
        .await
        .context("end our own last session")?;
    if !ended.is_empty() {
        tracing::info!(
            slot,
            "ended our own last session, which still held the slot"
        );
    }
    Ok(())
}

/// What it takes to confirm for the last time.
struct LastWord {
    stream: Option<Stream>,
    identity: Option<Identity>,
    rules: String,
    noted: Lsn,
}

/// Finishes what is in flight, within the grace period, and confirms what is settled.
async fn stop(
    config: &Config,
    desk: Arc<Desk>,
    writer: JoinHandle<()>,
    ledger: &Ledger,
    mut last: LastWord,
) {
    tracing::info!(unsettled = ledger.unsettled(), "stopping");
    desk.stop.cancel();
    desk.tasks.close();
    let finished = async {
        desk.tasks.wait().await;
        if let (Some(identity), true) = (&last.identity, last.stream.is_some()) {
            let note = Note {
                identity,
                confirmed: ledger.confirmed(),
                progress: ledger.progress(),
                rules: &last.rules,
            };
            desk.store.note(&config.database.slot, &note).await;
            last.noted = note.confirmed;
        }
        if timeout(LAST_HISTORY, desk.history.write(&desk.store))
            .await
            .is_err()
        {
            tracing::warn!("the last of the history was not written in time");
        }
        // With the last door to the tables closed, the writer ends when it has written what it was given.
        drop(desk);
        writer.await
    };
    match timeout(config.delivery.grace, finished).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the writer ended badly"),
        Err(_) => tracing::warn!(
            unsettled = ledger.unsettled(),
            "requests were still in flight at the end of the grace period; they will be made again"
        ),
    }
    if let Some(stream) = last.stream {
        stream.close(last.noted).await;
    }
    tracing::info!(confirmed = %last.noted, unsettled = ledger.unsettled(), "stopped");
}

/// Is it worth trying again? If not, a person must act first.
fn is_transient(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        if let Some(error) = cause.downcast_ref::<stream::Error>() {
            return error.is_transient();
        }
        if let Some(error) = cause.downcast_ref::<connect::Error>() {
            return error.is_transient();
        }
        if let Some(setup::Error::Connect(error)) = cause.downcast_ref() {
            return error.is_transient();
        }
        // Without a code of the server's it is the connection that failed, and with one of classes 08 and 57 too.
        cause
            .downcast_ref::<tokio_postgres::Error>()
            .is_some_and(|error| {
                let code = error.code().map(|code| code.code());
                code.is_none_or(|code| code.starts_with("08") || code.starts_with("57"))
            })
    })
}

/// How long to wait before the next session.
#[derive(Default)]
struct Pause {
    failures: u32,
    standby: bool,
}

impl Pause {
    fn tell(&mut self, error: &anyhow::Error, slot: &str) {
        let standby = matches!(error.downcast_ref(), Some(stream::Error::Occupied { .. }));
        if !standby {
            self.failures += 1;
            tracing::warn!(error = format!("{error:#}"), "not attached; trying again");
        } else if !self.standby {
            tracing::info!(
                slot,
                "another rowhook holds the slot; standing by until it is free"
            );
        }
        self.standby = standby;
    }

    /// Doubled for each failure, and spread so that several do not come at once.
    fn next(&self) -> Duration {
        let pause = if self.standby {
            STANDBY_PAUSE
        } else {
            FIRST_PAUSE
                .saturating_mul(1 << self.failures.saturating_sub(1).min(10))
                .min(LONGEST_PAUSE)
        };
        pause.mul_f64(rand::random_range(0.8..1.2))
    }
}
