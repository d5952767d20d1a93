//! Makes requests and reports their outcome.
//!
//! HTTP clients do some things by default that a sidecar must not do: follow redirects, obey `HTTP_PROXY`, decompress
//! answers, read answers of any size, resolve a name again after it was checked, or restart the time-out with every
//! byte.

pub mod answer;
mod client;
mod connect;
pub mod guard;
mod http1;
mod packing;
mod resolve;
pub mod target;
mod tls;
mod token;
pub mod traceparent;
mod tunnel;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use bytes::Bytes;
use http::{
    StatusCode, Uri, Version,
    header::{AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;
use url::{Host, Url};

use self::{
    answer::{Answer, Failure},
    client::{Client, Clients, explain},
    connect::Connector,
    guard::{Guard, Refusal},
    http1::{Answering, Origin, Pool},
    packing::{Unpacked, pack},
    resolve::Resolver,
    target::{Target, put},
    tls::Trust,
    token::Tokens,
};
use crate::{
    config::{
        ClientCredentials, Compression, Delivery,
        certificate::{Fingerprint, Tls},
    },
    lock::lock,
};

/// The most bytes of an answer's body that are read and kept.
const MOST_OF_BODY: usize = 4096;
/// How long the body of an answer is waited for, within the time-out. Nothing depends on it but what people see.
const BODY_PATIENCE: Duration = Duration::from_secs(5);
/// How many times a request is made again whose connection was closed before an answer.
const CLOSED: u32 = 1;
/// How many times one is that the endpoint says it has not looked at. A server that restarts ends a few connections.
const UNTAKEN: u32 = 4;
/// With fewer tokens than this, all are kept.
const MANY_TOKENS: usize = 1024;
/// The header with the ids of the deliveries in a request that carries several.
pub const ROWHOOK_BATCH: HeaderName = HeaderName::from_static("rowhook-batch");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Makes requests. Cheap to clone; all clones share their connections.
#[derive(Debug, Clone)]
pub struct Sender {
    clients: Clients,
    /// The clients of hooks with their own TLS, made when they are first needed.
    with_tls: Arc<Mutex<HashMap<Fingerprint, Clients>>>,
    /// The connections of HTTP/1.
    pool: Arc<Pool>,
    /// The tokens of hooks that need one, made when they are first needed. An endpoint is opened again and again.
    tokens: Arc<Mutex<HashMap<Arc<ClientCredentials>, Arc<Tokens>>>>,
    /// The endpoints that have refused compressed bodies.
    unpacked: Arc<Unpacked>,
    trust: Trust,
    guard: Arc<Guard>,
    connector: Connector,
    understudy: Option<Understudy>,
}

/// Hears requests in place of their targets, which are sent nothing.
#[derive(Clone)]
pub struct Understudy(Arc<Hearing>);

type Hearing = dyn Fn(&Target, Bytes) + Send + Sync;

impl Understudy {
    /// `hear` is called with the target and the body of each request.
    pub fn new(hear: impl Fn(&Target, Bytes) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    fn hear(&self, request: &Request<'_>) -> Answer {
        (self.0)(request.target, request.body.clone());
        Answer::Status {
            code: 200,
            retry_after: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }
}

impl fmt::Debug for Understudy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Understudy")
    }
}

/// An open target: what all requests to it have in common.
#[derive(Debug)]
pub struct Endpoint {
    /// Makes requests as long as it may speak HTTP/2, so that many share one connection.
    client: Client,
    /// Its connections where it does not.
    origin: Arc<Origin>,
    uri: Uri,
    /// The token that its requests carry, if they do.
    tokens: Option<Arc<Tokens>>,
    unpacked: Arc<Unpacked>,
    understudy: Option<Understudy>,
}

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// Where it is sent.
    pub target: &'a Target,
    /// The `webhook-id`.
    pub id: &'a str,
    /// The ids of the deliveries in the body, if it is an array of several.
    pub batch: Option<&'a str>,
    /// The body.
    pub body: Bytes,
    /// The `Content-Type` of the body.
    pub content_type: &'a str,
    /// Whether the body is compressed on its way, where that is worth it. What is signed is the body as it was before.
    pub compress: Compression,
    /// The `webhook-timestamp`.
    pub at: SystemTime,
    /// The time-out, from the start of connecting to the last byte of the answer.
    pub timeout: Duration,
    /// The span of the request, for the header `traceparent`. It does not replace a header of that name of the target's
    /// own.
    pub span: Option<traceparent::Context>,
}

/// An answer of which the body is still to come.
#[derive(Debug)]
enum Response {
    /// On a connection that others may use at the same time.
    Shared(http::Response<Incoming>),
    /// On a connection of its own.
    Alone(Answering),
}

impl Response {
    fn status(&self) -> StatusCode {
        match self {
            Self::Shared(response) => response.status(),
            Self::Alone(answering) => answering.status,
        }
    }
}

/// What is sent of the body of a request.
#[derive(Clone, Copy)]
enum Content<'a> {
    /// The body as it is.
    Whole(&'a Bytes),
    /// The body in gzip.
    Packed(&'a Bytes),
}

impl Request<'_> {
    /// All headers of the request, including its signature. Values that may be secret are marked as sensitive.
    pub fn headers(&self) -> HeaderMap {
        signed(self)
    }
}

impl Sender {
    /// Calls only targets that `delivery` allows.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(delivery: &Delivery) -> anyhow::Result<Self> {
        Self::trusting(delivery, Vec::new())
    }

    /// Calls only targets that `delivery` allows, and trusts these authorities in addition to those of the system.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn trusting(
        delivery: &Delivery,
        authorities: Vec<CertificateDer<'static>>,
    ) -> anyhow::Result<Self> {
        let trust = Trust::of_the_system(authorities);
        let trust = trust.context("read the system's certificates")?;
        let guard = Arc::new(Guard::new(delivery.allow_http, &delivery.allow_networks));
        let tls = trust.configure(None).context("make the HTTP client")?;
        let connector = Connector::new(&guard, &Resolver::new(&delivery.resolver), &delivery.proxy);
        Ok(Self {
            clients: Clients::new(connector.clone(), tls),
            with_tls: Arc::default(),
            pool: Pool::new(connector.clone()),
            tokens: Arc::default(),
            unpacked: Arc::default(),
            trust,
            guard,
            connector,
            understudy: None,
        })
    }

    /// Has all requests heard by another, if there is one, in place of their targets.
    pub fn heard_by(self, understudy: Option<Understudy>) -> Self {
        Self { understudy, ..self }
    }

    /// How many connections may be open at once.
    pub fn connections(&self) -> usize {
        self.connector.most()
    }

    /// Makes a single request. For many requests to one target, [`open`](Self::open) it once.
    pub async fn send(&self, request: Request<'_>) -> Answer {
        match self.open(request.target) {
            Ok(endpoint) => endpoint.send(request).await,
            Err(failure) => Answer::Failed(failure),
        }
    }

    /// Prepares what all requests to a target have in common. No connection is made yet.
    ///
    /// # Errors
    /// The failure of every request: the target may not be called, or its TLS cannot be used.
    pub fn open(&self, target: &Target) -> Result<Endpoint, Failure> {
        let refused = |reason: String| Failure::Refused(reason);
        let url = Url::parse(target.display()).map_err(|error| refused(error.to_string()))?;
        let allowed = self.guard.check_url(&url);
        allowed.map_err(|refusal| refused(refusal.to_string()))?;
        let clients = match target.tls() {
            None => self.clients.clone(),
            Some(tls) => {
                let clients = self.clients_with(tls);
                clients.map_err(|error| Failure::Tls(error.to_string()))?
            }
        };
        let uri = Uri::try_from(url.as_str()).map_err(|error| refused(error.to_string()))?;
        let tokens = target.oauth2().map(|with| self.tokens_with(with));
        let fingerprint = target.tls().map(Tls::fingerprint);
        let origin = self.pool.origin(&uri, &clients.alone, fingerprint);
        Ok(Endpoint {
            client: clients.shared,
            origin,
            uri,
            tokens,
            unpacked: Arc::clone(&self.unpacked),
            understudy: self.understudy.clone(),
        })
    }

    /// Refuses a URL that may not be called, also because of what its host resolves to now. A host that cannot be
    /// resolved is not refused.
    ///
    /// # Errors
    /// Why it may not be called.
    pub async fn check(&self, url: &Url) -> Result<(), Refusal> {
        self.guard.check_url(url)?;
        match url.host() {
            Some(Host::Domain(name)) => self.connector.check(name).await,
            _ => Ok(()),
        }
    }

    fn tokens_with(&self, credentials: &Arc<ClientCredentials>) -> Arc<Tokens> {
        let mut all = lock(&self.tokens);
        if let Some(tokens) = all.get(credentials) {
            return Arc::clone(tokens);
        }
        // Those that no endpoint uses any more are of hooks that were changed, or have long had nothing to deliver.
        if all.len() >= MANY_TOKENS && all.len().is_power_of_two() {
            all.retain(|_, tokens| Arc::strong_count(tokens) > 1);
        }
        // The server of tokens is not the endpoint, and knows nothing of its certificates.
        let tokens = Arc::new(Tokens::new(
            self.clients.shared.clone(),
            Arc::clone(credentials),
        ));
        all.insert(Arc::clone(credentials), Arc::clone(&tokens));
        tokens
    }

    fn clients_with(&self, tls: &Tls) -> Result<Clients, rustls::Error> {
        let mut all = lock(&self.with_tls);
        if let Some(clients) = all.get(&tls.fingerprint()) {
            return Ok(clients.clone());
        }
        let clients = Clients::new(self.connector.clone(), self.trust.configure(Some(tls))?);
        all.insert(tls.fingerprint(), clients.clone());
        Ok(clients)
    }
}

