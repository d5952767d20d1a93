//! The endpoints of the demo. They verify each signature with the official Standard Webhooks library, which shares no
//! code with our signing.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
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
/// The endpoint that is down now and then is so for [`OUTAGE`], in each [`OUTAGE_EVERY`] since its first request, and
/// first after [`OUTAGE_AFTER`].
const OUTAGE_EVERY: Duration = Duration::from_secs(40);
const OUTAGE_AFTER: Duration = Duration::from_secs(4);
const OUTAGE: Duration = Duration::from_secs(4);

/// One server for all endpoints. Each receiver has a path.
pub(super) struct Receivers {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// Which endpoints are not as they should be.
#[derive(Clone, Copy)]
pub(super) struct Troubles {
    /// Its endpoint is down now and then.
    pub(super) unsteady: &'static str,
    /// Its endpoint does not exist any more, and says so: 410.
    pub(super) gone: &'static str,
}

/// What the endpoints know and have seen.
struct Seen {
    keys: HashMap<String, Webhook>,
    troubles: Troubles,
    requests: Mutex<Requests>,
}

#[derive(Default)]
struct Requests {
    verified: HashMap<String, SystemTime>,
    refused: u64,
    /// When the first request came to the endpoint that is down now and then.
    first_to_unsteady: Option<Instant>,
}

impl Receivers {
    /// Opens endpoints for these names and secrets, on a free port.
    pub(super) async fn open(secrets: &[(&str, String)], troubles: Troubles) -> Result<Self> {
        let key = |(name, secret): &(&str, String)| {
            Ok((
                (*name).to_owned(),
                Webhook::new(secret).context("read a secret")?,
            ))
        };
        let seen = Arc::new(Seen {
            keys: secrets.iter().map(key).collect::<Result<_>>()?,
            troubles,
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
        if name == self.troubles.gone {
            return StatusCode::GONE;
        }
        if name == self.troubles.unsteady {
            let first = requests.first_to_unsteady.get_or_insert_with(Instant::now);
            if is_down(first.elapsed()) {
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

/// Whether the unsteady endpoint is down, so long after its first request.
fn is_down(since_first: Duration) -> bool {
    let into = since_first.as_millis() % OUTAGE_EVERY.as_millis();
    (OUTAGE_AFTER.as_millis()..(OUTAGE_AFTER + OUTAGE).as_millis()).contains(&into)
}

/// The time from the commit to the arrival. It is zero if the clock was set back in between.
pub(super) fn latency(commit_time: SystemTime, arrived_at: SystemTime) -> Duration {
    arrived_at.duration_since(commit_time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unsteady_endpoint_is_down_once_in_each_period_and_never_at_first() {
        for (seconds, expected) in [
            (0, false),
            (3, false),
            (4, true),
            (7, true),
            (8, false),
            (43, false),
            (44, true),
        ] {
            assert_eq!(is_down(Duration::from_secs(seconds)), expected, "{seconds}");
        }
    }
}
