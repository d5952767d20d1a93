//! By which id a request is known, so that what a sender repeats runs once, and what only looks alike runs each time.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::{content::text_at, malformed::Malformed};
use crate::expression::document::Document;

/// The longest id, in bytes.
const LONGEST: usize = 256;
/// The header of Standard Webhooks.
const STANDARD: &str = "webhook-id";
/// The headers in which well-known senders have the id of a delivery, which their repetitions share.
const KNOWN: [&str; 16] = [
    "x-github-delivery",
    "x-gitea-delivery",
    "x-gogs-delivery",
    "x-shopify-webhook-id",
    // GitLab's id of a delivery. The events that one event of GitLab leads to share the other header.
    "idempotency-key",
    "x-gitlab-event-uuid",
    "x-discourse-event-id",
    "x-wc-webhook-delivery-id",
    "x-request-uuid",
    "svix-id",
    "linear-delivery",
    "x-zendesk-webhook-invocation-id",
    "i-twilio-idempotency-token",
    "x-webhook-delivery-id",
    "x-delivery-id",
    "x-event-id",
];

/// What the id of a request is read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdRule {
    /// The header that has it. `None`: one of those that are known.
    pub header: Option<HeaderName>,
    /// What a request without an id is whose body came before.
    pub same_body: SameBody,
}

/// What a request without an id is whose body came before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SameBody {
    /// Another delivery, which runs: two orders of the same book are two orders.
    #[default]
    New,
    /// The same delivery again, which does not run.
    Repeated,
}

/// What of a request is signed. What is not says nothing of what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Covered {
    /// The body alone, or not even that. Then headers are believed, for want of better.
    Body,
    /// The body, the time and `webhook-id`, as Standard Webhooks does it.
    Id,
    /// The body and the time. The id of a delivery is this member of the body, if it is anywhere.
    Time { id: Option<&'static str> },
}

impl IdRule {
    /// The id of a request. A header that is not signed counts only where none is, or where the rule names it.
    pub(super) fn id(
        &self,
        headers: &HeaderMap,
        json: &Document,
        body: &[u8],
        covered: Covered,
    ) -> Result<String, Malformed> {
        let attribute = |key: &str| text_at(json, &[key]);
        if let Some(name) = &self.header
            && let Some(value) = headers.get(name)
        {
            return text(name.as_str(), value);
        }
        match (covered, headers.get(STANDARD)) {
            (Covered::Time { id: Some(key) }, _) => {
                if let Some(id) = attribute(key) {
                    let is_plain = id.bytes().all(|byte| byte.is_ascii_graphic());
                    let is_kept = is_plain && (1..=LONGEST).contains(&id.len());
                    return Ok(if is_kept {
                        id
                    } else {
                        hash("body", &[id.as_bytes()])
                    });
                }
            }
            (Covered::Id | Covered::Body, Some(value)) => return text(STANDARD, value),
            _ => {}
        }
        // The id of a CloudEvent is unique only within its source. What the body says of it counts before the headers,
        // which are never signed.
        if let (Some(_), Some(source), Some(id)) = (
            attribute("specversion"),
            attribute("source"),
            attribute("id"),
        ) {
            return Ok(hash("body", &[source.as_bytes(), id.as_bytes()]));
        }
        if covered == Covered::Body {
            if let (Some(source), Some(id)) = (headers.get("ce-source"), headers.get("ce-id")) {
                return Ok(hash("ce", &[source.as_bytes(), id.as_bytes()]));
            }
            for name in KNOWN.iter().chain(&["ce-id"]) {
                if let Some(value) = headers.get(*name) {
                    return text(name, value);
                }
            }
        }
        Ok(match self.same_body {
            SameBody::New => hash("once", &[&rand::random::<[u8; 16]>()]),
            SameBody::Repeated => hash("body", &[b"", body]),
        })
    }
}

fn text(name: &str, value: &HeaderValue) -> Result<String, Malformed> {
    let id = value.to_str().ok();
    let id = id.filter(|id| (1..=LONGEST).contains(&id.len()));
    let malformed = || Malformed::Id(name.to_owned());
    id.map(str::to_owned).ok_or_else(malformed)
}

