//! What a request is about, read from the shapes of body that are common.
//!
//! Each shape yields a model and an event, such as `tenant` and `created`. Where a shape has one dotted name, such as
//! `book.added`, the last part is the event.

use std::{fmt, time::SystemTime};

use axum::http::{HeaderMap, header::CONTENT_TYPE};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The longest id, model or event, in bytes.
const LONGEST_NAME: usize = 256;

/// A request that was verified and parsed. Tasks are run with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The id, which duplicates share: the `webhook-id`; else the id of a CloudEvent or of a GitHub delivery; else a
    /// hash of the body.
    pub id: String,
    /// What the request is about.
    pub envelope: Envelope,
    /// The `content-type` as it was sent, or `application/json` where it is missing.
    pub content_type: String,
    /// When the request arrived.
    pub received_at: SystemTime,
    /// The body, byte for byte.
    pub body: Bytes,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The shape of the body.
    pub shape: Shape,
    /// What the event happened to, such as `tenant`. Empty where the body does not say.
    pub model: String,
    /// What happened, such as `created`. Empty where the body does not say.
    pub event: String,
}

/// The shape of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// `{"hook": {"event": "book.added", …}, "data": …}`
    RestHooks,
    /// `{"type": "book.added", "timestamp": …, "data": …}`
    Standard,
    /// CloudEvents 1.0, with its attributes in the body or in `ce-` headers.
    Cloudevents,
    /// `{"event": "created", "model": "tenant", …}`
    Netbox,
    /// GitHub, with the model in `X-GitHub-Event` and the event in `action`.
    Github,
    /// Any other JSON.
    Other,
}

/// A request that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The body is not UTF-8; the number is the offset of the first bad byte.
    #[error("the body is not UTF-8 at byte {0}; send JSON in UTF-8")]
    Encoding(usize),
    /// The body is not JSON.
    #[error("the body is not JSON: {0}; send application/json")]
    Json(String),
    /// The id is not 1 to 256 visible ASCII characters. Names the header that has it.
    #[error("the id in {0} is not 1 to 256 visible ASCII characters")]
    Id(&'static str),
    /// The model or event is longer than 256 bytes. Names which of the two.
    #[error("the {0} in the body is longer than 256 bytes")]
    Name(&'static str),
}

impl Received {
    /// Parses a request that has been verified. Also returns the JSON of its body.
    ///
    /// # Errors
    /// When the body is not JSON, the id is malformed, or the model or event is too long.
    pub fn read(
        headers: &HeaderMap,
        body: Bytes,
        received_at: SystemTime,
    ) -> Result<(Self, Value), Malformed> {
        let text =
            str::from_utf8(&body).map_err(|error| Malformed::Encoding(error.valid_up_to()))?;
        let json: Value =
            serde_json::from_str(text).map_err(|error| Malformed::Json(error.to_string()))?;
        let received = Self {
            id: id(headers, &json, &body)?,
            envelope: Envelope::read(headers, &json)?,
            content_type: header(headers, CONTENT_TYPE.as_str())
                .unwrap_or("application/json")
                .to_owned(),
            received_at,
            body,
        };
        Ok((received, json))
    }
}

impl Envelope {
    fn read(headers: &HeaderMap, json: &Value) -> Result<Self, Malformed> {
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str);
        let (shape, (model, event)) = if let Some(event) = header(headers, "x-github-event") {
            // Events such as push have no action. They are their own event.
            (Shape::Github, (event, text("/action").unwrap_or(event)))
        } else if let Some(name) = header(headers, "ce-type") {
            (Shape::Cloudevents, split(name))
        } else if let (Some(_), Some(name)) = (text("/specversion"), text("/type")) {
            (Shape::Cloudevents, split(name))
        } else if let (Some(name), true) = (text("/hook/event"), json.get("data").is_some()) {
            (Shape::RestHooks, split(name))
        } else if let (Some(model), Some(event)) = (text("/model"), text("/event")) {
            (Shape::Netbox, (model, event))
        } else if let (Some(name), true) = (text("/type"), json.get("data").is_some()) {
            (Shape::Standard, split(name))
        } else {
            (Shape::Other, ("", ""))
        };
        for (name, what) in [(model, "model"), (event, "event")] {
            if name.len() > LONGEST_NAME {
                return Err(Malformed::Name(what));
            }
        }
        Ok(Self {
            shape,
            model: model.to_owned(),
            event: event.to_owned(),
        })
    }
}

/// Splits `book.added` into the model `book` and the event `added`. A name without a dot is an event without a model.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

fn id(headers: &HeaderMap, json: &Value, body: &[u8]) -> Result<String, Malformed> {
    for name in ["webhook-id", "ce-id", "x-github-delivery"] {
        let Some(value) = headers.get(name) else {
            continue;
        };
        let id = value.to_str().ok();
        let id = id.filter(|id| (1..=LONGEST_NAME).contains(&id.len()));
        return id.map(str::to_owned).ok_or(Malformed::Id(name));
    }
    let text = |key: &str| json.get(key).and_then(Value::as_str);
    // The id of a CloudEvent is unique only within its source. Both may be long and contain any character, so they are
    // hashed.
    let parts = match (text("specversion"), text("source"), text("id")) {
        (Some(_), Some(source), Some(id)) => [source.as_bytes(), id.as_bytes()],
        _ => [b"".as_slice(), body],
    };
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    Ok(format!("body_{}", hex::encode(&hash.finalize()[..16])))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Writes `tenant created`, or the part of it that is known.
impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.model, &*self.event) {
            ("", "") => f.write_str("no model or event"),
            ("", only) | (only, "") => f.write_str(only),
            (model, event) => write!(f, "{model} {event}"),
        }
    }
}

