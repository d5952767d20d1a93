//! The HTTP client that requests are made with. Connections are pooled. The name of a host is resolved when a
//! connection is made, and the guard checks the addresses then.

use std::{
    error::Error as _,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tower_service::Service;

use super::{
    answer::Failure,
    guard::{Guard, Refusal},
};

/// The time after which an idle connection is closed. Common servers close theirs later (Node.js after 5 s).
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// The interval of TCP keepalives. They keep firewalls from dropping the connection while an endpoint takes long to
/// answer.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A connection is given up when data that was sent stays unacknowledged for this time.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes requests. It follows no redirects and uses no proxy.
pub(super) type Client = legacy::Client<HttpsConnector<HttpConnector<Guarded>>, Full<Bytes>>;

/// A client that connects only where the guard allows, with these settings of TLS.
pub(super) fn client(guard: &Arc<Guard>, tls: ClientConfig) -> Client {
    let mut tcp = HttpConnector::new_with_resolver(Guarded(Arc::clone(guard)));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(3));
    // Without this the pool would go on using an HTTP/2 connection whose peer has vanished.
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector)
}

/// Resolves a name once, and returns only the addresses that the guard allows.
#[derive(Debug, Clone)]
pub(super) struct Guarded(Arc<Guard>);

type Addresses = std::vec::IntoIter<SocketAddr>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Name> for Guarded {
    type Response = Addresses;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Addresses, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<SocketAddr> = found
                .map_err(|error| Unresolved(error.to_string()))?
                .collect();
            let checked = |address: &SocketAddr| guard.check_address(address.ip());
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| checked(address).is_ok())
                .collect();
            if allowed.is_empty() {
                return Err(
                    match found.iter().find_map(|address| checked(address).err()) {
                        Some(refusal) => refusal.into(),
                        None => Unresolved("it has no address".into()).into(),
                    },
                );
            }
            Ok(allowed.into_iter())
        })
    }
}

/// A name that cannot be resolved.
#[derive(Debug)]
struct Unresolved(String);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unresolved {}

/// The beginning of rustls' message for a fatal alert. An endpoint refuses a client certificate only after the
/// handshake, and HTTP/2 then keeps nothing of the error but its text.
const ALERT: &str = "received fatal alert";

/// The failure that an error of the client stands for.
pub(super) fn explain(error: &legacy::Error) -> Failure {
    let mut innermost = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refusal) = inner.downcast_ref::<Refusal>() {
            return Failure::Refused(refusal.to_string());
        }
        if let Some(unresolved) = inner.downcast_ref::<Unresolved>() {
            return Failure::Resolve(unresolved.to_string());
        }
        if let Some(tls) = tls_error(inner) {
            return Failure::Tls(tls.to_string());
        }
        if let Some(http) = inner.downcast_ref::<hyper::Error>()
            && (http.is_incomplete_message() || http.is_closed() || http.is_canceled())
        {
            return Failure::Closed;
        }
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            let reset = matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            );
            if reset && !error.is_connect() {
                return Failure::Closed;
            }
        }
        innermost = inner.to_string();
        cause = inner.source();
    }
    if innermost.starts_with(ALERT) {
        Failure::Tls(innermost)
    } else if error.is_connect() {
        Failure::Connect(innermost)
    } else {
        Failure::Protocol(innermost)
    }
}

/// The TLS error in an error. IO errors carry it where `source` does not show it.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().and_then(|carried| tls_error(carried)),
        None => error.downcast_ref(),
    }
}
