//! What SQL says with `pg_logical_emit_message(true, 'rowhook', …)`: an event that is no row change.

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The prefix of messages that are for us.
pub const PREFIX: &str = "rowhook";

/// A message, as its sender wrote it:
///
/// ```json
/// {"event": "user.logged_in", "owner": "7", "payload": {"from": "10.1.2.3"}}
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The event's name.
    pub event: String,
    /// Whose event it is, as text or number; `None`: nobody's.
    #[serde(default, deserialize_with = "text_or_number")]
    pub owner: Option<String>,
    /// Any JSON, kept as it was written; null where there is none.
    #[serde(default = "null")]
    pub payload: Box<RawValue>,
    /// With `false`, the payload `rest-hooks` is what it wraps alone.
    #[serde(default = "yes")]
    pub send_hook_meta: bool,
    /// The id of a hook that is not told, because it is what the message is about.
    #[serde(default)]
    pub about: Option<String>,
}

impl Message {
    /// One of rowhook's own.
    pub fn own(event: &str, payload: serde_json::Value) -> Self {
        Self {
            event: event.to_owned(),
            owner: None,
            payload: serde_json::value::to_raw_value(&payload).unwrap_or_else(|_| null()),
            send_hook_meta: true,
            about: None,
        }
    }

    /// Reads what a message holds.
    ///
    /// # Errors
    /// In words, when it is not such a JSON object.
    pub fn parse(content: &Bytes) -> Result<Self, String> {
        let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())?;
        // Postgres' own text may hold NUL in JSON escapes only, which serde_json reads like any other.
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Owner {
        Text(String),
        Number(i64),
    }
    Ok(
        Option::<Owner>::deserialize(from)?.map(|owner| match owner {
            Owner::Text(text) => text,
            Owner::Number(number) => number.to_string(),
        }),
    )
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Message, String> {
        Message::parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_message_is_read_and_its_payload_kept_as_it_was_written() {
        let message =
            parse(r#"{"event": "a.b", "owner": 7, "payload": {"z": 1.50, "a": [ ]}, "send_hook_meta": false}"#)
                .unwrap();
        assert_eq!(message.event, "a.b");
        assert_eq!(message.owner.as_deref(), Some("7"));
        assert_eq!(message.payload.get(), r#"{"z": 1.50, "a": [ ]}"#);
        assert!(!message.send_hook_meta);
        let bare = parse(r#"{"event": "a.b"}"#).unwrap();
        assert_eq!((bare.owner, bare.payload.get()), (None, "null"));
        assert!(bare.send_hook_meta);
    }

    #[test]
    fn what_is_no_message_says_why() {
        for (text, expected) in [
            ("", "EOF"),
            ("[]", "invalid"),
            ("{}", "missing field `event`"),
            (r#"{"event": "a", "ownr": "7"}"#, "unknown field `ownr`"),
            (r#"{"event": "a", "owner": {}}"#, "did not match"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Message::parse(&Bytes::from_static(b"\xff")).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&Bytes::from(content));
        }
    }
}
