//! Messages that SQL writes into the WAL with `rowhook.emit` and `rowhook.emit_row`: an event without a row change, or
//! an action on a row.

mod key;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

pub use self::key::{Doubt, Envelope, MessageKey};
use crate::postgres::TableName;

/// The prefix of messages that are meant for rowhook.
pub const PREFIX: &str = "rowhook";

/// The prefix of messages that a backfill writes.
pub const BACKFILL: &str = "rowhook.backfill";

/// The prefix of messages that mark where the hook table was read.
pub const LOADED: &str = "rowhook.loaded";

/// The prefix of messages that say: what this transaction does to hooks is on record.
pub const AUDITED: &str = "rowhook.audited";

/// The prefix of messages that ask about what is not committed yet. They are outside of any transaction.
pub const BEFORE: &str = "rowhook.before";

/// The event of a hook that rowhook has disabled. The hooks of its owner may listen to it.
pub const HOOK_DISABLED: &str = "hook.disabled";
/// The event of changes that were lost. All hooks may listen to it.
pub const GAP: &str = "rowhook.gap";
/// The event of a delivery that has arrived, where hooks.toml wants it. The hooks of its owner may listen to it.
pub const DELIVERED: &str = "rowhook.delivered";
/// The events that rowhook fires itself.
pub const OWN_EVENTS: [&str; 3] = [HOOK_DISABLED, GAP, DELIVERED];

/// Why a message is not read whose text is in the encoding of its database, and what to do about it.
const NOT_UTF8: &str = "it is not UTF-8; use rowhook.emit or rowhook.emit_row, or give convert_to(…, 'UTF8') to pg_logical_emit_message";

/// A message that SQL emitted.
#[derive(Debug)]
pub enum SqlMessage {
    /// An event without a row.
    Event(Message),
    /// An action on a row, fired by hand.
    Action(Action),
}

impl SqlMessage {
    /// Reads the content of a message.
    ///
    /// # Errors
    /// In words, when the content is not such a JSON object.
    pub fn parse(content: &Bytes) -> Result<Self, String> {
        /// Only an action has a table.
        #[derive(Deserialize)]
        struct Kind {
            table: Option<IgnoredAny>,
        }
        let text = std::str::from_utf8(content).map_err(|_| NOT_UTF8.to_owned())?;
        // Postgres' own text may hold NUL in JSON escapes only, which serde_json reads like any other.
        match serde_json::from_str(text) {
            Ok(Kind { table: Some(_) }) => serde_json::from_str(text).map(Self::Action),
            Ok(Kind { table: None }) | Err(_) => serde_json::from_str(text).map(Self::Event),
        }
        .map_err(|error| error.to_string())
    }

    /// May the operator allow that anybody fires it? Never what rowhook itself has to say.
    pub fn may_be_unsigned(&self) -> bool {
        match self {
            Self::Event(message) => !OWN_EVENTS.contains(&message.event.as_str()),
            Self::Action(_) => true,
        }
    }
}

/// An action on a row, as `rowhook.emit_row` writes it. The row is in Postgres' text format, printed with the settings
/// that rowhook reads values in:
///
/// ```json
/// {"table": "book", "action": "read", "columns": ["id", "title"], "row": "(7,Dune)"}
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The schema of the table. Default `public`.
    #[serde(default = "public")]
    pub schema: String,
    /// The table.
    pub table: String,
    /// The action's name.
    pub action: String,
    /// The names of the row's columns, in its order.
    pub columns: Vec<String>,
    /// The row, in Postgres' text format.
    pub row: String,
    /// Whose event it is; `None`: the row's own owner's.
    #[serde(default, deserialize_with = "text_or_number")]
    pub owner: Option<String>,
}

impl Action {
    /// The qualified name of the table.
    pub fn table(&self) -> TableName {
        TableName {
            schema: self.schema.clone(),
            name: self.table.clone(),
        }
    }
}

/// A row that a backfill read, to be sent to one hook.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackfillRow {
    /// The schema of the table.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The event's name.
    pub event: String,
    /// The hook's id.
    pub hook: String,
    /// The names of the row's columns, in its order.
    pub columns: Vec<String>,
    /// The row, as in [`Action`].
    pub row: String,
}

