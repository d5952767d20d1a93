//! `rowhook run`: attaches, and stays attached until it is told to stop.
//!
//! The outer loop decides whether and when a session is opened again; the inner one reads a session to its end.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config,
    delivery::{Desk, ledger::Ledger, send::Sender},
    journal::Journal,
    postgres::{
        Lsn,
        address::Address,
        connect,
        setup::{self, Patience, setup},
        stream::{self, Stream},
        types::SESSION,
    },
    reader::Reader,
    store::Store,
};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often we look whether the control session is still open.
const CONTROL_LOOK: Duration = Duration::from_millis(500);
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
    let address = Address::parse(config.database.url.expose()).context("database.url")?;
    let desk = Arc::new(Desk {
        sender: Sender::new(&config.delivery)?,
        store: Store::new(address.clone(), config),
        journal: options.journal,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let ledger = Ledger::new(Lsn::ZERO);
    let mut reader = Reader::new(config, Arc::clone(&desk), ledger.clone())?;
    let mut session = Attached {
        config,
        address: &address,
        ledger: &ledger,
        stop: &options.stop,
        setup: options.setup,
        hooks_loaded: false,
    };
    let mut pause = Pause::default();
    let last = loop {
        let ended = session.attach(&mut reader, &mut pause).await;
        match ended {
            Ok(stream) => break stream,
            Err(error) if options.stop.is_cancelled() => {
                tracing::debug!(
                    error = format!("{error:#}"),
                    "the session ended while stopping"
                );
                break None;
            }
            Err(error) if !is_transient(&error) => return Err(error),
            Err(error) => pause.tell(&error, &config.database.slot),
        }
        tokio::select! {
            () = tokio::time::sleep(pause.next()) => {}
            () = options.stop.cancelled() => break None,
        }
    };
    stop(config, &desk, &ledger, last).await;
    Ok(())
}

/// What every session needs.
struct Attached<'a> {
    config: &'a Config,
    address: &'a Address,
    ledger: &'a Ledger,
    stop: &'a CancellationToken,
    setup: bool,
    hooks_loaded: bool,
}

impl Attached<'_> {
    /// One session, from connecting to its end. `Ok` means that it was stopped, and gives back the open stream if there is
    /// one; every error ends the session.
    async fn attach(&mut self, reader: &mut Reader, pause: &mut Pause) -> Result<Option<Stream>> {
        let client = tokio::select! {
            client = self.connect() => client?,
            () = self.stop.cancelled() => return Ok(None),
        };
        if self.setup {
            setup(self.config, Patience::default(), &|text| {
                tracing::warn!("{text}")
            })
            .await?;
        }
        let (stream, identity) =
            Stream::open(self.address, &self.config.database, self.ledger.confirmed()).await?;
        // The hooks are read after the slot is ours: whatever changes from now on comes through the stream.
        if !self.hooks_loaded {
            let hooks = reader.load_hooks(&client).await?;
            self.hooks_loaded = true;
            tracing::info!(hooks, "hooks loaded");
        }
        reader.begin_session(identity.system_identifier);
        // Reset here, not on exit: a session that once ran counts as success.
        *pause = Pause::default();
        tracing::info!(slot = self.config.database.slot, flushed = %identity.flushed, "attached");
        self.follow(stream, reader, &client).await
    }

    /// Reads until the end of the session or the word to stop.
    async fn follow(
        &self,
        mut stream: Stream,
        reader: &mut Reader,
        client: &Client,
    ) -> Result<Option<Stream>> {
        let mut confirmed = self.ledger.watch();
        let mut look = tokio::time::interval(CONTROL_LOOK);
        stream.confirm(*confirmed.borrow_and_update());
        loop {
            let batch = tokio::select! {
                batch = stream.next_batch() => batch?,
                _ = confirmed.changed() => {
                    stream.confirm(*confirmed.borrow_and_update());
                    continue;
                }
                _ = look.tick() => {
                    still_open(client)?;
                    continue;
                }
                () = self.stop.cancelled() => return Ok(Some(stream)),
            };
            let reading = reader.read(batch, client);
            tokio::pin!(reading);
            loop {
                tokio::select! {
                    done = &mut reading => break done?,
                    _ = confirmed.changed() => stream.confirm(*confirmed.borrow_and_update()),
                    _ = look.tick() => still_open(client)?,
                    () = self.stop.cancelled() => return Ok(Some(stream)),
                }
            }
        }
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

/// A server that shuts down ends ordinary sessions at once, but waits for walsenders until all that they sent is
/// confirmed, however long an endpoint takes. So our stream ends when our control session does, and nobody waits for us.
fn still_open(client: &Client) -> Result<(), stream::Error> {
    if client.is_closed() {
        Err(stream::Error::Lost(
            "the server has closed the control session".into(),
        ))
    } else {
        Ok(())
    }
}

/// Finishes what is in flight, within the grace period, and confirms what is settled.
async fn stop(config: &Config, desk: &Desk, ledger: &Ledger, stream: Option<Stream>) {
    tracing::info!(unsettled = ledger.unsettled(), "stopping");
    desk.stop.cancel();
    desk.tasks.close();
    if timeout(config.delivery.grace, desk.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            unsettled = ledger.unsettled(),
            "requests were still in flight at the end of the grace period; they will be made again"
        );
    }
    if let Some(stream) = stream {
        stream.close(ledger.confirmed()).await;
    }
    tracing::info!(confirmed = %ledger.confirmed(), unsettled = ledger.unsettled(), "stopped");
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