/// An id that is made of texts, which may be long and contain any character.
fn hash(kind: &str, parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    format!("{kind}_{}", hex::encode(&hash.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_by(
        rule: &IdRule,
        headers: &[(&'static str, &str)],
        body: &str,
        covered: Covered,
    ) -> String {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        let headers = headers.iter().map(pair).collect();
        let json = Document::parse(body).unwrap();
        rule.id(&headers, &json, body.as_bytes(), covered).unwrap()
    }

    fn id(headers: &[(&'static str, &str)], body: &str) -> String {
        id_by(&IdRule::default(), headers, body, Covered::Body)
    }

    #[test]
    fn the_id_of_a_known_sender_is_that_of_its_header() {
        for (headers, expected) in [
            (
                &[("webhook-id", "msg_1"), ("x-github-delivery", "g")][..],
                "msg_1",
            ),
            (&[("x-github-delivery", "72d3162e")], "72d3162e"),
            (&[("x-shopify-webhook-id", "b54557e4")], "b54557e4"),
            (&[("x-gitlab-event-uuid", "e1")], "e1"),
            (
                &[("x-gitlab-event-uuid", "e1"), ("idempotency-key", "k1")],
                "k1",
            ),
            (&[("x-discourse-event-id", "41")], "41"),
            (&[("x-wc-webhook-delivery-id", "w1")], "w1"),
        ] {
            assert_eq!(id(headers, "{}"), expected);
        }
        let rule = IdRule {
            header: Some(HeaderName::from_static("x-my-id")),
            ..IdRule::default()
        };
        let both = [("x-my-id", "7"), ("x-github-delivery", "g")];
        assert_eq!(id_by(&rule, &both, "{}", Covered::Body), "7");
        assert_eq!(id_by(&rule, &both[1..], "{}", Covered::Body), "g");
    }

    #[test]
    fn equal_bodies_are_one_delivery_only_where_that_is_asked_for() {
        assert_ne!(id(&[], "{}"), id(&[], "{}"));
        assert!(id(&[], "{}").starts_with("once_"));
        let repeated = IdRule {
            same_body: SameBody::Repeated,
            ..IdRule::default()
        };
        let of_body = |body: &str| id_by(&repeated, &[], body, Covered::Body);
        assert_eq!(of_body("{}"), of_body("{}"));
        assert_ne!(of_body("{}"), of_body("{ }"));
        assert!(of_body("{}").starts_with("body_") && of_body("{}").len() == 37);
    }

    #[test]
    fn a_cloud_event_is_known_by_its_source_and_id() {
        let event = |source: &str, id: &str, data: u8| {
            format!(
                r#"{{"specversion":"1.0","source":"{source}","id":"{id}","type":"a.b","data":{data}}}"#
            )
        };
        let forged = [("ce-id", "2"), ("ce-source", "/s")];
        assert_eq!(id(&[], &event("/s", "1", 1)), id(&[], &event("/s", "1", 2)));
        assert_eq!(
            id(&[], &event("/s", "1", 1)),
            id(&forged, &event("/s", "1", 1))
        );
        assert_ne!(id(&[], &event("/s", "1", 1)), id(&[], &event("/s", "2", 1)));
        assert_ne!(id(&[], &event("/s", "1", 1)), id(&[], &event("/t", "1", 1)));
        let headers = |source: &'static str| [("ce-id", "1"), ("ce-source", source)];
        assert_eq!(id(&headers("/s"), "{}"), id(&headers("/s"), "[]"));
        assert_ne!(id(&headers("/s"), "{}"), id(&headers("/t"), "{}"));
        assert_eq!(id(&[("ce-id", "1")], "{}"), "1");
    }

    #[test]
    fn a_header_that_is_not_signed_names_no_delivery_where_one_could_be() {
        let forged = [("x-github-delivery", "g")];
        for covered in [Covered::Id, Covered::Time { id: None }] {
            let id = id_by(&IdRule::default(), &forged, "{}", covered);
            assert!(id.starts_with("once_"));
        }
    }

    #[test]
    fn a_sender_that_signs_the_time_has_its_ids_in_the_body() {
        let covered = Covered::Time {
            id: Some("event_id"),
        };
        let forged = [("webhook-id", "another"), ("x-github-delivery", "g")];
        let id = |body: &str| id_by(&IdRule::default(), &forged, body, covered);
        assert_eq!(id(r#"{"event_id":"Ev08MFMKH6"}"#), "Ev08MFMKH6");
        assert!(id("{}").starts_with("once_"));
        for odd in ["", "a b", "é"] {
            let body = format!(r#"{{"event_id":"{odd}"}}"#);
            assert!(id(&body).starts_with("body_"));
            assert_eq!(id(&body), id(&body));
        }
        let rule = IdRule {
            header: Some(HeaderName::from_static("x-my-id")),
            ..IdRule::default()
        };
        let named = [("x-my-id", "7")];
        assert_eq!(id_by(&rule, &named, r#"{"event_id":"1"}"#, covered), "7");
    }

    #[test]
    fn an_id_that_cannot_be_kept_is_refused() {
        let json = Document::parse("{}").unwrap();
        for value in [
            HeaderValue::from_static(""),
            HeaderValue::from_bytes(b"\xff").unwrap(),
        ] {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static("x-shopify-webhook-id"), value)]);
            let refused = IdRule::default().id(&headers, &json, b"{}", Covered::Body);
            assert_eq!(
                refused,
                Err(Malformed::Id("x-shopify-webhook-id".to_owned()))
            );
        }
    }
}
