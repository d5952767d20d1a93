//! Answers what senders ask before they send: whether this endpoint wants their webhooks.
//!
//! Each is answered only where it is configured, as its sender documents. None of them makes a task run.

use std::fmt;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{ALLOW, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::Response,
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::content::{is_form, text_at};
use crate::{expression::document::Document, secret::Secret};

/// The longest text that is sent back, in bytes. What senders ask with is much shorter.
const LONGEST: usize = 1024;
const ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const RATE: HeaderName = HeaderName::from_static("webhook-request-rate");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// The handshakes that are answered. The default answers none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handshakes {
    /// CloudEvents: the origins that may send, or `*` for all.
    pub cloudevents: Vec<String>,
    /// Meta (Facebook, WhatsApp, Instagram): the verify token.
    pub meta: Option<Secret>,
    /// Slack: `url_verification`.
    pub slack: bool,
    /// Zoom: the secret token, for `endpoint.url_validation`.
    pub zoom: Option<Secret>,
    /// Dropbox: `challenge`.
    pub dropbox: bool,
    /// WooCommerce: the ping that it sends, unsigned, when a webhook is saved.
    pub woocommerce: bool,
}

/// The answer to a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    sender: &'static str,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: String,
}

impl Handshakes {
    /// The answer to a request without a body; `None`: it is no handshake.
    pub(super) fn of_head(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Option<Greeting> {
        match *method {
            Method::OPTIONS => self.cloudevents(headers),
            Method::GET => self.meta(uri).or_else(|| self.dropbox(uri)),
            _ => None,
        }
    }

    /// The answer to a request that cannot be signed; `None`: it is no handshake.
    pub(super) fn of_unsigned(&self, headers: &HeaderMap, body: &[u8]) -> Option<Greeting> {
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        if !self.woocommerce || !is_form(content_type) {
            return None;
        }
        let number = body.strip_prefix(b"webhook_id=")?;
        let is_number = (1..=20).contains(&number.len()) && number.iter().all(u8::is_ascii_digit);
        is_number.then(|| Greeting::text("WooCommerce", StatusCode::OK, "welcome\n".into()))
    }

    /// The answer to a request that is verified; `None`: it is no handshake.
    pub(super) fn of_verified(&self, json: &Document) -> Option<Greeting> {
        let text = |path: &[&str]| text_at(json, path).filter(|text| text.len() <= LONGEST);
        if self.slack && text(&["type"]).as_deref() == Some("url_verification") {
            let challenge = text(&["challenge"])?;
            return Some(Greeting::text("Slack", StatusCode::OK, challenge));
        }
        let secret = self.zoom.as_ref()?;
        if text(&["event"]).as_deref() != Some("endpoint.url_validation") {
            return None;
        }
        let token = text(&["payload", "plainToken"])?;
        // The same key signs Zoom's webhooks, as "v0:time:body". Nobody may have such a text signed here.
        let is_token = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
        if token.is_empty() || !token.chars().all(is_token) {
            return None;
        }
        let hmac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.expose().as_bytes()).ok()?;
        let code = hmac.chain_update(&token).finalize().into_bytes();
        let body = json!({"plainToken": token, "encryptedToken": hex::encode(code)});
        let mut greeting = Greeting::text("Zoom", StatusCode::OK, body.to_string());
        greeting.headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        Some(greeting)
    }

    /// "Abuse protection" of CloudEvents' HTTP 1.1 Web Hooks.
    fn cloudevents(&self, headers: &HeaderMap) -> Option<Greeting> {
        if self.cloudevents.is_empty() {
            return None;
        }
        let origin = headers.get(ORIGIN)?;
        let allowed = |allowed: &String| {
            allowed == "*" || allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes())
        };
        let sender = "CloudEvents";
        if !self.cloudevents.iter().any(allowed) {
            let text = "this origin may not send here\n";
            return Some(Greeting::text(sender, StatusCode::FORBIDDEN, text.into()));
        }
        let mut greeting = Greeting::text(sender, StatusCode::OK, String::new());
        greeting.headers = vec![
            (ALLOW, HeaderValue::from_static("POST")),
            (ALLOWED_ORIGIN, origin.clone()),
        ];
        if headers.contains_key(RATE) {
            let any = HeaderValue::from_static("*");
            greeting.headers.push((ALLOWED_RATE, any));
        }
        Some(greeting)
    }

    fn meta(&self, uri: &Uri) -> Option<Greeting> {
        let token = self.meta.as_ref()?;
        if query(uri, "hub.mode")? != "subscribe" {
            return None;
        }
        let given = query(uri, "hub.verify_token").unwrap_or_default();
        let right: bool = token.expose().as_bytes().ct_eq(given.as_bytes()).into();
        Some(match query(uri, "hub.challenge") {
            Some(challenge) if right => Greeting::text("Meta", StatusCode::OK, challenge),
            _ => Greeting::text("Meta", StatusCode::FORBIDDEN, "the token is wrong\n".into()),
        })
    }

    fn dropbox(&self, uri: &Uri) -> Option<Greeting> {
        let challenge = query(uri, "challenge").filter(|_| self.dropbox)?;
        Some(Greeting::text("Dropbox", StatusCode::OK, challenge))
    }
}

/// The value of a parameter of the query, unless it is too long.
fn query(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    let (_, value) = pairs.find(|(key, _)| key == name)?;
    (value.len() <= LONGEST).then(|| value.into_owned())
}

impl Greeting {
    /// The text is a stranger's, so browsers are told to take it for nothing but text.
    fn text(sender: &'static str, status: StatusCode, body: String) -> Self {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        Self {
            sender,
            status,
            headers: vec![(CONTENT_TYPE, plain)],
            body,
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        let nosniff = HeaderValue::from_static("nosniff");
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }
}

