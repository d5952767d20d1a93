//! What a request is about, read from the shapes of body that are common.
//!
//! Each shape yields a model and an event, such as `tenant` and `created`. Where a shape has one dotted name, such as
//! `book.added`, the last part is the event.
//!
//! What the body says counts before what a header says, because the body is signed, and a header hardly ever is. So a
//! header names the event only of a body that names none, and never where more than the body is signed.

use std::{fmt, time::SystemTime};

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    content::{Content, field, text_at},
    identity::Covered,
};
pub use super::{
    identity::{IdRule, SameBody},
    malformed::Malformed,
};
use crate::{config::Pattern, expression::document::Document};

/// The longest model or event, in bytes.
const LONGEST_NAME: usize = 256;

/// A request that was verified and parsed. Tasks are run with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The id, which duplicates share: the `webhook-id`, the id of a CloudEvent, or that of a sender that is known.
    /// Where there is none, one that no other request has.
    pub id: String,
    /// What the request is about.
    pub envelope: Envelope,
    /// The `content-type` as it was sent, or `application/json` where it is missing or the body was a form.
    pub content_type: String,
    /// When the request arrived.
    pub received_at: SystemTime,
    /// The JSON: the body byte for byte, without a byte order mark, or what was made of a form.
    pub body: Bytes,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The shape of the body.
    pub shape: Shape,
    /// The Django app of a model of NetBox, such as `tenancy`, where the body says it. Empty in all other shapes.
    #[serde(default)]
    pub app: String,
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
    /// `{"event": "created", "object_type": "tenancy.tenant", …}`, or before NetBox 4.5 with `"model": "tenant"`.
    Netbox,
    /// GitHub, with the model in `X-GitHub-Event` and the event in `action`.
    Github,
    /// An event of Slack: `{"type": "event_callback", "event": {"type": "app_mention", …}, …}`, which has no model.
    Slack,
    /// Zoom: `{"event": "meeting.started", "event_ts": …, "payload": …}`
    Zoom,
    /// Any other JSON.
    Other,
}

/// How requests are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) id: &'a IdRule,
    /// What of a request is signed. Where more is than the body, no other header is believed.
    pub(super) covered: Covered,
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
    ) -> Result<(Self, Document), Malformed> {
        let reading = Reading {
            id: &IdRule::default(),
            covered: Covered::Body,
        };
        Self::read_as(reading, headers, body, received_at)
    }

    pub(super) fn read_as(
        reading: Reading<'_>,
        headers: &HeaderMap,
        body: Bytes,
        received_at: SystemTime,
    ) -> Result<(Self, Document), Malformed> {
        let Content {
            json,
            body,
            content_type,
        } = Content::read(headers, body)?;
        let believed = (reading.covered == Covered::Body).then_some(headers);
        let received = Self {
            id: reading.id.id(headers, &json, &body, reading.covered)?,
            envelope: Envelope::read(believed, &json)?,
            content_type,
            received_at,
            body,
        };
        Ok((received, json))
    }
}

impl Envelope {
    /// Reads a body, and the headers where those may be believed.
    fn read(headers: Option<&HeaderMap>, json: &Document) -> Result<Self, Malformed> {
        let text = |path: &[&str]| text_at(json, path);
        let header = |name: &str| Some(headers?.get(name)?.to_str().ok()?.to_owned());
        let has = |key: &str| field(json.root(), key).is_some();
        let has_data = has("data");
        let dotted = |shape, name: String| (shape, String::new(), split(&name));
        let object_type = || text(&["object_type"]).or_else(|| text(&["model"]));
        let (shape, app, (model, event)) = if let (Some(_), Some(name)) =
            (text(&["specversion"]), text(&["type"]))
        {
            dotted(Shape::Cloudevents, name)
        } else if let (Some(name), true) = (text(&["hook", "event"]), has_data) {
            dotted(Shape::RestHooks, name)
        } else if let (Some(model), Some(event)) = (object_type(), text(&["event"])) {
            let (app, model) = split(&model);
            (Shape::Netbox, app, (model, event))
        } else if let (Some(name), true) = (text(&["type"]), has_data) {
            dotted(Shape::Standard, name)
        } else if let ("event_callback", Some(event)) = (
            &*text(&["type"]).unwrap_or_default(),
            text(&["event", "type"]),
        ) {
            (Shape::Slack, String::new(), (String::new(), event))
        } else if let (Some(name), true) = (text(&["event"]), has("event_ts") && has("payload")) {
            dotted(Shape::Zoom, name)
        } else if let Some(event) = header("x-github-event") {
            // Events such as push have no action. They are their own event.
            let action = text(&["action"]).unwrap_or_else(|| event.clone());
            (Shape::Github, String::new(), (event, action))
        } else if let Some(name) = header("ce-type") {
            dotted(Shape::Cloudevents, name)
        } else {
            (Shape::Other, String::new(), Default::default())
        };
        for (name, what) in [(&app, "model"), (&model, "model"), (&event, "event")] {
            if name.len() > LONGEST_NAME {
                return Err(Malformed::Name(what));
            }
        }
        Ok(Self {
            shape,
            app,
            model,
            event,
        })
    }

