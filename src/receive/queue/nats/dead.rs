//! The dead jobs on a server of NATS, beside whoever works there.

use std::{collections::VecDeque, time::SystemTime};

use async_nats::jetstream::{
    message::StreamMessage,
    stream::{RawMessageErrorKind, Stream},
};

use super::{
    DEAD,
    message::{facts, key},
    server::Server,
};
use crate::{
    receive::queue::{Dead, Error},
    secret::Secret,
};

/// The dead jobs of the server, the latest first.
///
/// # Errors
/// When the server cannot be reached, or no receiver has worked there yet.
pub(in crate::receive::queue) async fn list_dead(url: &Secret) -> Result<Vec<Dead>, Error> {
    let server = Server::connect(url).await?;
    let (_, messages) = server.dead().await?;
    let dead = messages.into_iter().filter_map(|message| {
        let facts = facts(&message.headers)?;
        let (attempts, error) = facts.failed.unwrap_or_default();
        Some(Dead {
            number: message.sequence,
            task: facts.task,
            id: facts.id,
            envelope: facts.envelope,
            attempts,
            at: SystemTime::from(message.time),
            error,
        })
    });
    Ok(dead.rev().collect())
}

/// Lets dead jobs begin anew, and returns how many they are.
///
/// # Errors
/// When the server cannot be reached or has no room.
pub(in crate::receive::queue) async fn retry_dead(
    url: &Secret,
    dead: &[Dead],
) -> Result<usize, Error> {
    let server = Server::connect(url).await?;
    let (stream, messages) = server.dead().await?;
    let mut revived = 0;
    for message in messages {
        if !dead.iter().any(|dead| dead.number == message.sequence) {
            continue;
        }
        let Some(mut facts) = facts(&message.headers) else {
            continue;
        };
        let Some(subject) = facts.subject.take() else {
            continue;
        };
        facts.failed = None;
        // Of two who retry the same one at once, the second publishes nothing.
        let message_id = format!(
            "{}/{}/again/{}",
            key(&facts.id),
            facts.task,
            message.sequence
        );
        let published = server
            .publish(subject, &message_id, &facts, message.payload)
            .await?;
        if published.is_none() {
            return Err(server.wrong("cannot keep a message", "the queue is full"));
        }
        let deleted = stream.delete_message(message.sequence).await;
        deleted.map_err(|error| server.wrong("cannot remove a dead task from its list", error))?;
        revived += 1;
    }
    Ok(revived)
}

impl Server {
    async fn dead(&self) -> Result<(Stream, VecDeque<StreamMessage>), Error> {
        let missing =
            |error| self.wrong("has no dead tasks; no receiver has worked there yet", error);
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
                Err(error) => return Err(self.wrong("cannot read its dead tasks", error)),
            }
        }
        Ok((stream, messages))
    }
}