/// An event without a row, as its sender wrote it:
///
/// ```json
/// {"event": "user.logged_in", "owner": "7", "payload": {"from": "10.1.2.3"}}
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The event's name.
    pub event: String,
    /// Whose event it is, written as a text or a number; `None`: nobody's.
    #[serde(default, deserialize_with = "text_or_number")]
    pub owner: Option<String>,
    /// Any JSON, kept as it was written. Default null.
    #[serde(default = "null")]
    pub payload: Box<RawValue>,
    /// With `false`, the formats `rest-hooks` and `django` send the payload without the `hook` around it. Default true.
    #[serde(default = "yes")]
    pub send_hook_meta: bool,
    /// The id of a hook that is not sent the event, because the event is about that hook.
    #[serde(default)]
    pub about: Option<String>,
}

impl Message {
    /// The hook that rowhook has disabled with this message, if it keeps for it what it hears.
    pub fn keeps(&self) -> Option<&str> {
        #[derive(Deserialize)]
        struct Payload {
            kept: bool,
        }
        let is_kept =
            || serde_json::from_str(self.payload.get()).is_ok_and(|Payload { kept }| kept);
        let about = self
            .about
            .as_deref()
            .filter(|_| self.event == HOOK_DISABLED);
        about.filter(|_| is_kept())
    }

    /// An event that rowhook fires itself.
    pub fn own(event: &str, payload: serde_json::Value) -> Self {
        Self {
            event: event.to_owned(),
            owner: None,
            payload: serde_json::value::to_raw_value(&payload).unwrap_or_else(|_| null()),
            send_hook_meta: true,
            about: None,
        }
    }
}

/// A hook that was disabled, for the event [`HOOK_DISABLED`].
#[derive(Debug)]
pub struct Disabled<'a> {
    /// The hook's owner.
    pub owner: Option<&'a str>,
    /// The hook's id, so that the hook is not sent the event about itself.
    pub id: &'a str,
    /// The id as payloads show it: a number where its column is one.
    pub hook: serde_json::Value,
    /// Its target, without credentials.
    pub target: &'a str,
    /// Why it was disabled.
    pub reason: &'a str,
    /// When its failures began, or when somebody disabled it.
    pub since: &'a str,
    /// What its target answered last, in a few words.
    pub last_answer: Option<&'a str>,
    /// Whether what it hears from now on is kept until it is enabled again.
    pub kept: bool,
}

impl Disabled<'_> {
    /// The content of the message, which [`SqlMessage::parse`] reads.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "event": HOOK_DISABLED,
            "owner": self.owner,
            "about": self.id,
            "payload": {
                "hook": self.hook,
                "target": self.target,
                "reason": self.reason,
                "since": self.since,
                "last_answer": self.last_answer,
                "kept": self.kept,
            },
        })
        .to_string()
    }
}

/// A delivery that has arrived, for the event [`DELIVERED`].
#[derive(Debug)]
pub struct Delivered<'a> {
    /// Whose delivery it was.
    pub owner: Option<&'a str>,
    /// The id of the hook, so that the hook is not sent the event about itself.
    pub id: &'a str,
    /// The id as payloads show it: a number where its column is one.
    pub hook: serde_json::Value,
    /// Its target, without credentials.
    pub target: &'a str,
    /// The id of the delivery, which its request had as `webhook-id`.
    pub delivery: &'a str,
    /// Its event.
    pub event: &'a str,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The status that the target answered with.
    pub status: Option<u16>,
}

impl Delivered<'_> {
    /// The content of the message, which [`SqlMessage::parse`] reads.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "event": DELIVERED,
            "owner": self.owner,
            "about": self.id,
            "payload": {
                "hook": self.hook,
                "target": self.target,
                "delivery": self.delivery,
                "event": self.event,
                "attempt": self.attempt,
                "status": self.status,
            },
        })
        .to_string()
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

fn public() -> String {
    "public".to_owned()
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

    fn said(text: &str) -> Result<SqlMessage, String> {
        SqlMessage::parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn parse(text: &str) -> Result<Message, String> {
        match said(text)? {
            SqlMessage::Event(message) => Ok(message),
            SqlMessage::Action(action) => panic!("{action:?}"),
        }
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
        assert!(SqlMessage::parse(&Bytes::from_static(b"\xff")).is_err());
    }

    #[test]
    fn an_action_names_its_table_and_brings_its_row() {
        let text = r#"{"table": "book", "action": "read", "columns": ["id"], "row": "(7)"}"#;
        let Ok(SqlMessage::Action(action)) = said(text) else {
            panic!("an action");
        };
        assert_eq!(action.table(), TableName::public("book"));
        let error = said(r#"{"table": "book", "action": "read"}"#).unwrap_err();
        assert!(error.contains("missing field `columns`"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = SqlMessage::parse(&Bytes::from(content));
        }
    }
}
