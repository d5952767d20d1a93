//! The dead jobs on a NATS server, for a process other than the receivers.

use std::{collections::VecDeque, time::SystemTime};

use async_nats::jetstream::{
    message::StreamMessage,
    stream::{RawMessageErrorKind, Stream},
};

use super::{
    message::{Metadata, id_hash, metadata},
    server::Server,
    streams::DEAD,
};
use crate::{
    receive::queue::{dead::Dead, error::Error},
    secret::Secret,
};

/// Lists the dead jobs on the server, the latest first.
///
/// # Errors
/// When the server cannot be reached, or no receiver has worked there yet.
pub(crate) async fn list_dead(url: &Secret) -> Result<Vec<Dead>, Error> {
    let server = Server::connect(url).await?;
    let (_, messages) = server.dead().await?;
    let dead = messages.into_iter().filter_map(|message| {
        let metadata = metadata(&message.headers)?;
        let (attempts, error) = metadata.failed.unwrap_or_default();
        Some(Dead {
            number: message.sequence,
            task: metadata.task,
            id: metadata.id,
            envelope: metadata.envelope,
            attempts,
            at: SystemTime::from(message.time),
            error,
        })
    });
    Ok(dead.rev().collect())
}

/// Returns dead jobs to the queue with all their attempts, and returns how many there were.
///
/// # Errors
/// When the server cannot be reached, or the queue is full.
pub(crate) async fn retry_dead(url: &Secret, dead: &[Dead]) -> Result<usize, Error> {
    let server = Server::connect(url).await?;
    let chosen = |sequence, _: &Metadata| dead.iter().any(|dead| dead.number == sequence);
    server.revive(chosen).await
}

impl Server {
    /// Returns the dead jobs that are `chosen` to the queue with all their attempts, and returns how many there were.
    pub(super) async fn revive(
        &self,
        chosen: impl Fn(u64, &Metadata) -> bool,
    ) -> Result<usize, Error> {
        let (stream, messages) = self.dead().await?;
        let mut revived = 0;
        for message in messages {
            let Some(mut metadata) = metadata(&message.headers) else {
                continue;
            };
            if !chosen(message.sequence, &metadata) {
                continue;
            }
            let Some(subject) = metadata.subject.take() else {
                continue;
            };
            metadata.failed = None;
            // Where two processes retry the same job at once, the server drops the second message by this id.
            let message_id = format!(
                "{}/{}/again/{}",
                id_hash(&metadata.id),
                metadata.task,
                message.sequence
            );
            let published = self
                .publish(subject, &message_id, &metadata, message.payload)
                .await?;
            if published.is_none() {
                return Err(self.error("cannot keep a message", "the queue is full"));
            }
            let deleted = stream.delete_message(message.sequence).await;
            deleted
                .map_err(|error| self.error("cannot remove a dead task from its list", error))?;
            revived += 1;
        }
        Ok(revived)
    }

    async fn dead(&self) -> Result<(Stream, VecDeque<StreamMessage>), Error> {
        let missing =
            |error| self.error("has no dead tasks; no receiver has worked there yet", error);
        let stream = self.context.get_stream(DEAD).await.map_err(missing)?;
        let mut messages = VecDeque::new();
        let mut sequence = stream.cached_info().state.first_sequence.max(1);
        let last = stream.cached_info().state.last_sequence;
        while sequence <= last {
            let next = stream
                .get_first_raw_message_by_subject("rowhook.dead.>", sequence)
                .await;
            match next {
                Ok(message) => {
                    sequence = message.sequence + 1;
                    messages.push_back(message);
                }
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(self.error("cannot read its dead tasks", error)),
            }
        }
        Ok((stream, messages))
    }
}
