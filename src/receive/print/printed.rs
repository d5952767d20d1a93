//! One request, as it is printed.

use std::{fmt::Write, time::SystemTime};

use axum::http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    expression::document::Document,
    receive::{envelope::Received, gate::Rejection},
    terminal::{plain, plain_json},
};

/// One request, as it is printed.
pub(super) struct Printed<'a> {
    pub(super) at: SystemTime,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Whether requests are verified at all.
    pub(super) verified: bool,
    /// An admitted request, with whether its id came before; or why it was rejected.
    pub(super) outcome: Result<(&'a Received, bool), &'a Rejection>,
}

impl Printed<'_> {
    /// A block of lines, for a terminal.
    pub(super) fn block(&self, colour: bool) -> String {
        let paint = |code: &str, text: &str| match colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let clock = humantime::format_rfc3339_seconds(self.at).to_string();
        let clock = clock.get(11..19).unwrap_or_default();
        let mut block = String::new();
        // Writing to a String cannot fail.
        let _ = match self.outcome {
            Ok((received, repeated)) => {
                let verdict = match self.verified {
                    true => paint("32", "verified"),
                    false => paint("33", "not verified: there is no --secret"),
                };
                let about = paint("1", &plain(&received.envelope.to_string()));
                let again = if repeated { ", came before" } else { "" };
                writeln!(block, "{clock}  {about}  {verdict}{again}")
            }
            Err(rejection) => {
                let status = rejection.status().as_u16();
                let what = match rejection {
                    Rejection::Greeted(_) => "answered",
                    _ => "refused",
                };
                let refused = paint(
                    "31",
                    &format!("{what} with {status}: {}", plain(&rejection.to_string())),
                );
                writeln!(block, "{clock}  {refused}")
            }
        };
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(
                block,
                "  {}  {}",
                paint("2", &format!("{name:<4}")),
                plain(value)
            );
        };
        line("path", self.path);
        match self.outcome {
            Ok((received, _)) => {
                line("id", &received.id);
                line(
                    "body",
                    &format!("{}, {} bytes", received.envelope.shape, self.body.len()),
                );
            }
            Err(_) => {
                for (name, value) in self.signing_headers() {
                    line("head", &format!("{name}: {value}"));
                }
                line("body", &format!("{} bytes", self.body.len()));
            }
        }
        for body_line in self.pretty().lines() {
            let _ = writeln!(block, "  {}", plain(body_line));
        }
        block.push('\n');
        block
    }

    /// A JSON object on one line. Its body is that of the request without spaces, or a text where that is no JSON.
    pub(super) fn json(&self) -> String {
        let text = String::from_utf8_lossy(self.json_body());
        let body = match Document::parse(&*text) {
            Ok(json) => format!("{:?}", json.root()),
            Err(_) => Value::from(text).to_string(),
        };
        let head = self.head().to_string();
        let open = head.strip_suffix('}').unwrap_or(&head);
        plain_json(&format!("{open},\"body\":{body}}}")).into_owned()
    }

    /// What tasks get of the body, or the body itself where it is rejected.
    fn json_body(&self) -> &[u8] {
        match self.outcome {
            Ok((received, _)) => &received.body,
            Err(_) => self.body,
        }
    }

    /// All that is known of the request beside its body.
    fn head(&self) -> Value {
        let at = humantime::format_rfc3339_millis(self.at).to_string();
        match self.outcome {
            Ok((received, repeated)) => json!({
                "at": at,
                "path": self.path,
                "verified": self.verified,
                "repeated": repeated,
                "id": received.id,
                "shape": received.envelope.shape,
                "model": received.envelope.model,
                "event": received.envelope.event,
            }),
            Err(rejection) => json!({
                "at": at,
                "path": self.path,
                "verified": false,
                "status": rejection.status().as_u16(),
                "refused": rejection.to_string(),
            }),
        }
    }

    /// The headers to look at when a signature is wrong.
    fn signing_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| {
            let name = name.as_str();
            let signing = name.starts_with("webhook-") || name.contains("signature");
            signing.then(|| Some((name, value.to_str().ok()?)))?
        })
    }

    fn pretty(&self) -> String {
        let body = self.json_body();
        match serde_json::from_slice::<Value>(body) {
            Ok(json) => format!("{json:#}"),
            Err(_) => String::from_utf8_lossy(body).into_owned(),
        }
    }
}