/// Writes the name that hooks.toml uses and that tasks get as `ROWHOOK_SHAPE`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RestHooks => "rest-hooks",
            Self::Standard => "standard",
            Self::Cloudevents => "cloudevents",
            Self::Netbox => "netbox",
            Self::Github => "github",
            Self::Other => "other",
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    fn read(headers: &[(&'static str, &str)], body: &str) -> Result<Received, Malformed> {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        let headers = headers.iter().map(pair).collect();
        let body = Bytes::copy_from_slice(body.as_bytes());
        Received::read(&headers, body, SystemTime::UNIX_EPOCH).map(|(received, _)| received)
    }

    #[test]
    fn each_shape_comes_to_a_model_and_an_event() {
        for (headers, body, shape, model, event) in [
            (
                [].as_slice(),
                r#"{"hook":{"id":"1","event":"book.added","target":"https://a"},"data":{"id":1}}"#,
                Shape::RestHooks,
                "book",
                "added",
            ),
            (
                &[],
                r#"{"type":"clinic.pet.created","timestamp":"2022-11-03T20:26:10Z","data":{}}"#,
                Shape::Standard,
                "clinic.pet",
                "created",
            ),
            (
                &[],
                r#"{"specversion":"1.0","type":"book.added","source":"/s","id":"1","data":{}}"#,
                Shape::Cloudevents,
                "book",
                "added",
            ),
            (
                &[("ce-type", "book.added"), ("ce-id", "1")],
                r#"{"id":1}"#,
                Shape::Cloudevents,
                "book",
                "added",
            ),
            (
                &[],
                r#"{"event":"created","timestamp":"2024-01-01","model":"tenant","username":"jo","request_id":"1","data":{"id":1},"snapshots":{"prechange":null,"postchange":{}}}"#,
                Shape::Netbox,
                "tenant",
                "created",
            ),
            (
                &[("x-github-event", "issues")],
                r#"{"action":"opened","issue":{}}"#,
                Shape::Github,
                "issues",
                "opened",
            ),
            (
                &[("x-github-event", "push")],
                r#"{"ref":"x"}"#,
                Shape::Github,
                "push",
                "push",
            ),
            (
                &[],
                r#"{"type":"ping","data":null}"#,
                Shape::Standard,
                "",
                "ping",
            ),
            (&[], r#"{"id":1,"type":"paperback"}"#, Shape::Other, "", ""),
            (&[], "[]", Shape::Other, "", ""),
        ] {
            let envelope = read(headers, body).unwrap().envelope;
            let found = (envelope.shape, &*envelope.model, &*envelope.event);
            assert_eq!(found, (shape, model, event), "{body}");
        }
    }

    #[test]
    fn an_id_is_that_of_the_sender_or_else_of_the_body() {
        let id = |headers: &[(&'static str, &str)], body: &str| read(headers, body).unwrap().id;
        let github = ("x-github-delivery", "72d3162e");
        assert_eq!(id(&[("webhook-id", "msg_1"), github], "{}"), "msg_1");
        assert_eq!(id(&[github], "{}"), "72d3162e");
        let event = |id: &str, data: u8| {
            format!(
                r#"{{"specversion":"1.0","source":"/s","id":"{id}","type":"a.b","data":{data}}}"#
            )
        };
        assert_eq!(id(&[], &event("1", 1)), id(&[], &event("1", 2)));
        assert_ne!(id(&[], &event("1", 1)), id(&[], &event("2", 1)));
        assert_eq!(id(&[], "{}"), id(&[], "{}"));
        assert_ne!(id(&[], "{}"), id(&[], "{ }"));
        assert!(id(&[], "{}").starts_with("body_") && id(&[], "{}").len() == 37);
    }

    #[test]
    fn what_is_malformed_is_said() {
        let reason = |headers: &[(&'static str, &str)], body: &str| {
            read(headers, body).unwrap_err().to_string()
        };
        assert!(reason(&[], "payload=%7B%7D").starts_with("the body is not JSON: "));
        assert!(reason(&[], "").ends_with("; send application/json"));
        assert!(reason(&[], &"[".repeat(100_000)).contains("recursion limit"));
        let long = "x".repeat(257);
        assert!(reason(&[("webhook-id", &long)], "{}").contains("webhook-id"));
        assert!(reason(&[("webhook-id", "")], "{}").contains("webhook-id"));
        let model = format!(r#"{{"model":"{long}","event":"created"}}"#);
        assert!(reason(&[], &model).contains("model"));
        let headers = HeaderMap::new();
        let body = Bytes::from_static(b"{\"a\":\"\xff\"}");
        let malformed = Received::read(&headers, body, SystemTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(malformed, Malformed::Encoding(6));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in any::<Vec<u8>>(), text in "\\PC*") {
            for body in [Bytes::from(body), Bytes::from(text)] {
                let _ = Received::read(&HeaderMap::new(), body, SystemTime::UNIX_EPOCH);
            }
        }
    }
}
