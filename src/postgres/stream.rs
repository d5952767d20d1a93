//! The replication session: messages in commit order on the one side, confirmed positions on the other.
//!
//! This is the one room that knows which library carries the session. It answers keepalives in a task of its own, so the
//! server hears from us while everything else is busy.

use std::time::Duration;

use futures_util::FutureExt;
use pgwire_replication::{PgWireError, ReplicationClient, ReplicationEvent};
use thiserror::Error;

use super::{
    Lsn,
    address::Address,
    connect,
    pgoutput::{self, Message},
    types::SESSION,
};
use crate::config::Database;

/// How often a new position is told to the server. One that is late costs a repetition after a crash, and nothing else.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);
/// The library's channel counts messages, not bytes, and so it is kept short: each may be a row of many megabytes.
const CHANNEL: usize = 16;
/// A batch ends at so many messages or bytes, whichever comes first.
const BATCH_MESSAGES: usize = 1024;
const BATCH_BYTES: usize = 4 << 20;
/// How long the last confirmation may take when the session ends.
const LAST_WORD: Duration = Duration::from_secs(2);

/// An open replication session, which holds the slot.
pub struct Stream {
    client: ReplicationClient,
    address: Address,
}

/// Which server, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's system identifier, which a restored copy shares.
    pub system_identifier: String,
    /// The timeline, which a promoted standby changes.
    pub timeline: u32,
    /// How far the WAL was flushed when the session began.
    pub flushed: Lsn,
}

/// What the server sends.
#[derive(Debug)]
pub enum Received {
    /// A message of pgoutput.
    Message(Message),
    /// There is nothing for us up to here.
    Keepalive {
        /// The end of the WAL, as far as the server has looked through it.
        wal_end: Lsn,
    },
}

/// Why the session did not open, or ended.
#[derive(Debug, Error)]
pub enum Error {
    /// Another session holds the slot (SQLSTATE 55006). It may be the first of a pair, or our own last one.
    #[error("the slot {slot:?} is in use by another session")]
    Occupied {
        /// The slot.
        slot: String,
    },
    /// The connection did not open.
    #[error(transparent)]
    Connect(#[from] connect::Error),
    /// The connection broke, or the server is going down.
    #[error("the replication session ended: {0}")]
    Lost(String),
    /// The server refuses the stream; trying again changes nothing.
    #[error("{told}; {mend}")]
    Refused {
        /// What the server says.
        told: String,
        /// What to do about it.
        mend: String,
    },
    /// A message that is none.
    #[error("the stream cannot be read: {0}")]
    Garbled(#[from] pgoutput::Error),
}

impl Error {
    /// Is it worth trying again? If not, a person must act first.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Occupied { .. } | Self::Lost(_) => true,
            Self::Connect(error) => error.is_transient(),
            Self::Refused { .. } | Self::Garbled(_) => false,
        }
    }
}

impl Stream {
    /// Opens the session, called `name` in pg_stat_replication, and takes the slot. Everything above `confirmed`, or above what the slot has confirmed if that is
    /// more, is sent from there on.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses, or the slot is taken.
    pub async fn open(
        address: &Address,
        database: &Database,
        name: &str,
        confirmed: Lsn,
    ) -> Result<(Self, Identity), Error> {
        let publications = vec![database.publication.clone(), database.inserts_publication()];
        let options: Vec<String> = SESSION
            .iter()
            .map(|(name, value)| format!("-c {name}={value}"))
            .collect();
        let mut config = address
            .replication(&database.slot, publications, &options.join(" "))
            .with_application_name(name)
            .with_start_lsn(confirmed)
            .with_status_interval(STATUS_INTERVAL)
            .with_wakeup_interval(Duration::from_secs(5));
        config.buffer_events = CHANNEL;
        let explain = |error: PgWireError| explain(&error, address, &database.slot);
        let mut client = ReplicationClient::connect_gated(config)
            .await
            .map_err(explain)?;
        let identity = client.identify_system().await.map_err(explain)?;
        client.start().await.map_err(explain)?;
        client.wait_started().await.map_err(explain)?;
        let identity = Identity {
            system_identifier: identity.system_id,
            timeline: identity.timeline,
            flushed: identity.xlogpos,
        };
        let address = address.clone();
        Ok((Self { client, address }, identity))
    }

