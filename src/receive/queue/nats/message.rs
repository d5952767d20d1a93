//! A job as a NATS message: its subject, its metadata, and the names that are derived from tasks and ids.

use std::time::{Duration, SystemTime};

use async_nats::{HeaderMap, jetstream::Message};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::receive::envelope::{Envelope, Received};

/// The header that holds [`Metadata`] as JSON.
pub(super) const METADATA: &str = "Rowhook-Facts";
/// How many lanes an ordered task has on the server. Values of `order_by` that share a lane wait for each other.
pub(super) const LANES: u8 = 16;

/// What a message holds beside the body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Metadata {
    pub(super) id: String,
    pub(super) task: String,
    pub(super) envelope: Envelope,
    pub(super) content_type: String,
    /// Milliseconds since 1970.
    pub(super) received_at: u64,
    /// Of a dead job: how many attempts have failed, and the error of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<(u32, String)>,
    /// Of a dead job: the subject that it returns to when it is retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
}

impl Metadata {
    /// The metadata of a job that waits.
    pub(super) fn new(received: &Received, task: String) -> Self {
        Self {
            id: received.id.clone(),
            task,
            envelope: received.envelope.clone(),
            content_type: received.content_type.clone(),
            received_at: milliseconds_since_1970(received.received_at),
            failed: None,
            subject: None,
        }
    }
}

/// Reads a message of the queue. Returns the request and the number of this attempt, from 1; `None` for a message that
/// rowhook did not publish.
pub(super) fn read(message: &Message) -> Option<(Received, u32)> {
    let metadata = metadata(message.headers.as_ref()?)?;
    let number = message.info().ok()?.delivered;
    let received = Received {
        id: metadata.id,
        envelope: metadata.envelope,
        content_type: metadata.content_type,
        received_at: SystemTime::UNIX_EPOCH + Duration::from_millis(metadata.received_at),
        body: message.payload.clone(),
    };
    Some((received, u32::try_from(number).unwrap_or(u32::MAX)))
}

pub(super) fn metadata(headers: &HeaderMap) -> Option<Metadata> {
    serde_json::from_str(headers.get(METADATA)?.as_str()).ok()
}

/// The subject under which a job waits.
pub(super) fn subject(task: &str, lane: Option<&str>) -> String {
    let lane = match lane {
        None => "any".to_owned(),
        Some(lane) => (Sha256::digest(lane.as_bytes())[0] % LANES).to_string(),
    };
    format!("rowhook.receive.{}.{lane}", token(task))
}

/// The name of a task as a token of a subject, in which dots and spaces have a meaning.
pub(super) fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => token.push(char::from(byte)),
            other => token.push_str(&format!("={other:02X}")),
        }
    }
    token
}

/// A hash of an id, for subjects and message ids, which do not allow every character.
pub(super) fn id_hash(id: &str) -> String {
    hex::encode(&Sha256::digest(id.as_bytes())[..16])
}

/// The marker of a job that was dead once.
pub(super) fn dead_marker(id: &str, task: &str) -> String {
    format!("dead.{}.{}", id_hash(id), token(task))
}

fn milliseconds_since_1970(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
