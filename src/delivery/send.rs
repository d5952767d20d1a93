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
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use reqwest::{
    Certificate, Client, ClientBuilder, Method, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{
        AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
    },
    redirect,
};
use thiserror::Error;
use url::Url;

use super::{
    answer::{Answer, Failure},
    guard::{Guard, Refusal},
    tls::{Fingerprint, Tls},
};
use crate::{
    config::{self, Credentials, Delivery, Secret},
    signature::{BadSecret, Signer, SigningKey, seconds},
    trace,
};

/// So much of an answer's body is kept, and no more is read.
const KEPT_OF_BODY: usize = 4096;
/// Shorter than the time after which common servers close a connection that rests (Node's is 5 s).
const IDLE: Duration = Duration::from_secs(4);

const OURS: HeaderValue = HeaderValue::from_static(concat!("rowhook/", env!("CARGO_PKG_VERSION")));
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The ids of the deliveries in a request that carries several.
pub const ROWHOOK_BATCH: HeaderName = HeaderName::from_static("rowhook-batch");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where a hook is sent. There may be a million of them, so it is small: what few hooks have stands elsewhere, and what
/// takes less than a microsecond is made for each request anew.
#[derive(Debug)]
pub struct Target {
    /// Without credentials.
    url: Box<str>,
    signer: Option<Signer>,
    special: Option<Box<Special>>,
}

/// What few targets have.
#[derive(Debug, Clone)]
struct Special {
    headers: HeaderMap,
    method: Method,
    tls: Option<Tls>,
}

impl Default for Special {
    fn default() -> Self {
        Self {
            headers: HeaderMap::new(),
            method: Method::POST,
            tls: None,
        }
    }
}

/// Why a hook cannot be sent anywhere. It repeats no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadTarget {
    /// The secret cannot be used.
    #[error(transparent)]
    Secret(#[from] BadSecret),
    /// A header's name is none.
    #[error("{0:?} is not the name of a header")]
    HeaderName(String),
    /// A header would change what rowhook or HTTP itself says.
    #[error("the header {0} is set by rowhook; choose another name")]
    ReservedHeader(String),
    /// A header's value cannot be sent.
    #[error(
        "the value of the header {0} has a line break or another character that cannot be sent"
    )]
    HeaderValue(String),
    /// A header stands where the signature will.
    #[error("the header {0} is that of the signature; choose another name for one of the two")]
    SignatureHeader(String),
}

impl Target {
    /// Makes a target ready. Credentials in `url` go into an Authorization header and nowhere else, and with a secret it is
    /// signed as Standard Webhooks says.
    ///
    /// # Errors
    /// When the secret or a header cannot be used.
    pub fn new(
        url: &Url,
        secret: Option<&Secret>,
        headers: &[(&str, &Secret)],
    ) -> Result<Self, BadTarget> {
        let mut sent = HeaderMap::with_capacity(headers.len());
        let mut url = url.clone();
        if let Some(credentials) = take_credentials(&mut url) {
            sent.insert(AUTHORIZATION, credentials);
        }
        for (name, value) in headers {
            let name = HeaderName::try_from(*name)
                .map_err(|_| BadTarget::HeaderName((*name).to_owned()))?;
            if is_reserved(name.as_str()) {
                return Err(BadTarget::ReservedHeader(name.to_string()));
            }
            let value = HeaderValue::try_from(value.expose());
            let mut value = value.map_err(|_| BadTarget::HeaderValue(name.to_string()))?;
            value.set_sensitive(true);
            // Of two, that which the user wrote as a header is meant.
            if name == AUTHORIZATION {
                sent.insert(name, value);
            } else {
                sent.append(name, value);
            }
        }
        let mut target = Self {
            url: url.as_str().into(),
            signer: match secret {
                Some(secret) => Some(Signer::Standard {
                    newest: SigningKey::parse(secret)?,
                    previous: None,
                }),
                None => None,
            },
            special: None,
        };
        if !sent.is_empty() {
            target.special().headers = sent;
        }
        Ok(target)
    }