impl Endpoint {
    /// Makes a request, with a new signature.
    ///
    /// The server may close a pooled connection just as it is used. The request is then made once more, on a new
    /// connection. One that the endpoint says it has not looked at is made again on others, a few times. After a
    /// time-out, the connection is not used for another request. One that answers 415 to a compressed body gets it as
    /// it is, and so all that follow. Once there is a status, it counts, whatever becomes of the body.
    pub async fn send(&self, request: Request<'_>) -> Answer {
        if let Some(understudy) = &self.understudy {
            return understudy.hear(&request);
        }
        let (begun, mut shared) = (Instant::now(), None);
        let head = self.head_of_either(&request, &mut shared);
        match timeout(request.timeout, head).await {
            Ok(Ok(response)) => {
                let left = request.timeout.saturating_sub(begun.elapsed());
                let (answer, is_whole) = read(response, left.min(BODY_PATIENCE)).await;
                if !is_whole {
                    retire(shared.as_ref());
                }
                answer
            }
            Ok(Err(failure)) => Answer::Failed(failure),
            Err(_) => {
                retire(shared.as_ref());
                Answer::Failed(Failure::TimedOut(request.timeout))
            }
        }
    }

    /// Makes the request with a compressed body, if it is to have one, and with the body as it is where the endpoint
    /// does not take that.
    async fn head_of_either(
        &self,
        request: &Request<'_>,
        shared: &mut Option<CaptureConnection>,
    ) -> Result<Response, Failure> {
        let whole = Content::Whole(&request.body);
        if request.compress == Compression::Gzip && !self.unpacked.has(request.target.display()) {
            // Boxed, because few requests are.
            return Box::pin(self.head_of_packed(request, whole, shared)).await;
        }
        self.head(request, whole, shared).await
    }

