//! The endpoints of the demo. They verify every signature with the official Standard Webhooks library, which shares no
//! code with what signs.

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
    http::{HeaderMap, StatusCode},
};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

use crate::lock::lock;

/// More than any body of the demo has.
const LARGEST_BODY: usize = 1 << 20;
/// Every so many requests one endpoint is busy, to show a delivery that is tried again.
const BUSY_EVERY: usize = 12;

/// All endpoints: one path for each name.
pub(super) struct Receivers {
    address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    keys: HashMap<String, Webhook>,
    busy: String,
    requests: Mutex<Requests>,
}

#[derive(Default)]
struct Requests {
    verified: HashMap<String, SystemTime>,
    refused: u64,
    of_the_busy_one: usize,
}

impl Receivers {
    /// Opens endpoints for these names and secrets on a free port. The one called `busy` is so now and then.
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

    /// The endpoint of `name`.
    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// When the delivery with this `webhook-id` came with a good signature.
    pub(super) fn verified_at(&self, id: &str) -> Option<SystemTime> {
        self.seen.requests().verified.get(id).copied()
    }

    /// How many requests came with a bad signature.
    pub(super) fn refused(&self) -> u64 {
        self.seen.requests().refused
    }
}

impl Seen {
    fn requests(&self) -> std::sync::MutexGuard<'_, Requests> {
        lock(&self.requests)
    }

    fn judge(&self, name: &str, headers: &HeaderMap, body: &Bytes) -> StatusCode {
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
            requests.of_the_busy_one += 1;
            if requests.of_the_busy_one.is_multiple_of(BUSY_EVERY) {
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
    match to_bytes(body, LARGEST_BODY).await {
        Ok(body) => seen.judge(
            parts.uri.path().trim_start_matches('/'),
            &parts.headers,
            &body,
        ),
        Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
    }
}

/// How long after `commit_time` something came; the clocks are one, but may step.
pub(super) fn latency(commit_time: SystemTime, came: SystemTime) -> Duration {
    came.duration_since(commit_time).unwrap_or_default()
}
