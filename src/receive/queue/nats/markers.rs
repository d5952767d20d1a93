//! Durable markers: what was accepted, and what has succeeded.

use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;

use super::server::Server;
use crate::receive::queue::error::Error;

/// Markers of requests that were accepted and of jobs that have succeeded. Each is an empty message of its own subject.
///
/// A key-value bucket of NATS would do the same, but the client library cannot create one on servers as old as
/// Debian's.
#[derive(Debug, Clone)]
pub(super) struct Markers {
    pub(super) server: Server,
    pub(super) stream: Stream,
}

impl Markers {
    pub(super) async fn contains(&self, marker: &str) -> Result<bool, Error> {
        let subject = format!("rowhook.done.{marker}");
        match self.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(self.server.error("cannot look up what is done", error)),
        }
    }

    /// Inserts a marker, and returns once the server has stored it.
    pub(super) async fn insert(&self, marker: &str) -> Result<(), Error> {
        let subject = format!("rowhook.done.{marker}");
        let context = &self.server.context;
        let stored = async { context.publish(subject, Bytes::new()).await?.await };
        match stored.await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.server.error("cannot note what is done", error)),
        }
    }
}