    async fn head_of_packed(
        &self,
        request: &Request<'_>,
        whole: Content<'_>,
        shared: &mut Option<CaptureConnection>,
    ) -> Result<Response, Failure> {
        let Some(packed) = pack(&request.body).await else {
            return self.head(request, whole, shared).await;
        };
        let response = self.head(request, Content::Packed(&packed), shared).await?;
        if response.status() != StatusCode::UNSUPPORTED_MEDIA_TYPE {
            return Ok(response);
        }
        self.unpacked.add(request.target.display());
        self.head(request, whole, shared).await
    }

    /// Makes the request with a token, if it needs one. A token that is refused is replaced once.
    async fn head(
        &self,
        request: &Request<'_>,
        content: Content<'_>,
        shared: &mut Option<CaptureConnection>,
    ) -> Result<Response, Failure> {
        match &self.tokens {
            None => self.head_with(request, content, None, shared).await,
            // Boxed, because few requests have one.
            Some(tokens) => Box::pin(self.head_with_token(request, content, tokens, shared)).await,
        }
    }

    async fn head_with_token(
        &self,
        request: &Request<'_>,
        content: Content<'_>,
        tokens: &Tokens,
        shared: &mut Option<CaptureConnection>,
    ) -> Result<Response, Failure> {
        let token = tokens.token(None).await?;
        let response = self
            .head_with(request, content, Some(&token), shared)
            .await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let other = tokens.token(Some(&token)).await?;
        self.head_with(request, content, Some(&other), shared).await
    }