    /// The same, sent by another method than POST.
    pub fn sent_by(mut self, method: config::Method) -> Self {
        match method {
            config::Method::Post => {}
            config::Method::Put => self.special().method = Method::PUT,
            config::Method::Patch => self.special().method = Method::PATCH,
        }
        self
    }

    /// The same, with an Authorization header of these credentials.
    pub fn let_in_with(mut self, credentials: &Credentials) -> Self {
        let value = match credentials {
            Credentials::Basic { user, password } => basic(user, password.expose()),
            Credentials::Bearer(token) => {
                HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()
            }
        };
        if let Some(mut value) = value {
            value.set_sensitive(true);
            self.special().headers.insert(AUTHORIZATION, value);
        }
        self
    }

    /// The same, with TLS of its own.
    pub fn over(mut self, tls: Option<Tls>) -> Self {
        if tls.is_some() {
            self.special().tls = tls;
        }
        self
    }

    /// The same, signed otherwise.
    ///
    /// # Errors
    /// When a header of the hook stands where the signature will.
    pub fn signed_by(self, signer: Option<Signer>) -> Result<Self, BadTarget> {
        if let (Some(signer), Some(special)) = (&signer, &self.special)
            && special.headers.contains_key(signer.header())
        {
            return Err(BadTarget::SignatureHeader(signer.header().to_string()));
        }
        Ok(Self { signer, ..self })
    }

    fn special(&mut self) -> &mut Special {
        self.special.get_or_insert_default()
    }

    /// What a request of this id carries, but for its signature. Values that may be secret are marked as sensitive.
    pub fn headers(&self, id: &str, content_type: &str, at: SystemTime) -> HeaderMap {
        let own = self.special.as_ref().map(|special| &special.headers);
        let mut headers = HeaderMap::with_capacity(own.map_or(0, HeaderMap::len) + 5);
        headers.insert(USER_AGENT, OURS);
        if let Some(own) = own {
            let own = own.iter();
            headers.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        }
        if let Ok(content_type) = HeaderValue::try_from(content_type) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        put(&mut headers, WEBHOOK_ID, id.to_owned());
        put(&mut headers, WEBHOOK_TIMESTAMP, seconds(at).to_string());
        headers
    }

    /// The method of its requests.
    pub fn method(&self) -> &str {
        self.special
            .as_ref()
            .map_or("POST", |special| special.method.as_str())
    }

    /// The URL without credentials.
    pub fn display(&self) -> &str {
        &self.url
    }
}

/// Headers that a user must not set: they frame the request, or are rowhook's own word.
pub fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "trailer",
        "expect",
        "upgrade",
        "te",
        "user-agent",
    ];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || name.starts_with("webhook-") || name == "rowhook-batch"
}

fn take_credentials(url: &mut Url) -> Option<HeaderValue> {
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let user = decoded(url.username());
    let password = url.password().map(decoded);
    if user.is_empty() && password.is_none() {
        return None;
    }
    // Neither can fail for a URL that had credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    basic(&user, &password.unwrap_or_default())
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

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
        let url = match Url::parse(&target.url) {
            Ok(url) => url,
            Err(error) => return Answer::Failed(Failure::Refused(error.to_string())),
        };
        if let Err(refusal) = self.guard.check_url(&url) {
            return Answer::Failed(Failure::Refused(refusal.to_string()));
        }
        let tls = target
            .special
            .as_ref()
            .and_then(|special| special.tls.as_ref());
        let client = match tls {
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
    let special = request.target.special.as_ref();
    let method = special.map_or(Method::POST, |special| special.method.clone());
    let sent = client
        .request(method, url.clone())
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
    if let Some(signer) = &target.signer {
        let signature = signer.sign(id, at, &request.body);
        put(&mut headers, signer.header().clone(), signature);
    }
    headers
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    let value = HeaderValue::try_from(value)
        .expect("ids, which the table checks, numbers and signatures are header values");
    headers.insert(name, value);
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
