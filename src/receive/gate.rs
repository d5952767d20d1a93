//! The way of a request from the network to [`Received`]: read within bounds, verified, understood, or turned away.

use std::time::{Duration, SystemTime};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;

use super::{
    envelope::{Malformed, Received},
    verify::{Refusal, Verifier},
};

/// So much of a body that is too large is read, for the sake of its sender.
const LINGER: usize = 16 << 20;

/// Lets requests in.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Says which are believed.
    pub verifier: Verifier,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// So long a body may be on its way.
    pub timeout: Duration,
}

/// Why a request is turned away. The sender is told in one line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// It is no POST.
    #[error("{0} is not accepted here; send POST")]
    Method(Method),
    /// Its body is larger than this.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// Its body was on its way for longer than this.
    #[error("the body did not come within {}", humantime::format_duration(*.0))]
    TooSlow(Duration),
    /// Its body broke off.
    #[error("the body broke off")]
    Broken,
    /// It is not believed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is believed, and makes no sense.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Rejection {
    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Refused(refusal) => refusal.status(),
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match self {
            Self::Method(_) => (self.status(), [(header::ALLOW, "POST")], text).into_response(),
            // What is still on its way is not wanted: the connection ends with the answer.
            Self::TooLarge(_) | Self::TooSlow(_) => {
                (self.status(), [(header::CONNECTION, "close")], text).into_response()
            }
            _ => (self.status(), text).into_response(),
        }
    }
}

impl Gate {
    /// A gate with the defaults of receive.toml: 1 MiB, within 10 s.
    pub fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            max_body: 1 << 20,
            timeout: Duration::from_secs(10),
        }
    }

    /// Reads a request, and says whether it is believed and what it is about. The JSON of its body is given back too.
    ///
    /// # Errors
    /// Why it is turned away.
    pub async fn admit(&self, request: Request) -> Result<(Received, Value), Rejection> {
        let (headers, body) = self.take(request).await?;
        self.judge(&headers, body, SystemTime::now())
    }

    /// Reads a request within the bounds.
    pub(super) async fn take(&self, request: Request) -> Result<(HeaderMap, Bytes), Rejection> {
        let (parts, body) = request.into_parts();
        if parts.method != Method::POST {
            return Err(Rejection::Method(parts.method));
        }
        let announced = parts.headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let waits = parts.headers.contains_key(header::EXPECT);
        if announced.is_some_and(|length| length > self.max_body && (waits || length > LINGER)) {
            return Err(Rejection::TooLarge(self.max_body));
        }
        let mut taken = Taken::default();
        let ended = timeout(self.timeout, taken.fill(body, self.max_body)).await;
        match ended {
            _ if taken.length > self.max_body => Err(Rejection::TooLarge(self.max_body)),
            Err(_) => Err(Rejection::TooSlow(self.timeout)),
            Ok(Err(_)) => Err(Rejection::Broken),
            Ok(Ok(())) => Ok((parts.headers, taken.bytes.freeze())),
        }
    }

    /// Is it believed, and what is it about?
    pub(super) fn judge(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        now: SystemTime,
    ) -> Result<(Received, Value), Rejection> {
        self.verifier.verify(headers, &body, now)?;
        Ok(Received::read(headers, body, now)?)
    }
}

/// What has come of a body.
#[derive(Default)]
struct Taken {
    bytes: BytesMut,
    /// Of all that came, kept or not.
    length: usize,
}

impl Taken {
    /// Reads to the end. What is too large is read on for a while and not kept: a sender that is cut off while it writes does
    /// not get to read why.
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