    /// Makes the request until there is the head of an answer, or no use in making it again.
    async fn head_with(
        &self,
        request: &Request<'_>,
        content: Content<'_>,
        token: Option<&HeaderValue>,
        shared: &mut Option<CaptureConnection>,
    ) -> Result<Response, Failure> {
        let (mut closed, mut untaken) = (0, 0);
        loop {
            let is_again = closed > 0;
            let attempt = self.attempt(request, content, token, shared, is_again);
            match attempt.await {
                Err(Failure::Closed) if closed < CLOSED => closed += 1,
                Err(Failure::Untaken) if untaken < UNTAKEN => {
                    untaken += 1;
                    retire(shared.as_ref());
                }
                ended => return ended,
            }
        }
    }

    /// Makes the request once. `shared` is told the connection, if others may use it at the same time. With `is_again`,
    /// it goes out on a new one, where none is shared.
    async fn attempt(
        &self,
        request: &Request<'_>,
        content: Content<'_>,
        token: Option<&HeaderValue>,
        shared: &mut Option<CaptureConnection>,
        is_again: bool,
    ) -> Result<Response, Failure> {
        let (Content::Whole(body) | Content::Packed(body)) = content;
        let mut made = http::Request::new(Full::new(body.clone()));
        *made.method_mut() = request.target.method().clone();
        *made.uri_mut() = self.uri.clone();
        *made.headers_mut() = signed(request);
        if let Content::Packed(_) = content {
            let headers = made.headers_mut();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(token) = token {
            made.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        if !self.origin.may_share() {
            let answering = self.origin.request(&made, body, is_again).await?;
            return Ok(Response::Alone(answering));
        }
        *shared = Some(capture_connection(&mut made));
        // Boxed, because it is large, and most requests have a connection of their own.
        let response = Box::pin(self.client.request(made)).await;
        let response = response.map_err(|error| explain(&error, error.is_connect()))?;
        if response.version() != Version::HTTP_2 {
            self.origin.speaks_http1();
        }
        Ok(Response::Shared(response))
    }
}

/// Has no new request use a connection that others wait on, too. One of HTTP/1 is closed with its request.
fn retire(shared: Option<&CaptureConnection>) {
    let connected = shared.map(CaptureConnection::connection_metadata);
    if let Some(connected) = connected.as_deref().and_then(Option::as_ref) {
        connected.poison();
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
        let second = signer.second_header();
        if let Some((header, signature)) = second.zip(signer.sign_second(at, &request.body)) {
            put(&mut headers, header.clone(), signature);
        }
    }
    headers
}

/// Reads the answer, as much as is kept of it and comes in time, and whether that is all there was to wait for. The
/// connection of a longer answer cannot be used again.
async fn read(response: Response, patience: Duration) -> (Answer, bool) {
    let (mut body, code) = (Vec::new(), response.status().as_u16());
    let (headers, is_whole) = match response {
        Response::Shared(response) => {
            let (head, rest) = response.into_parts();
            let reading = timeout(patience, read_shared(rest, &mut body)).await;
            (head.headers, reading.is_ok())
        }
        Response::Alone(answering) => {
            let reading = answering.body.read(&mut body, MOST_OF_BODY);
            let reading = timeout(patience, reading).await;
            (answering.headers, reading.is_ok())
        }
    };
    let retry_after = headers.get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok());
    let answer = Answer::Status {
        code,
        retry_after: retry_after.map(str::to_owned),
        headers,
        body: body.into(),
    };
    (answer, is_whole)
}

async fn read_shared(mut rest: Incoming, body: &mut Vec<u8>) {
    while body.len() < MOST_OF_BODY {
        // The status is known already; a body that breaks off does not change it.
        let Some(Ok(frame)) = rest.frame().await else {
            break;
        };
        if let Ok(chunk) = frame.into_data() {
            body.extend_from_slice(&chunk[..chunk.len().min(MOST_OF_BODY - body.len())]);
        }
    }
}