    /// Whether the model is one of these. That of NetBox may be named with its app or without, as its versions differ
    /// in whether they say it.
    pub fn is_about(&self, models: &[Pattern]) -> bool {
        if models.iter().any(|pattern| pattern.matches(&self.model)) {
            return true;
        }
        if self.shape != Shape::Netbox {
            return false;
        }
        let whole = format!("{}.{}", self.app, self.model);
        models.iter().any(|pattern| match pattern {
            Pattern::Exact(name) if self.app.is_empty() => name
                .rsplit_once('.')
                .is_some_and(|(_, model)| model == self.model),
            pattern => !self.app.is_empty() && pattern.matches(&whole),
        })
    }
}

/// Splits `book.added` into the model `book` and the event `added`. A name without a dot is an event without a model.
fn split(name: &str) -> (String, String) {
    let (before, last) = name.rsplit_once('.').unwrap_or(("", name));
    (before.to_owned(), last.to_owned())
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
            Self::Slack => "slack",
            Self::Zoom => "zoom",
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
                r#"{"event":"created","timestamp":"2026-01-01","object_type":"tenancy.tenant","username":"jo","request_id":"1","data":{"id":1},"snapshots":{"prechange":null,"postchange":{}}}"#,
                Shape::Netbox,
                "tenant",
                "created",
            ),
            (
                &[],
                r#"{"event":"updated","object_type":"tenancy.tenant","model":"tenant","data":{"id":1}}"#,
                Shape::Netbox,
                "tenant",
                "updated",
            ),
            // What is signed counts before what anybody on the way can add.
            (
                &[("x-github-event", "admin"), ("ce-type", "admin.all")],
                r#"{"hook":{"event":"book.added"},"data":{}}"#,
                Shape::RestHooks,
                "book",
                "added",
            ),
            (
                &[("x-github-event", "admin")],
                r#"{"event":"created","model":"tenant"}"#,
                Shape::Netbox,
                "tenant",
                "created",
            ),
            (
                &[],
                r#"{"event":"created","timestamp":"2024-01-01","model":"tenant","username":"jo","request_id":"1","data":{"id":1},"snapshots":{"prechange":null,"postchange":{}}}"#,
                Shape::Netbox,
                "tenant",
                "created",
            ),
            (
                &[],
                r#"{"type":"event_callback","team_id":"T1","event_id":"Ev1","event":{"type":"app_mention","user":"U1"}}"#,
                Shape::Slack,
                "",
                "app_mention",
            ),
            (
                &[("x-github-event", "admin")],
                r#"{"event":"meeting.participant_joined","event_ts":1626230691572,"payload":{"object":{}}}"#,
                Shape::Zoom,
                "meeting",
                "participant_joined",
            ),
            // Stripe.
            (
                &[],
                r#"{"id":"evt_1","object":"event","type":"invoice.paid","data":{"object":{}}}"#,
                Shape::Standard,
                "invoice",
                "paid",
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
    fn where_the_id_is_signed_no_other_header_says_what_happened() {
        let headers = HeaderMap::from_iter([
            (
                HeaderName::from_static("x-github-event"),
                "admin".parse().unwrap(),
            ),
            (
                HeaderName::from_static("ce-type"),
                "admin.all".parse().unwrap(),
            ),
        ]);
        let reading = Reading {
            id: &IdRule::default(),
            covered: Covered::Id,
        };
        let body = Bytes::from_static(b"{\"id\":1}");
        let read = Received::read_as(reading, &headers, body, SystemTime::UNIX_EPOCH);
        let envelope = read.unwrap().0.envelope;
        assert_eq!((envelope.shape, &*envelope.model), (Shape::Other, ""));
    }

    #[test]
    fn a_model_of_netbox_is_named_with_its_app_or_without() {
        let is_about = |body: &str, model: &str| {
            let envelope = read(&[], body).unwrap().envelope;
            envelope.is_about(&[Pattern::parse(model).unwrap()])
        };
        let newest = r#"{"event":"created","object_type":"tenancy.tenant"}"#;
        let oldest = r#"{"event":"created","model":"tenant"}"#;
        for model in ["tenant", "tenancy.tenant", "*"] {
            assert!(
                is_about(newest, model) && is_about(oldest, model),
                "{model}"
            );
        }
        assert!(is_about(newest, "tenancy.*"));
        for model in ["tenants", "dcim.site", "dcim.*", "ipam.tenant"] {
            assert!(!is_about(newest, model), "{model}");
        }
        assert!(!is_about(oldest, "tenancy.*") && !is_about(oldest, "dcim.site"));
        let other = r#"{"type":"tenancy.tenant.created","data":1}"#;
        assert!(is_about(other, "tenancy.tenant") && !is_about(other, "tenant"));
    }

    #[test]
    fn what_is_malformed_is_said() {
        let reason = |headers: &[(&'static str, &str)], body: &str| {
            read(headers, body).unwrap_err().to_string()
        };
        assert!(reason(&[], "payload=%7B%7D").starts_with("the body is not JSON: "));
        assert!(reason(&[], "").ends_with("; send application/json"));
        assert!(reason(&[], &"[".repeat(100_000)).contains("goes wrong at byte 100000"));
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
