//! Makes a request and says what came of it.
//!
//! What a client does by default and a sidecar must not: follow redirects, obey HTTP_PROXY, expand compressed answers,
//! read an answer of any size, look a name up again after it was checked, or let a trickle restart the time-out.

use std::{
    collections::HashMap,
    error::Error as _,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use bytes::Bytes;
use reqwest::{
    Certificate, Client, ClientBuilder, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, HeaderName, RETRY_AFTER},
    redirect,
};
use url::Url;

use super::{
    answer::{Answer, Failure},
    guard::{Guard, Refusal},
    target::{Target, put},
    tls::{Fingerprint, Tls},
};
use crate::{config::Delivery, trace};

/// So much of an answer's body is kept, and no more is read.
const KEPT_OF_BODY: usize = 4096;
/// Shorter than the time after which common servers close a connection that rests (Node's is 5 s).
const IDLE: Duration = Duration::from_secs(4);

/// The ids of the deliveries in a request that carries several.
pub const ROWHOOK_BATCH: HeaderName = HeaderName::from_static("rowhook-batch");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Makes requests. Connections are kept and shared.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client,
    /// Those of hooks with TLS of their own, made when they are first needed.
    with_tls: Arc<Mutex<HashMap<Fingerprint, Client>>>,
    guard: Guard,
}

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// Where to.
    pub target: &'a Target,
    /// The `webhook-id`.
    pub id: &'a str,
    /// The ids of its members, where the body is an array of theirs.
    pub batch: Option<&'a str>,
    /// The body.
    pub body: Bytes,
    /// Of the body.
    pub content_type: &'a str,
    /// The `webhook-timestamp`.
    pub at: SystemTime,
    /// From the first step of connecting to the last byte of the answer.
    pub timeout: Duration,
    /// Which span it is, for `traceparent`; a header of that name that the target has is left alone.
    pub span: Option<trace::Context>,
}

impl Request<'_> {
    /// The headers that it is sent with, signed. Values that may be secret are marked as sensitive.
    pub fn headers(&self) -> HeaderMap {
        signed(self)
    }
}

impl Sender {
    /// A sender that goes where `delivery` allows.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(delivery: &Delivery) -> anyhow::Result<Self> {
        Self::trusting(delivery, Vec::new())
    }

    /// The same, trusting also what these authorities have signed.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn trusting(delivery: &Delivery, authorities: Vec<Certificate>) -> anyhow::Result<Self> {
        let guard = Guard::new(delivery.allow_http, &delivery.allow_networks);
        let mut client = client(&guard);
        if !authorities.is_empty() {
            client = client.tls_certs_merge(authorities);
        }
        Ok(Self {
            client: client.build().context("make the HTTP client")?,
            with_tls: Arc::default(),
            guard,
        })
    }

    /// Makes the request, signed anew over the same id and body.
    ///
    /// A kept connection that the server closes just as it is used gives no answer at all; the request is then made once
    /// more at once, on a new connection.
    pub async fn send(&self, request: Request<'_>) -> Answer {
        let target = request.target;
        let url = match Url::parse(target.display()) {
            Ok(url) => url,
            Err(error) => return Answer::Failed(Failure::Refused(error.to_string())),
        };
        if let Err(refusal) = self.guard.check_url(&url) {
            return Answer::Failed(Failure::Refused(refusal.to_string()));
        }
        let client = match target.tls() {
            None => self.client.clone(),
            Some(tls) => match self.client_with(tls) {
                Ok(client) => client,
                Err(error) => return Answer::Failed(explain(&error)),
            },
        };
        let whole = async {
            match attempt(&client, &url, &request).await {
                Answer::Failed(Failure::Closed) => attempt(&client, &url, &request).await,
                answer => answer,
            }
        };
        match tokio::time::timeout(request.timeout, whole).await {
            Ok(answer) => answer,
            Err(_) => Answer::Failed(Failure::TimedOut(request.timeout)),
        }
    }

    fn client_with(&self, tls: &Tls) -> reqwest::Result<Client> {
        // Nothing that is done under the lock can panic.
        let mut clients = self
            .with_tls
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(client) = clients.get(&tls.fingerprint()) {
            return Ok(client.clone());
        }
        let client = tls.configure(client(&self.guard)).build()?;
        clients.insert(tls.fingerprint(), client.clone());
        Ok(client)
    }
}

fn client(guard: &Guard) -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE)
        .dns_resolver(Guarded {
            guard: guard.clone(),
        })
}

async fn attempt(client: &Client, url: &Url, request: &Request<'_>) -> Answer {
    let sent = client
        .request(request.target.method().clone(), url.clone())
        .headers(signed(request))
        .body(request.body.clone());
    match sent.send().await {
        Ok(response) => read(response).await,
        Err(error) => Answer::Failed(explain(&error)),
    }
}

fn signed(request: &Request<'_>) -> HeaderMap {
    let (target, id, at) = (request.target, request.id, request.at);
    let mut headers = target.headers(id, request.content_type, at);
    if let Some(members) = request.batch {
        put(&mut headers, ROWHOOK_BATCH, members.to_owned());
    }
    if let Some(span) = &request.span {
        let traceparent = headers.entry(TRACEPARENT);
        traceparent.or_insert_with(|| span.header());
    }
    if let Some(signer) = target.signer() {
        let signature = signer.sign(id, at, &request.body);
        put(&mut headers, signer.header().clone(), signature);
    }
    headers
}

/// Reads as much of the answer as is kept. A longer one costs the connection, which cannot be used again.
async fn read(mut response: Response) -> Answer {
    let code = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while body.len() < KEPT_OF_BODY {
        // The status has been said; a body that breaks off changes nothing about it.
        let Ok(Some(chunk)) = response.chunk().await else {
            break;
        };
        body.extend_from_slice(&chunk[..chunk.len().min(KEPT_OF_BODY - body.len())]);
    }
    Answer::Status {
        code,
        retry_after,
        headers,
        body: body.into(),
    }
}

/// Resolves a name once, and lets only through what the guard allows.
#[derive(Debug)]
struct Guarded {
    guard: Guard,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.guard.clone();
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
            Ok(Box::new(allowed.into_iter()) as Addrs)
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

/// What an error of the client means. Its own text is not used: it has the URL in it.
fn explain(error: &reqwest::Error) -> Failure {
    let mut innermost = String::new();
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
