//! A job as a message: its subject, what it says beside the body, and the names that are made of names and ids.

use std::time::{Duration, SystemTime};

use async_nats::{HeaderMap, jetstream::Message};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::receive::envelope::{Envelope, Received};

/// The header with what is not the body.
pub(super) const FACTS: &str = "Rowhook-Facts";
/// So many lanes an ordered task has on the server. What falls into the same one waits for one another.
pub(super) const LANES: u8 = 16;

/// What a message says beside the body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) id: String,
    pub(super) task: String,
    pub(super) envelope: Envelope,
    pub(super) content_type: String,
    /// Milliseconds since 1970.
    pub(super) received_at: u64,
    /// Of a dead one: how many attempts have failed, and with what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<(u32, String)>,
    /// Of a dead one: where it belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
}

/// What a message of the queue is about, and which attempt is the next.
pub(super) fn read(message: &Message) -> Option<(Received, u32)> {
    let facts = facts(message.headers.as_ref()?)?;
    let number = message.info().ok()?.delivered;
    let received = Received {
        id: facts.id,
        envelope: facts.envelope,
        content_type: facts.content_type,
        received_at: SystemTime::UNIX_EPOCH + Duration::from_millis(facts.received_at),
        body: message.payload.clone(),
    };
    Some((received, u32::try_from(number).unwrap_or(u32::MAX)))
}

pub(super) fn facts(headers: &HeaderMap) -> Option<Facts> {
    serde_json::from_str(headers.get(FACTS)?.as_str()).ok()
}

/// Where a job waits.
pub(super) fn subject(task: &str, lane: Option<&str>) -> String {
    let lane = match lane {
        None => "any".to_owned(),
        Some(lane) => (Sha256::digest(lane.as_bytes())[0] % LANES).to_string(),
    };
    format!("rowhook.receive.{}.{lane}", token(task))
}

/// A task's name where dots and spaces have a meaning.
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

/// An id where only some characters are allowed.
pub(super) fn key(id: &str) -> String {
    let hash = Sha256::digest(id.as_bytes());
    let digits: Vec<String> = hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits.concat()
}

pub(super) fn milliseconds(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
