//! Turns an HTTP request into a [`Received`]: reads it within bounds, verifies it, and parses it, or rejects it.

use std::time::{Duration, SystemTime};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use thiserror::Error;
use tokio::time::timeout;

use super::{
    envelope::{IdRule, Malformed, Reading, Received},
    handshake::{Greeting, Handshakes},
    verify::{Refusal, Verifier},
};
use crate::{expression::document::Document, gzip};

/// How much of a body beyond the limit is read and discarded, in bytes. Without that the connection would be reset
/// while the sender still writes, and it could not read the answer.
const LINGER: usize = 16 << 20;

/// A body of more bytes is unpacked on a thread of its own, because it takes milliseconds.
const QUICK: usize = 32 << 10;

/// Admits requests, or rejects them.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Decides which requests are believed.
    pub verifier: Verifier,
    /// What senders ask before they send, and is answered.
    pub handshakes: Handshakes,
    /// By which id requests are known.
    pub id: IdRule,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// How long a body may take to arrive.
    pub timeout: Duration,
}

/// Why a request is rejected. Its text, one line, is the body of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The request is a handshake, and has its answer.
    #[error("{0}")]
    Greeted(Greeting),
    /// The method is not POST.
    #[error("{0} is not accepted here; send POST")]
    Method(Method),
    /// The body is larger than this many bytes.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body took longer than this to arrive.
    #[error("the body did not come within {}", humantime::format_duration(*.0))]
    TooSlow(Duration),
    /// The body has another encoding than those that are understood.
    #[error("the content encoding {0:?} is not accepted here; send gzip, or the body as it is")]
    Encoding(String),
    /// The body cannot be unpacked.
    #[error("the body cannot be unpacked: {0}")]
    Packed(String),
    /// The connection ended before the body did.
    #[error("the body broke off")]
    Broken,
    /// The request is not believed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The request is believed, but cannot be parsed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Rejection {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Greeted(greeting) => greeting.status(),
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Broken | Self::Packed(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Refused(refusal) => refusal.status(),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match self {
            Self::Greeted(greeting) => greeting.into_response(),
            Self::Method(_) => (self.status(), [(header::ALLOW, "POST")], text).into_response(),
            Self::Encoding(_) => {
                (self.status(), [(header::ACCEPT_ENCODING, "gzip")], text).into_response()
            }
            // The rest of the body is not read, so the connection cannot be used again.
            Self::TooLarge(_) | Self::TooSlow(_) => {
                (self.status(), [(header::CONNECTION, "close")], text).into_response()
            }
            _ => (self.status(), text).into_response(),
        }
    }
}

impl Gate {
    /// Creates a gate with the defaults of receive.toml: bodies of up to 1 MiB, within 10 s.
    pub fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            handshakes: Handshakes::default(),
            id: IdRule::default(),
            max_body: 1 << 20,
            timeout: Duration::from_secs(10),
        }
    }

    /// Reads, verifies and parses a request. Also returns the JSON of its body.
    ///
    /// # Errors
    /// Why the request is rejected.
    pub async fn admit(&self, request: Request) -> Result<(Received, Document), Rejection> {
        let (headers, body) = self.read(request).await?;
        self.verify(&headers, body, SystemTime::now())
    }

    /// Reads the headers and the body of a request within the bounds. A body in gzip is unpacked, within the same ones:
    /// what is signed is the body as it was before.
    pub(super) async fn read(&self, request: Request) -> Result<(HeaderMap, Bytes), Rejection> {
        let (parts, body) = request.into_parts();
        let handshakes = &self.handshakes;
        let greeting = handshakes.of_head(&parts.method, &parts.uri, &parts.headers);
        if let Some(greeting) = greeting {
            return Err(Rejection::Greeted(greeting));
        }
        if parts.method != Method::POST {
            return Err(Rejection::Method(parts.method));
        }
        let announced = parts.headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        // A sender that expects 100 Continue has not sent the body yet.
        let waits = parts.headers.contains_key(header::EXPECT);
        if announced.is_some_and(|length| length > self.max_body && (waits || length > LINGER)) {
            return Err(Rejection::TooLarge(self.max_body));
        }
        let mut read = BoundedBody::default();
        let ended = timeout(self.timeout, read.fill(body, self.max_body)).await;
        match ended {
            _ if read.length > self.max_body => Err(Rejection::TooLarge(self.max_body)),
            Err(_) => Err(Rejection::TooSlow(self.timeout)),
            Ok(Err(_)) => Err(Rejection::Broken),
            Ok(Ok(())) => self.unpack(parts.headers, read.bytes.freeze()).await,
        }
    }

    async fn unpack(
        &self,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<(HeaderMap, Bytes), Rejection> {
        let Some(encoding) = headers.remove(header::CONTENT_ENCODING) else {
            return Ok((headers, body));
        };
        let encoding = String::from_utf8_lossy(encoding.as_bytes()).to_ascii_lowercase();
        match encoding.trim() {
            "" | "identity" => return Ok((headers, body)),
            "gzip" | "x-gzip" => {}
            other => return Err(Rejection::Encoding(other.to_owned())),
        }
        let most = self.max_body;
        let unpacked = match body.len() > QUICK {
            false => gzip::unpack(&body, most),
            true => {
                let unpacking = tokio::task::spawn_blocking(move || gzip::unpack(&body, most));
                let unpacked = unpacking.await;
                unpacked.map_err(|error| Rejection::Packed(error.to_string()))?
            }
        };
        match unpacked {
            Ok(body) => Ok((headers, body.into())),
            Err(gzip::Error::TooLarge(most)) => Err(Rejection::TooLarge(most)),
            Err(error) => Err(Rejection::Packed(error.to_string())),
        }
    }

    /// Verifies and parses a request that has been read.
    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        now: SystemTime,
    ) -> Result<(Received, Document), Rejection> {
        if let Some(greeting) = self.handshakes.of_unsigned(headers, &body) {
            return Err(Rejection::Greeted(greeting));
        }
        self.verifier.verify(headers, &body, now)?;
        let reading = Reading {
            id: &self.id,
            covered: self.verifier.covers(),
        };
        let (received, json) = Received::read_as(reading, headers, body, now)?;
        match self.handshakes.of_verified(&json) {
            Some(greeting) => Err(Rejection::Greeted(greeting)),
            None => Ok((received, json)),
        }
    }
}

/// The part of a body that has arrived.
#[derive(Default)]
struct BoundedBody {
    /// Empty where the body is too large.
    bytes: BytesMut,
    /// The number of bytes that have arrived, kept or discarded.
    length: usize,
}

impl BoundedBody {
    /// Reads to the end. Beyond `max_body` bytes, up to [`LINGER`] more are read and discarded.
    async fn fill(&mut self, body: Body, max_body: usize) -> Result<(), axum::Error> {
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            self.length += chunk.len();
            if self.length <= max_body {
                self.bytes.extend_from_slice(&chunk);
            } else {
                self.bytes = BytesMut::new();
                if self.length > max_body.saturating_add(LINGER) {
                    break;
                }
            }
        }
        Ok(())
    }
}
