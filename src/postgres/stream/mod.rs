//! The replication stream: messages come in, in commit order, and confirmed positions go out.
//!
//! A task of its own (`feed`) reads ahead within bounds and answers keepalives, so the server does not time out while
//! everything else is busy.

mod feed;
mod frame;

use std::{collections::VecDeque, time::Duration};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_postgres::error::SqlState;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use self::{
    feed::{Feed, Handle},
    frame::Frame,
};
pub use super::replication::Identity;
use super::{
    Lsn,
    address::Address,
    connect::{self, session},
    failure::Failure,
    fault::Fault,
    pgoutput::{self, Message},
    quote,
    replication::Connection,
};

/// How long closing the stream waits for the server to take the last confirmation.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The slot and the publications that a stream is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The replication slot.
    pub slot: String,
    /// The publications whose changes are sent.
    pub publications: Vec<String>,
}

/// An open replication stream, which holds its slot.
pub struct Stream {
    handle: Handle,
    feed: AbortOnDropHandle<()>,
    slot: String,
    /// What has been read and put back.
    unread: VecDeque<Batch>,
    /// Whether everything that was taken from the stream has been dealt with.
    whole: bool,
}

/// What is to be confirmed when a stream is closed.
#[derive(Debug, Clone, Copy, Default)]
pub struct LastWord {
    /// What has been recorded, and so may be confirmed.
    pub recorded: Lsn,
    /// What has been confirmed before.
    pub before: Lsn,
    /// Where the WAL ended when the record was durable; `None` if that is not known.
    pub end: Option<Lsn>,
    /// Whether the record has to come back in the stream first, because standbys copy the slot.
    pub copied: bool,
    /// Whether everything that was read is settled.
    pub settled: bool,
}

/// Messages that were received together.
#[derive(Debug)]
pub struct Batch {
    /// The messages, in order; never empty.
    pub received: Vec<Received>,
    /// The memory that the messages take. Dropping it lets the stream read further ahead.
    pub room: Option<OwnedSemaphorePermit>,
}

