//! Prints the requests that arrive, for people who develop either end.

mod printed;

use std::{
    collections::{HashSet, VecDeque},
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

use self::printed::Printed;
use super::{
    envelope::Received,
    gate::{Gate, Rejection},
};
use crate::lock::lock;

/// How many ids are remembered, to mark duplicates.
const MAX_IDS: usize = 10_000;

/// Prints each request and answers it as a receiver would. It runs no tasks.
pub struct Printer {
    gate: Gate,
    style: Style,
    seen: Mutex<Seen>,
}

/// How requests are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A block of lines for each request.
    Plain,
    /// The same in colours.
    Colour,
    /// A line of JSON for each request.
    Json,
}

struct Seen {
    ids: HashSet<String>,
    /// The same ids, the oldest first.
    order: VecDeque<String>,
    out: Box<dyn Write + Send>,
}

impl Printer {
    /// Creates a printer that writes to `out`.
    pub fn new(gate: Gate, style: Style, out: impl Write + Send + 'static) -> Self {
        let seen = Mutex::new(Seen {
            ids: HashSet::new(),
            order: VecDeque::new(),
            out: Box::new(out),
        });
        Self { gate, style, seen }
    }

    /// The endpoint, which answers at every path.
    pub fn router(self) -> Router {
        Router::new().fallback(receive).with_state(Arc::new(self))
    }

    async fn receive(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let at = SystemTime::now();
        let (headers, body) = match self.gate.read(request).await {
            Ok(read) => read,
            Err(rejection) => {
                self.print(&path, at, &HeaderMap::new(), &Bytes::new(), Err(&rejection));
                return rejection.into_response();
            }
        };
        match self.gate.verify(&headers, body.clone(), at) {
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

    /// Prints a request. Returns whether its id was seen before.
    fn print(
        &self,
        path: &str,
        at: SystemTime,
        headers: &HeaderMap,
        body: &Bytes,
        outcome: Result<&Received, &Rejection>,
    ) -> bool {
        let mut seen = lock(&self.seen);
        let repeated = outcome.is_ok_and(|received| !seen.insert(&received.id));
        let printed = Printed {
            at,
            path,
            headers,
            body,
            verified: !self.gate.verifier.is_unsigned(),
            outcome: outcome.map(|received| (received, repeated)),
        };
        let text = match self.style {
            Style::Json => format!("{}\n", printed.json()),
            style => printed.block(style == Style::Colour),
        };
        // The output may be closed. The sender gets its answer all the same.
        let _ = seen.out.write_all(text.as_bytes());
        let _ = seen.out.flush();
        repeated
    }
}

async fn receive(State(printer): State<Arc<Printer>>, request: Request) -> Response {
    printer.receive(request).await
}

impl Seen {
    /// Remembers an id. Returns whether it is new.
    fn insert(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > MAX_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
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
            let outcome = printer.gate.verify(&headers, body.clone(), at);
            let outcome = outcome.as_ref().map(|(received, _)| received);
            printer.print("/hook", at, &headers, &body, outcome);
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
              "title": "\u{9b}31m"
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
              "title": "\u{9b}31m"
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
          not \u{1b}[2J JSON
        ");
    }
}
