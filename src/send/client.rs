//! The HTTP client that requests are made with. Connections are pooled.

use std::{error::Error, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;

use super::{
    answer::Failure, connect::Connector, guard::Refusal, resolve::Unresolved, tunnel::Closed,
};

/// The time after which an idle connection is closed. Common servers close theirs later (Node.js after 5 s).
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long an HTTP/2 connection may be silent while requests wait on it, and how long its answer to a ping may take.
/// One that is silent for longer is given up, and what waited on it is sent anew on another.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How many headers an answer may have, and how many bytes with HTTP/2. Browsers and curl take about as many.
const MOST_HEADERS: usize = 1000;
const MOST_OF_HEADERS: u32 = 256 << 10;

/// Makes requests. It follows no redirects, and uses no proxy but that of the configuration.
pub(super) type Client = legacy::Client<HttpsConnector<Connector>, Full<Bytes>>;

/// What reaches the endpoints with the same TLS.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// Those that may speak HTTP/2.
    pub(super) shared: Client,
    /// The TLS of those that do not.
    pub(super) alone: Arc<ClientConfig>,
}

impl Clients {
    /// Connections are made with this connector, and with these settings of TLS.
    pub(super) fn new(connector: Connector, tls: ClientConfig) -> Self {
        let mut alone = tls.clone();
        alone.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            shared: client(connector, tls),
            alone: Arc::new(alone),
        }
    }
}

fn client(connector: Connector, tls: ClientConfig) -> Client {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(connector);
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        // What counts is the status. A header that is not as it has to be is left out, as browsers and curl do.
        .http1_max_headers(MOST_HEADERS)
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http2_max_header_list_size(MOST_OF_HEADERS)
        .build(connector)
}

/// The beginning of rustls' message for a fatal alert. An endpoint refuses a client certificate only after the
/// handshake, and HTTP/2 then keeps nothing of the error but its text.
const ALERT: &str = "received fatal alert";

/// The failure that an error of a connection stands for. `connecting`: it was still being made.
pub(super) fn explain(error: &(dyn Error + 'static), connecting: bool) -> Failure {
    let mut innermost = error.to_string();
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(refusal) = inner.downcast_ref::<Refusal>() {
            return Failure::Refused(refusal.to_string());
        }
        match inner.downcast_ref::<Closed>() {
            Some(Closed::Proxy(reason)) => return Failure::Proxy(reason.clone()),
            Some(Closed::Target(reason)) => return Failure::Connect(reason.clone()),
            None => {}
        }
        if let Some(unresolved) = inner.downcast_ref::<Unresolved>() {
            return Failure::Resolve(unresolved.to_string());
        }
        if let Some(tls) = tls_error(inner) {
            return Failure::Tls(tls.to_string());
        }
        if inner.downcast_ref::<h2::Error>().is_some_and(is_untaken) {
            return Failure::Untaken;
        }
        if let Some(http) = inner.downcast_ref::<hyper::Error>()
            && (http.is_incomplete_message()
                || http.is_closed()
                || http.is_canceled()
                // A ping was not answered.
                || http.is_timeout())
        {
            return Failure::Closed;
        }
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            let reset = matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    // Over TLS, the end of the connection is an error unless it was announced.
                    | io::ErrorKind::UnexpectedEof
            );
            if reset && !connecting {
                return Failure::Closed;
            }
        }
        innermost = inner.to_string();
        cause = inner.source();
    }
    if innermost.starts_with(ALERT) {
        Failure::Tls(innermost)
    } else if connecting {
        Failure::Connect(innermost)
    } else {
        Failure::Protocol(innermost)
    }
}

/// Whether the endpoint says that it has not looked at the request: it ends the connection in order, or refuses this
/// stream alone.
fn is_untaken(error: &h2::Error) -> bool {
    let says = |reason| error.is_remote() && error.reason() == Some(reason);
    (error.is_go_away() && says(h2::Reason::NO_ERROR))
        || (error.is_reset() && says(h2::Reason::REFUSED_STREAM))
}

/// The TLS error in an error. IO errors carry it where `source` does not show it.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().and_then(|carried| tls_error(carried)),
        None => error.downcast_ref(),
    }
}
