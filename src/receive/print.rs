//! Prints what arrives, for people who are developing either end.

use std::{
    collections::{HashSet, VecDeque},
    fmt::Write as _,
    io::Write,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    envelope::Received,
    gate::{Gate, Rejection},
};
use crate::lock::lock;

/// So many ids are remembered, so that a repetition is shown as one.
const REMEMBERED: usize = 10_000;

/// Prints each request, answers as a receiver would, and does nothing else.
pub struct Printer {
    gate: Gate,
    style: Style,
    seen: Mutex<Seen>,
}

/// How it prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A block for each request.
    Plain,
    /// The same in colours.
    Colour,
    /// A line of JSON for each request.
    Json,
}

struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
    out: Box<dyn Write + Send>,
}

/// What is shown of one request.
struct Shown<'a> {
    at: SystemTime,
    path: &'a str,
    headers: &'a HeaderMap,
    body: &'a [u8],
    verified: bool,
    outcome: Result<(&'a Received, bool), &'a Rejection>,
}

impl Printer {
    /// A printer behind this gate.
    pub fn new(gate: Gate, style: Style, out: impl Write + Send + 'static) -> Self {
        let seen = Mutex::new(Seen {
            ids: HashSet::new(),
            order: VecDeque::new(),
            out: Box::new(out),
        });
        Self { gate, style, seen }
    }

    /// The endpoint.
    pub fn router(self) -> Router {
        Router::new().fallback(receive).with_state(Arc::new(self))
    }

    async fn receive(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let at = SystemTime::now();
        let (headers, body) = match self.gate.take(request).await {
            Ok(taken) => taken,
            Err(rejection) => {
                self.print(&path, at, &HeaderMap::new(), &Bytes::new(), Err(&rejection));
                return rejection.into_response();
            }
        };
        match self.gate.judge(&headers, body.clone(), at) {
            Ok((received, _)) => {
                let repeated = self.print(&path, at, &headers, &body, Ok(&received));
                if repeated {
                    (StatusCode::OK, "accepted before\n").into_response()
                } else {
                    (StatusCode::ACCEPTED, "accepted\n").into_response()
                }
            }
            Err(rejection) => {
                self.print(&path, at, &headers, &body, Err(&rejection));
                rejection.into_response()
            }
        }
    }

    /// Prints one, and tells whether its id came before.
    fn print(
        &self,
        path: &str,
        at: SystemTime,
        headers: &HeaderMap,
        body: &Bytes,
        judged: Result<&Received, &Rejection>,
    ) -> bool {
        let mut seen = lock(&self.seen);
        let repeated = judged.is_ok_and(|received| !seen.note(&received.id));
        let shown = Shown {
            at,
            path,
            headers,
            body,
            verified: !self.gate.verifier.is_unsigned(),
            outcome: judged.map(|received| (received, repeated)),
        };
        let text = match self.style {
            Style::Json => format!("{}\n", shown.json()),
            style => shown.block(style == Style::Colour),
        };
        // A terminal that is gone need not be told.
        let _ = seen.out.write_all(text.as_bytes());
        let _ = seen.out.flush();
        repeated
    }
}

async fn receive(State(printer): State<Arc<Printer>>, request: Request) -> Response {
    printer.receive(request).await
}

impl Seen {
    /// Is it new?
    fn note(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

impl Shown<'_> {
    fn block(&self, colour: bool) -> String {
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
                let told = paint(
                    "31",
                    &format!("refused with {status}: {}", plain(&rejection.to_string())),
                );
                writeln!(block, "{clock}  {told}")
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

    fn json(&self) -> Value {
        let body = serde_json::from_slice(self.body)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(self.body)));
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
                "body": body,
            }),
            Err(rejection) => json!({
                "at": at,
                "path": self.path,
                "verified": false,
                "status": rejection.status().as_u16(),
                "refused": rejection.to_string(),
                "body": body,
            }),
        }
    }

    /// What one looks at when a signature does not fit.
    fn signing_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| {
            let name = name.as_str();
            let signing = name.starts_with("webhook-") || name.contains("signature");
            signing.then(|| Some((name, value.to_str().ok()?)))?
        })
    }

    fn pretty(&self) -> String {
        match serde_json::from_slice::<Value>(self.body) {
            Ok(json) => format!("{json:#}"),
            Err(_) => String::from_utf8_lossy(self.body).into_owned(),
        }
    }
}

/// A stranger's text, which must not steer the terminal.
fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::verify::Verifier;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn printed(verifier: &Verifier, headers: &[(&'static str, &str)], body: &[u8]) -> String {
        let kept = Kept::default();
        let gate = Gate::new(verifier.clone());
        let printer = Printer::new(gate, Style::Plain, kept.clone());
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let body = Bytes::copy_from_slice(body);
        let at = SystemTime::UNIX_EPOCH;
        for _ in 0..2 {
            let judged = printer.gate.judge(&headers, body.clone(), at);
            let judged = judged.as_ref().map(|(received, _)| received);
            printer.print("/hook", at, &headers, &body, judged);
        }
        drop(printer);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_request_is_a_block_and_its_repetition_is_shown_as_one() {
        let id = ("webhook-id", "msg_1");
        let body = br#"{"hook":{"event":"book.added"},"data":{"title":"\u009b31m"}}"#;
        insta::assert_snapshot!(printed(&Verifier::unsigned(), &[id], body), @r#"
        00:00:00  book added  not verified: there is no --secret
          path  /hook
          id    msg_1
          body  rest-hooks, 60 bytes
          {
            "hook": {
              "event": "book.added"
            },
            "data": {
              "title": "�31m"
            }
          }

        00:00:00  book added  not verified: there is no --secret, came before
          path  /hook
          id    msg_1
          body  rest-hooks, 60 bytes
          {
            "hook": {
              "event": "book.added"
            },
            "data": {
              "title": "�31m"
            }
          }
        "#);
    }

    #[test]
    fn a_refusal_says_why_and_shows_what_was_signed() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let verifier = Verifier::standard([secret]).unwrap();
        let headers = [
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", "0"),
            ("webhook-signature", "v1,x"),
        ];
        let printed = printed(&verifier, &headers, b"not \x1b[2J JSON");
        let first = printed.split("\n\n").next().unwrap();
        insta::assert_snapshot!(first, @r"
        00:00:00  refused with 401: the signature in webhook-signature does not fit the body and any secret
          path  /hook
          head  webhook-id: msg_1
          head  webhook-timestamp: 0
          head  webhook-signature: v1,x
          body  13 bytes
          not �[2J JSON
        ");
    }
}
