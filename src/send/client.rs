//! The HTTP client that requests are made with. Connections are kept and shared; a name is looked up for the connection that is
//! made to it, and judged then.

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

/// Shorter than the time after which common servers close a connection that rests (Node's is 5 s).
const IDLE: Duration = Duration::from_secs(4);
/// An endpoint may take its time for an answer; what stands between us and it is to know that somebody waits.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A connection is given up when what was sent has not been acknowledged for so long.
#[cfg(target_os = "linux")]
const UNHEARD: Duration = Duration::from_secs(30);

/// Makes requests, and follows no redirect and no proxy.
pub(super) type Client = legacy::Client<HttpsConnector<HttpConnector<Guarded>>, Full<Bytes>>;

/// A client that connects where the guard allows, over TLS as this says.
pub(super) fn client(guard: &Arc<Guard>, tls: ClientConfig) -> Client {
    let mut tcp = HttpConnector::new_with_resolver(Guarded(Arc::clone(guard)));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(3));
    // One that is shared over HTTP/2 would be handed out again and again after its peer has gone without a word.
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNHEARD));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector)
}

/// Resolves a name once, and lets only through what the guard allows.
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
            let judged = |address: &SocketAddr| guard.check_address(address.ip());
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| judged(address).is_ok())
                .collect();
            if allowed.is_empty() {
                return Err(
                    match found.iter().find_map(|address| judged(address).err()) {
                        Some(refusal) => refusal.into(),
                        None => Unresolved("it has no address".into()).into(),
                    },
                );
            }
            Ok(allowed.into_iter())
        })
    }
}

/// A name without an address.
#[derive(Debug)]
struct Unresolved(String);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unresolved {}

/// How rustls begins to tell that the other side has ended TLS. An endpoint that refuses our certificate does so after the
/// handshake, and HTTP/2 keeps no more of that than the words.
const ALERT: &str = "received fatal alert";

/// What an error of the client means.
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

/// TLS errors travel inside of IO errors, where `source` does not show them.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().and_then(|carried| tls_error(carried)),
        None => error.downcast_ref(),
    }
}
