//! The stream: messages in commit order on the one side, confirmed positions on the other.
//!
//! A task of its own (`feed`) reads ahead within bounds and answers keepalives, so the server hears from us while everything
//! else is busy.

mod feed;
mod frame;

use std::time::Duration;

use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

use self::{
    feed::{Feed, Handle},
    frame::Frame,
};
pub use super::replication::Identity;
use super::{
    Lsn,
    address::Address,
    connect,
    failure::Failure,
    pgoutput::{self, Message},
    quote,
    replication::Connection,
    types::SESSION_SETTINGS,
};

/// How long the last confirmation may take when the session ends.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What a stream is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The replication slot.
    pub slot: String,
    /// The publications whose changes are sent.
    pub publications: Vec<String>,
}

/// An open replication session, which holds the slot.
pub struct Stream {
    handle: Handle,
    feed: AbortOnDropHandle<()>,
    slot: String,
}

/// What has come together.
#[derive(Debug)]
pub struct Batch {
    /// Never empty.
    pub received: Vec<Received>,
    /// The memory that it takes. Nothing more is read ahead than what is let go of here.
    pub room: Option<OwnedSemaphorePermit>,
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
    #[error("{message}; {remedy}")]
    Refused {
        /// What the server says.
        message: String,
        /// What to do about it.
        remedy: String,
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
        subscription: &Subscription,
        name: &str,
        confirmed: Lsn,
    ) -> Result<(Self, Identity), Error> {
        let mut connection = Connection::open(address, name, &SESSION_SETTINGS).await?;
        let failed = |failure| explain(failure, &subscription.slot);
        let identity = connection.identify().await.map_err(failed)?;
        let (socket, unread) = connection
            .start(&start(subscription, confirmed))
            .await
            .map_err(failed)?;
        let (feed, handle) = Feed::new(socket, unread, confirmed);
        let stream = Self {
            handle,
            feed: AbortOnDropHandle::new(tokio::spawn(feed.run())),
            slot: subscription.slot.clone(),
        };
        Ok((stream, identity))
    }

    /// Waits for what has come together.
    ///
    /// May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// When the session has ended or a message cannot be read.
    pub async fn next_batch(&mut self) -> Result<Batch, Error> {
        let chunk = match self.handle.batches.recv().await {
            Some(Ok(chunk)) => chunk,
            Some(Err(failure)) => return Err(explain(failure, &self.slot)),
            None => return Err(Error::Lost("nobody reads it any more".into())),
        };
        let received = chunk.frames.into_iter().map(|frame| match frame {
            Frame::Data(data) => pgoutput::decode(data).map(Received::Message),
            Frame::Keepalive { wal_end } => Ok(Received::Keepalive { wal_end }),
        });
        Ok(Batch {
            received: received.collect::<Result<_, _>>()?,
            room: chunk.room,
        })
    }

    /// Tells the server, within a moment, that everything up to `lsn` is settled and may be forgotten.
    pub fn confirm(&self, lsn: Lsn) {
        self.handle.confirmed.send_if_modified(|confirmed| {
            let is_news = lsn > *confirmed;
            *confirmed = lsn.max(*confirmed);
            is_news
        });
    }

    /// Ends the session, after `lsn` has been confirmed if the server still listens.
    pub async fn close(mut self, lsn: Lsn) {
        self.confirm(lsn);
        self.handle.stop.cancel();
        let feed = async {
            // What it has read ahead is not wanted any more, and must not keep it waiting.
            while self.handle.batches.recv().await.is_some() {}
            (&mut self.feed).await
        };
        let ended = tokio::time::timeout(LAST_WORD, feed).await;
        if !matches!(ended, Ok(Ok(()))) || *self.handle.reported.borrow() < lsn {
            tracing::warn!(%lsn, "the server did not take the last confirmation; it will send again what came after the one before");
        }
    }
}

/// The command that takes the slot.
fn start(subscription: &Subscription, from: Lsn) -> String {
    let publications = subscription.publications.iter();
    let publications: Vec<String> = publications.map(|name| quote::name(name)).collect();
    // Quotes within quotes, and no other escapes: this is not the grammar of SQL.
    let publications = publications.join(",").replace('\'', "''");
    let options = format!("proto_version '1', publication_names '{publications}', messages 'true'");
    let slot = quote::name(&subscription.slot);
    format!("START_REPLICATION SLOT {slot} LOGICAL {from} ({options})")
}

/// What a failure of the session means, by the server's code where it has one.
fn explain(failure: Failure, slot: &str) -> Error {
    let (code, message) = match failure {
        Failure::Refused { code, message } => (code, message),
        // What is not Postgres now was, when the session began: there is something in between that cannot be trusted.
        Failure::Protocol(violation) => {
            return Error::Refused {
                message: format!("the stream cannot be read: {violation}"),
                remedy:
                    "is there a proxy in between? Give the server's own address in [database] url"
                        .into(),
            };
        }
        other => return Error::Lost(other.to_string()),
    };
    let refused = |remedy: &str| Error::Refused {
        message: message.clone(),
        remedy: remedy.to_owned(),
    };
    match code.as_str() {
        "55006" => Error::Occupied {
            slot: slot.to_owned(),
        },
        // The connection, resources and what operators do: there is another time.
        code if ["08", "53", "57"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Error::Lost(message)
        }
        "42704" if message.contains("publication") => refused(
            "the slot is older than the publication, and cannot be read past: run rowhook teardown and rowhook setup",
        ),
        "42704" => refused(
            "rowhook setup makes it; if it has been there before, what was committed since then is lost",
        ),
        "55000" => refused("the slot cannot be read any more; run rowhook check"),
        "58P01" => refused("WAL that the slot needs has been removed; run rowhook check"),
        _ => refused("run rowhook check"),
    }
}
