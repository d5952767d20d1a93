//! Connections that are kept for another request.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http::Uri;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::time::{Instant, interval, timeout};
use tokio_rustls::TlsConnector;

use super::{connection::Connection, stream::Stream};
use crate::{
    config::certificate::Fingerprint,
    lock::lock,
    send::{
        answer::Failure,
        client::{IDLE_TIMEOUT, explain},
        connect::Connector,
    },
};

/// With fewer origins than this, all are kept.
const MANY: usize = 1024;
/// How often connections that are idle for too long are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How long the other sides may take to be told that connections end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The connections of all origins.
#[derive(Debug)]
pub(in crate::send) struct Pool {
    connector: Connector,
    origins: Mutex<HashMap<Key, Arc<Origin>>>,
    /// Whether somebody looks for idle connections.
    is_swept: AtomicBool,
}

/// What connections can be used for: a scheme, host and port, and the TLS of a hook.
type Key = (String, Option<Fingerprint>);

/// The connections to one scheme, host and port, with the same TLS.
#[derive(Debug)]
pub(in crate::send) struct Origin {
    /// A URL there.
    uri: Uri,
    /// The settings of TLS; `None`: without.
    tls: Option<Arc<ClientConfig>>,
    connector: Connector,
    pool: Weak<Pool>,
    /// Whether something newer than HTTP/1 may be spoken there, so that requests can share a connection.
    may_share: AtomicBool,
    /// Those that were used last come last.
    idle: Mutex<Vec<(Connection, Instant)>>,
}

impl Pool {
    pub(in crate::send) fn new(connector: Connector) -> Arc<Self> {
        Arc::new(Self {
            connector,
            origins: Mutex::default(),
            is_swept: AtomicBool::new(false),
        })
    }

    /// The connections for requests to this URL, which is of http or https, with this TLS. `fingerprint` is that of the
    /// hook's own TLS, if it has any.
    pub(in crate::send) fn origin(
        self: &Arc<Self>,
        uri: &Uri,
        tls: &Arc<ClientConfig>,
        fingerprint: Option<Fingerprint>,
    ) -> Arc<Origin> {
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let key = (format!("{scheme}://{authority}"), fingerprint);
        let mut origins = lock(&self.origins);
        // Those of connections that are kept are swept; the others are of endpoints that were never used.
        if origins.len() >= MANY && origins.len().is_power_of_two() {
            origins.retain(|_, origin| origin.is_used());
        }
        let origin = origins.entry(key).or_insert_with(|| {
            Arc::new(Origin {
                uri: uri.clone(),
                tls: (scheme == "https").then(|| Arc::clone(tls)),
                connector: self.connector.clone(),
                pool: Arc::downgrade(self),
                may_share: AtomicBool::new(scheme == "https"),
                idle: Mutex::default(),
            })
        });
        Arc::clone(origin)
    }

    /// Has idle connections closed once they have been idle for too long.
    fn have_swept(self: &Arc<Self>) {
        if self.is_swept.load(Ordering::SeqCst) || self.is_swept.swap(true, Ordering::SeqCst) {
            return;
        }
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut ticks = interval(SWEEP);
            loop {
                ticks.tick().await;
                let Some(pool) = pool.upgrade() else { break };
                let expired = pool.expired(Instant::now()).into_iter();
                // All at once, so that one that takes nothing any more keeps no other open. Whether the other sides
                // hear of it makes no difference.
                let _ = timeout(FAREWELL, join_all(expired.map(|one| one.stream.end()))).await;
                // Whoever keeps one after this looks whether anybody sweeps, and whoever did before is seen here.
                pool.is_swept.store(false, Ordering::SeqCst);
                if pool.is_at_rest() || pool.is_swept.swap(true, Ordering::SeqCst) {
                    break;
                }
            }
        });
    }

    /// Takes out the connections that have been idle for too long, and the origins that nobody uses.
    fn expired(&self, now: Instant) -> Vec<Connection> {
        let mut expired = Vec::new();
        lock(&self.origins).retain(|_, origin| {
            let mut idle = lock(&origin.idle);
            let is_late = |(_, since): &(Connection, Instant)| now - *since >= IDLE_TIMEOUT;
            let late = idle.iter().take_while(|idle| is_late(idle)).count();
            expired.extend(idle.drain(..late).map(|(connection, _)| connection));
            drop(idle);
            origin.is_used()
        });
        expired
    }

    /// Whether no connection is idle.
    fn is_at_rest(&self) -> bool {
        let origins = lock(&self.origins);
        origins.values().all(|origin| lock(&origin.idle).is_empty())
    }
}

impl Origin {
    /// Whether an endpoint or a connection is there for it.
    fn is_used(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || !lock(&self.idle).is_empty()
    }

    /// Whether requests may share a connection there.
    pub(in crate::send) fn may_share(&self) -> bool {
        self.may_share.load(Ordering::Relaxed)
    }

    /// Has all further requests made on connections of their own, until TLS fails on one.
    pub(in crate::send) fn speaks_http1(&self) {
        self.may_share.store(false, Ordering::Relaxed);
    }

    /// A connection that is open already, the one that was used last.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let (mut connection, since) = lock(&self.idle).pop()?;
            if since.elapsed() < IDLE_TIMEOUT && connection.is_open() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for another request.
    pub(super) fn keep(&self, connection: Connection) {
        lock(&self.idle).push((connection, Instant::now()));
        if let Some(pool) = self.pool.upgrade() {
            pool.have_swept();
        }
    }

    /// Makes a new connection.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let connecting = self.connector.clone().connect(self.uri.clone());
        let placed = connecting.await.map_err(|error| explain(&*error, true))?;
        let Some(tls) = &self.tls else {
            return Ok(Connection::new(Stream::Plain(placed)));
        };
        let host = self.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| Failure::Tls(error.to_string()))?;
        let stream = TlsConnector::from(Arc::clone(tls))
            .connect(name, placed)
            .await;
        let stream = stream.map_err(|error| {
            // A server that has come in place of the other may speak nothing but HTTP/2. The next request finds out.
            self.may_share.store(true, Ordering::Relaxed);
            explain(&error, true)
        })?;
        Ok(Connection::new(Stream::Tls(Box::new(stream))))
    }
}
