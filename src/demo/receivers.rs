//! The endpoints of the demo. They verify each signature with the official Standard Webhooks library, which shares no
//! code with our signing.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_ENCODING},
};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

use crate::{gzip, lock::lock};

/// The largest body that is accepted, in bytes; none of the demo comes near it.
const LARGEST_BODY: usize = 1 << 20;
/// The busy endpoint refuses one of so many requests, to show a delivery that is tried again.
const BUSY_EVERY: usize = 12;

/// One server for all endpoints. Each receiver has a path.
pub(super) struct Receivers {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// What the endpoints know and have seen.
struct Seen {
    keys: HashMap<String, Webhook>,
    busy: String,
    requests: Mutex<Requests>,
}

#[derive(Default)]
struct Requests {
    verified: HashMap<String, SystemTime>,
    refused: u64,
    to_busy: usize,
}

impl Receivers {
    /// Opens endpoints for these names and secrets, on a free port. The one called `busy` answers 503 now and then.
    pub(super) async fn open(secrets: &[(&str, String)], busy: &str) -> Result<Self> {
        let key = |(name, secret): &(&str, String)| {
            Ok((
                (*name).to_owned(),
                Webhook::new(secret).context("read a secret")?,
            ))
        };
        let seen = Arc::new(Seen {
            keys: secrets.iter().map(key).collect::<Result<_>>()?,
            busy: busy.to_owned(),
            requests: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("open the receivers")?;
        let address = listener.local_addr().context("read the receivers' port")?;
        let app = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&seen));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the receivers of the demo have ended");
            }
        });
        Ok(Self { address, seen })
    }

    /// The URL of the endpoint of `name`.
    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// When the delivery with this `webhook-id` first arrived with a good signature; `None` if it has not.
    pub(super) fn verified_at(&self, id: &str) -> Option<SystemTime> {
        self.seen.requests().verified.get(id).copied()
    }

    /// The number of requests without a good signature.
    pub(super) fn refused(&self) -> u64 {
        self.seen.requests().refused
    }
}

impl Seen {
    fn requests(&self) -> std::sync::MutexGuard<'_, Requests> {
        lock(&self.requests)
    }

    /// Verifies and counts a request. Returns the status to answer.
    fn accept(&self, name: &str, headers: &HeaderMap, body: &Bytes) -> StatusCode {
        let now = SystemTime::now();
        let verified = self
            .keys
            .get(name)
            .is_some_and(|key| key.verify(body, headers).is_ok());
        let mut requests = self.requests();
        if !verified {
            requests.refused += 1;
            return StatusCode::UNAUTHORIZED;
        }
        if name == self.busy {
            requests.to_busy += 1;
            if requests.to_busy.is_multiple_of(BUSY_EVERY) {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
        }
        let id = headers
            .get("webhook-id")
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default();
        requests.verified.entry(id.to_owned()).or_insert(now);
        StatusCode::OK
    }
}

async fn receive(State(seen): State<Arc<Seen>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST_BODY).await.ok();
    let body = body.and_then(|body| match parts.headers.get(CONTENT_ENCODING) {
        None => Some(body),
        Some(_) => gzip::unpack(&body, LARGEST_BODY).ok().map(Bytes::from),
    });
    match body {
        Some(body) => seen.accept(
            parts.uri.path().trim_start_matches('/'),
            &parts.headers,
            &body,
        ),
        None => StatusCode::PAYLOAD_TOO_LARGE,
    }
}

/// The time from the commit to the arrival. It is zero if the clock was set back in between.
pub(super) fn latency(commit_time: SystemTime, arrived_at: SystemTime) -> Duration {
    arrived_at.duration_since(commit_time).unwrap_or_default()
}