impl Batch {
    /// The bytes of its messages; of a very large one, less.
    pub fn bytes(&self) -> usize {
        self.room
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

/// One message of the stream.
#[derive(Debug)]
pub enum Received {
    /// A message of pgoutput.
    Message(Message),
    /// The server has nothing to send up to here.
    Keepalive {
        /// The position up to which the server has read the WAL.
        wal_end: Lsn,
    },
}

impl Received {
    /// Whether it is a row or a message of SQL, which nothing that follows depends on.
    pub fn is_of_one_event(&self) -> bool {
        matches!(
            self,
            Self::Message(
                Message::Insert { .. }
                    | Message::Update { .. }
                    | Message::Delete { .. }
                    | Message::Message { .. }
            )
        )
    }
}

/// Why the stream did not open, or ended.
#[derive(Debug, Error)]
pub enum Error {
    /// Another connection holds the slot (SQLSTATE 55006): another rowhook, or an earlier connection of this one.
    #[error("the slot {slot:?} is in use by another session")]
    Occupied {
        /// The slot.
        slot: String,
    },
    /// The connection could not be opened.
    #[error(transparent)]
    Connect(#[from] connect::Error),
    /// The connection broke, or the server is shutting down.
    #[error("the replication session ended: {0}")]
    Lost(String),
    /// The server refuses the stream, and trying again would not change that.
    #[error("{message}; {remedy}")]
    Refused {
        /// The message of the server.
        message: String,
        /// What to do about it.
        remedy: String,
    },
    /// A message of the stream cannot be decoded.
    #[error("the stream cannot be read: {0}")]
    Garbled(#[from] pgoutput::Error),
}

impl Error {
    /// Whether trying again makes sense. If not, a person must act first.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Occupied { .. } | Self::Lost(_) => true,
            Self::Connect(error) => error.is_transient(),
            Self::Refused { .. } | Self::Garbled(_) => false,
        }
    }
}

impl Stream {
    /// Opens a stream, which takes the slot. `name` is its name in pg_stat_replication. It carries every transaction
    /// that ends after `confirmed`, or after the position that the slot has confirmed, whichever is later. Nothing is
    /// confirmed before [`confirm`](Self::confirm) says so: until then one can see whether the slot is ours.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses, or the slot is in use.
    pub async fn open(
        address: &Address,
        subscription: &Subscription,
        name: &str,
        confirmed: Lsn,
    ) -> Result<(Self, Identity), Error> {
        let connection = Connection::open(address, name, &session::of_stream()).await?;
        let (stream, identity) = Self::start(connection, subscription, Some(confirmed)).await?;
        Ok((stream, identity))
    }

    /// Opens a stream of what is written from now on, with a slot that is dropped with the connection. It is a copy of
    /// the slot `copied`, if there is that one: a new slot begins only when every transaction that runs now has ended.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub async fn open_temporary(
        address: &Address,
        subscription: &Subscription,
        copied: Option<&str>,
        name: &str,
    ) -> Result<Self, Error> {
        let failed = |failure| explain(failure, &subscription.slot);
        let mut connection = Connection::open(address, name, &session::of_stream()).await?;
        let slot = quote::text(&subscription.slot);
        let copying = match copied {
            Some(copied) => {
                let copied = quote::text(copied);
                let copying = format!(
                    "select pg_catalog.pg_copy_logical_replication_slot({copied}, {slot}, true)"
                );
                connection.command(&copying).await
            }
            None => Err(Failure::protocol("there is no slot to copy")),
        };
        if let Err(failure) = copying {
            tracing::debug!(%failure, "the slot is not copied; a new one waits for running transactions");
            let slot = quote::name(&subscription.slot);
            let creating = format!(
                "CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
            );
            connection.command(&creating).await.map_err(failed)?;
        }
        let (stream, _) = Self::start(connection, subscription, None).await?;
        Ok(stream)
    }

    /// Starts the stream after `confirmed`; `None`: after what is flushed now.
    async fn start(
        mut connection: Connection,
        subscription: &Subscription,
        confirmed: Option<Lsn>,
    ) -> Result<(Self, Identity), Error> {
        let failed = |failure| explain(failure, &subscription.slot);
        let identity = connection.identify().await.map_err(failed)?;
        let from = confirmed.unwrap_or(identity.flushed);
        let (socket, unread) = connection
            .start(&start(subscription, from))
            .await
            .map_err(failed)?;
        let (feed, handle) = Feed::new(socket, unread);
        let stream = Self {
            handle,
            feed: AbortOnDropHandle::new(tokio::spawn(feed.run().in_current_span())),
            slot: subscription.slot.clone(),
            unread: VecDeque::new(),
            whole: true,
        };
        Ok((stream, identity))
    }

    /// Waits for the next messages.
    ///
    /// Cancel safe: dropping the future loses no message.
    ///
    /// # Errors
    /// If the stream has ended, or a message cannot be decoded.
    pub async fn next_batch(&mut self) -> Result<Batch, Error> {
        if let Some(batch) = self.unread.pop_front() {
            return Ok(batch);
        }
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

    /// Has these batches, which are all that has been read so far, come once more.
    pub fn put_back(&mut self, batches: Vec<Batch>) {
        self.unread = batches.into();
    }

    /// Confirms everything up to `lsn`, which allows the server to remove the WAL before it. It is sent shortly after.
    pub fn confirm(&self, lsn: Lsn) {
        self.handle.confirmed.send_if_modified(|confirmed| {
            let is_news = lsn > *confirmed;
            *confirmed = lsn.max(*confirmed);
            is_news
        });
    }

    /// The position that the server has come to, as it grows.
    pub fn reached(&self) -> watch::Receiver<Lsn> {
        self.handle.reached.clone()
    }

    /// Something that was taken from the stream will not be dealt with.
    pub fn abandon(&mut self) {
        self.whole = false;
    }

    /// Confirms what may be confirmed, if the server still answers, and ends the stream. Returns what was confirmed.
    ///
    /// Where nothing but our own record came after what is settled, that is confirmed too. So nothing is left to read,
    /// and pg_upgrade takes the slot along.
    pub async fn close(mut self, last: LastWord) -> Lsn {
        let rest = match last.end {
            Some(end) => self.rest(end).await,
            None => None,
        };
        let lsn = match rest {
            Some(Rest::Empty { end }) if self.whole && last.settled => end,
            None if last.copied => last.before,
            _ => last.recorded,
        };
        self.confirm(lsn);
        self.handle.stop.cancel();
        self.unread.clear();
        let feed = async {
            // Take what was read ahead, since the task would wait for that.
            while self.handle.batches.recv().await.is_some() {}
            (&mut self.feed).await
        };
        let ended = tokio::time::timeout(LAST_WORD, feed).await;
        if !matches!(ended, Ok(Ok(()))) || *self.handle.reported.borrow() < lsn {
            tracing::warn!(%lsn, "the server did not take the last confirmation; it will send again what came after the one before");
        }
        lsn
    }

    /// Takes what comes before the server has come to `end`. `None`: it has not come there.
    async fn rest(&mut self, end: Lsn) -> Option<Rest> {
        let coming = async {
            let mut empty = self.unread.is_empty();
            loop {
                let chunk = self.handle.batches.recv().await?.ok()?;
                for frame in chunk.frames {
                    match frame {
                        Frame::Keepalive { wal_end } if wal_end >= end && empty => {
                            return Some(Rest::Empty { end: wal_end });
                        }
                        Frame::Keepalive { .. } => {}
                        // Before Postgres 15, transactions without changes are sent too.
                        Frame::Data(data) => {
                            empty &= matches!(
                                pgoutput::decode(data),
                                Ok(Message::Begin { .. } | Message::Commit { .. })
                            );
                        }
                    }
                }
                if !empty && *self.handle.reached.borrow() >= end {
                    return Some(Rest::Full);
                }
            }
        };
        tokio::time::timeout(LAST_WORD, coming).await.ok().flatten()
    }
}

/// What was left in a stream.
enum Rest {
    /// Nothing, up to `end`.
    Empty { end: Lsn },
    /// Something that is to be read another time.
    Full,
}

/// The command that starts the stream.
fn start(subscription: &Subscription, from: Lsn) -> String {
    let publications = subscription.publications.iter();
    let publications: Vec<String> = publications.map(|name| quote::name(name)).collect();
    // In the grammar of the replication protocol, a quote is doubled and nothing else is escaped.
    let publications = publications.join(",").replace('\'', "''");
    let options = format!("proto_version '1', publication_names '{publications}', messages 'true'");
    let slot = quote::name(&subscription.slot);
    format!("START_REPLICATION SLOT {slot} LOGICAL {from} ({options})")
}

/// The error that a failure of the connection stands for, by its SQLSTATE if it has one.
fn explain(failure: Failure, slot: &str) -> Error {
    let (code, message) = match failure {
        Failure::Refused { code, message } => (code, message),
        // The server spoke the protocol when the session began, so something in between changes what it sends.
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
        "42704" if message.contains("publication") => refused(
            "the slot is older than the publication, and cannot be read past: run rowhook teardown and rowhook setup",
        ),
        "42704" => refused(
            "rowhook setup makes it; if it has been there before, what was committed since then is lost",
        ),
        "55000" => refused("the slot cannot be read any more; run rowhook check"),
        "58P01" => refused("WAL that the slot needs has been removed; run rowhook check"),
        // It passes, or is found to be a gap. Decoding says that something internal is wrong of tables that were
        // altered; where it stays so, the process is of use to look at, and ending it would change nothing.
        code if Fault::of_state(&SqlState::from_code(code)).is_transient() => Error::Lost(message),
        _ => refused("run rowhook check"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_tried_again_and_a_person_is_asked_for_the_rest() {
        for (code, is_transient) in [
            ("55006", true),
            ("08006", true),
            ("57P01", true),
            ("53200", true),
            ("40001", true),
            ("58030", true),
            // "unexpected duplicate for tablespace 0, relfilenode …"
            ("XX000", true),
            ("XX001", false),
            ("42704", false),
            ("42501", false),
            ("55000", false),
            ("58P01", false),
            ("22023", false),
        ] {
            let failure = Failure::Refused {
                code: code.to_owned(),
                message: "it says no".to_owned(),
            };
            assert_eq!(
                explain(failure, "rowhook").is_transient(),
                is_transient,
                "{code}"
            );
        }
    }
}