/// Whose handshake it is, and that it was answered or refused.
impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.status {
            StatusCode::OK => "is answered",
            _ => "is refused",
        };
        write!(f, "a handshake of {} {what}", self.sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Handshakes {
        Handshakes {
            cloudevents: vec!["eventemitter.example.com".into()],
            meta: Some(Secret::new("meatyhamhock")),
            slack: true,
            zoom: Some(Secret::new("secret")),
            dropbox: true,
            woocommerce: true,
        }
    }

    fn head(
        handshakes: &Handshakes,
        method: Method,
        uri: &str,
        headers: &[(HeaderName, &'static str)],
    ) -> Option<Greeting> {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        handshakes.of_head(&method, &uri.parse().unwrap(), &headers.collect())
    }

    fn verified(handshakes: &Handshakes, body: &str) -> Option<Greeting> {
        handshakes.of_verified(&Document::parse(body).unwrap())
    }

    #[test]
    fn nothing_is_answered_that_is_not_configured() {
        let none = Handshakes::default();
        assert_eq!(head(&none, Method::OPTIONS, "/", &[(ORIGIN, "a")]), None);
        assert_eq!(head(&none, Method::GET, "/?challenge=1", &[]), None);
        assert_eq!(
            head(
                &none,
                Method::GET,
                "/?hub.mode=subscribe&hub.challenge=1",
                &[]
            ),
            None
        );
        assert_eq!(
            verified(&none, r#"{"type":"url_verification","challenge":"c"}"#),
            None
        );
        let form = HeaderMap::from_iter([(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        )]);
        assert_eq!(none.of_unsigned(&form, b"webhook_id=7"), None);
    }

    #[test]
    fn an_origin_of_cloudevents_is_allowed_with_the_rate_it_asks_for() {
        let asked = [(ORIGIN, "EventEmitter.example.com"), (RATE, "120")];
        let greeting = head(&all(), Method::OPTIONS, "/", &asked).unwrap();
        assert_eq!(greeting.status, StatusCode::OK);
        let header = |name: &HeaderName| greeting.headers.iter().find(|(own, _)| own == name);
        assert_eq!(
            header(&ALLOWED_ORIGIN).unwrap().1,
            "EventEmitter.example.com"
        );
        assert_eq!(header(&ALLOWED_RATE).unwrap().1, "*");
        let greeting = head(&all(), Method::OPTIONS, "/", &asked[..1]).unwrap();
        assert!(
            greeting
                .headers
                .iter()
                .all(|(name, _)| *name != ALLOWED_RATE)
        );
        let stranger = head(&all(), Method::OPTIONS, "/", &[(ORIGIN, "evil.example")]).unwrap();
        assert_eq!(stranger.status, StatusCode::FORBIDDEN);
        assert!(
            stranger
                .headers
                .iter()
                .all(|(name, _)| *name != ALLOWED_ORIGIN)
        );
        assert_eq!(head(&all(), Method::OPTIONS, "/", &[]), None);
    }

    #[test]
    fn the_challenge_of_meta_comes_back_to_who_knows_the_token() {
        let ask = |token: &str| {
            let uri = format!(
                "/hooks?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}"
            );
            let greeting = head(&all(), Method::GET, &uri, &[]).unwrap();
            (greeting.status.as_u16(), greeting.body)
        };
        assert_eq!(ask("meatyhamhock"), (200, "1158201444".to_owned()));
        assert_eq!(ask("wrong").0, 403);
        assert_eq!(ask("").0, 403);
    }

    #[test]
    fn the_challenges_of_slack_and_dropbox_come_back() {
        let slack = r#"{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
        assert_eq!(
            verified(&all(), slack).unwrap().body,
            "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
        );
        assert_eq!(
            verified(&all(), r#"{"type":"event_callback","challenge":"c"}"#),
            None
        );
        let dropbox = head(&all(), Method::GET, "/?challenge=a%20%3Cb%3E", &[]).unwrap();
        assert_eq!(dropbox.body, "a <b>");
        let response = dropbox.into_response();
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
        assert_eq!(
            head(
                &all(),
                Method::GET,
                &format!("/?challenge={}", "a".repeat(1025)),
                &[]
            ),
            None
        );
    }

    #[test]
    fn the_token_of_zoom_is_hashed_unless_it_could_be_a_signature_of_something_else() {
        let ask = |token: &str| {
            let body = json!({"payload": {"plainToken": token}, "event_ts": 1, "event": "endpoint.url_validation"});
            verified(&all(), &body.to_string())
        };
        let greeting = ask("qgg8vlvZRS6UYooatFL8Aw").unwrap();
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(b"secret").unwrap();
        let code = mac
            .chain_update("qgg8vlvZRS6UYooatFL8Aw")
            .finalize()
            .into_bytes();
        let expected =
            json!({"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": hex::encode(code)});
        assert_eq!(greeting.body, expected.to_string());
        assert_eq!(ask("v0:1700000000:{}"), None);
        assert_eq!(ask(""), None);
    }

    #[test]
    fn the_ping_of_woocommerce_has_nothing_but_a_number() {
        let ask = |content_type: &'static str, body: &str| {
            let headers =
                HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
            all().of_unsigned(&headers, body.as_bytes()).is_some()
        };
        let form = "application/x-www-form-urlencoded";
        assert!(ask(form, "webhook_id=7"));
        assert!(!ask(form, "webhook_id=7&payload=%7B%7D"));
        assert!(!ask(form, "webhook_id=") && !ask(form, "webhook_id=x"));
        assert!(!ask("application/json", "webhook_id=7"));
    }
}