    /// Waits for the next messages, and takes along what has come with them. The batch is never empty.
    ///
    /// May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// When the session has ended or a message cannot be read.
    pub async fn next_batch(&mut self) -> Result<Vec<Received>, Error> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = Some(self.client.recv().await);
        while let Some(event) = next {
            let event = match event {
                Ok(Some(event)) => event,
                // What was read before the end is still good, and the end will be told again.
                _ if !batch.is_empty() => break,
                Ok(None) => return Err(Error::Lost("the server closed it".into())),
                Err(error) => return Err(explain(&error, &self.address, "")),
            };
            let (received, size) = receive(event)?;
            batch.extend(received);
            bytes += size;
            let full = batch.len() >= BATCH_MESSAGES || bytes >= BATCH_BYTES;
            next = if full {
                None
            } else {
                self.client.recv().now_or_never()
            };
        }
        Ok(batch)
    }

    /// Tells the server, within a moment, that everything up to `lsn` is settled and may be forgotten.
    pub fn confirm(&self, lsn: Lsn) {
        self.client.update_applied_lsn(lsn);
    }

    /// Ends the session, after `lsn` has been confirmed if the server still listens.
    pub async fn close(mut self, lsn: Lsn) {
        self.confirm(lsn);
        let metrics = self.client.metrics();
        let told = async {
            // The worker tells it within its interval and only while it is read from.
            while metrics.last_applied_lsn() < lsn {
                let tick = tokio::time::sleep(STATUS_INTERVAL / 10);
                tokio::select! {
                    received = self.client.recv() => if !matches!(received, Ok(Some(_))) { break },
                    () = tick => {}
                }
            }
        };
        if tokio::time::timeout(LAST_WORD, told).await.is_err() {
            tracing::warn!(%lsn, "the server did not take the last confirmation; it will send again what came after the one before");
        }
        if let Err(error) = self.client.shutdown().await {
            tracing::debug!(%error, "the replication session ended badly");
        }
    }
}

/// Decodes one event of the library, and says how large it was.
fn receive(event: ReplicationEvent) -> Result<(Option<Received>, usize), pgoutput::Error> {
    // The library decodes four kinds of messages itself, and hands us the others as they are.
    let (message, size) = match event {
        ReplicationEvent::KeepAlive { wal_end, .. } => {
            return Ok((Some(Received::Keepalive { wal_end }), 0));
        }
        ReplicationEvent::StoppedAt { .. } => return Ok((None, 0)),
        ReplicationEvent::XLogData { data, .. } => {
            let size = data.len();
            (pgoutput::decode(data)?, size)
        }
        ReplicationEvent::Begin {
            final_lsn,
            xid,
            commit_time_micros,
        } => {
            let commit_time = pgoutput::system_time(commit_time_micros);
            (
                Message::Begin {
                    commit_lsn: final_lsn,
                    commit_time,
                    xid,
                },
                0,
            )
        }
        ReplicationEvent::Commit {
            lsn,
            end_lsn,
            commit_time_micros,
        } => {
            let commit_time = pgoutput::system_time(commit_time_micros);
            (
                Message::Commit {
                    commit_lsn: lsn,
                    end_lsn,
                    commit_time,
                },
                0,
            )
        }
        ReplicationEvent::Message {
            transactional,
            lsn,
            prefix,
            content,
        } => {
            let size = content.len();
            (
                Message::Message {
                    transactional,
                    lsn,
                    prefix,
                    content,
                },
                size,
            )
        }
    };
    Ok((Some(Received::Message(message)), size))
}

/// What an error of the session means, by the server's code where it has one.
fn explain(error: &PgWireError, address: &Address, slot: &str) -> Error {
    let PgWireError::Server(told) = error else {
        return match error {
            PgWireError::Io(_) | PgWireError::Task(_) | PgWireError::Internal(_) => {
                Error::Lost(error.to_string())
            }
            _ => Error::Connect(address.replication_error(error)),
        };
    };
    let code = told
        .split_once("SQLSTATE ")
        .and_then(|(_, rest)| rest.get(..5))
        .unwrap_or_default();
    let refused = |mend: &str| Error::Refused {
        told: told.clone(),
        mend: mend.to_owned(),
    };
    match code {
        "55006" => Error::Occupied {
            slot: slot.to_owned(),
        },
        // admin_shutdown, crash_shutdown, cannot_connect_now, connection_failure
        "57P01" | "57P02" | "57P03" | "08006" => Error::Lost(told.clone()),
        "42704" if told.contains("publication") => refused(
            "the slot is older than the publication, and cannot be read past: run rowhook teardown and rowhook setup",
        ),
        "42704" => refused(
            "rowhook setup makes it; if it has been there before, what was committed since then is lost",
        ),
        "55000" => refused("the slot cannot be read any more; run rowhook check"),
        "58P01" => refused("WAL that the slot needs has been removed; run rowhook check"),
        _ => Error::Connect(address.replication_error(error)),
    }
}
