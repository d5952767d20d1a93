//! Makes a request and says what came of it.
//!
//! What a client does by default and a sidecar must not: follow redirects, obey HTTP_PROXY, expand compressed answers,
//! read an answer of any size, look a name up again after it was checked, or let a trickle restart the time-out.

pub mod answer;
mod client;
pub mod guard;
pub mod target;
mod tls;
pub mod traceparent;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use bytes::Bytes;
use http::{
    Uri,
    header::{HeaderMap, HeaderName, RETRY_AFTER},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use url::Url;

use self::{
    answer::{Answer, Failure},
    client::{Client, client, explain},
    guard::Guard,
    target::{Target, put},
    tls::Trust,
};
use crate::config::{
    Delivery,
    certificate::{Fingerprint, Tls},
};

/// So much of an answer's body is kept, and no more is read.
const KEPT_OF_BODY: usize = 4096;
/// The ids of the deliveries in a request that carries several.
pub const ROWHOOK_BATCH: HeaderName = HeaderName::from_static("rowhook-batch");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Makes requests. Connections are kept and shared.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client,
    /// Those of hooks with TLS of their own, made when they are first needed.
    with_tls: Arc<Mutex<HashMap<Fingerprint, Client>>>,
    trust: Trust,
    guard: Arc<Guard>,
}

/// The way to a target.
#[derive(Debug)]
pub struct Endpoint {
    client: Client,
    uri: Uri,
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
    pub span: Option<traceparent::Context>,
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
    pub fn trusting(
        delivery: &Delivery,
        authorities: Vec<CertificateDer<'static>>,
    ) -> anyhow::Result<Self> {
        let trust = Trust::of_the_system(authorities);
        let trust = trust.context("read the system's certificates")?;
        let guard = Arc::new(Guard::new(delivery.allow_http, &delivery.allow_networks));
        let tls = trust.configure(None).context("make the HTTP client")?;
        Ok(Self {
            client: client(&guard, tls),
            with_tls: Arc::default(),
            trust,
            guard,
        })
    }

    /// Makes a request of a target that is asked now and then; one that is asked often has its door left open.
    pub async fn send(&self, request: Request<'_>) -> Answer {
        match self.open(request.target) {
            Ok(door) => door.send(request).await,
            Err(failure) => Answer::Failed(failure),
        }
    }

    /// Makes ready what all requests of a target have in common, but for the target itself. It connects to nothing yet.
    ///
    /// # Errors
    /// What every request would come to: the target may not be asked, or its TLS cannot be used.
    pub fn open(&self, target: &Target) -> Result<Endpoint, Failure> {
        let refused = |reason: String| Failure::Refused(reason);
        let url = Url::parse(target.display()).map_err(|error| refused(error.to_string()))?;
        let judged = self.guard.check_url(&url);
        judged.map_err(|refusal| refused(refusal.to_string()))?;
        let client = match target.tls() {
            None => self.client.clone(),
            Some(tls) => {
                let client = self.client_with(tls);
                client.map_err(|error| Failure::Tls(error.to_string()))?
            }
        };
        let uri = Uri::try_from(url.as_str()).map_err(|error| refused(error.to_string()))?;
        Ok(Endpoint { client, uri })
    }

    fn client_with(&self, tls: &Tls) -> Result<Client, rustls::Error> {
        // Nothing that is done under the lock can panic.
        let mut clients = self
            .with_tls
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(client) = clients.get(&tls.fingerprint()) {
            return Ok(client.clone());
        }
        let client = client(&self.guard, self.trust.configure(Some(tls))?);
        clients.insert(tls.fingerprint(), client.clone());
        Ok(client)
    }
}

impl Endpoint {
    /// Makes the request, signed anew over the same id and body.
    ///
    /// A kept connection that the server closes just as it is used gives no answer at all; the request is then made once
    /// more at once, on a new connection.
    pub async fn send(&self, request: Request<'_>) -> Answer {
        let whole = async {
            match self.attempt(&request).await {
                Answer::Failed(Failure::Closed) => self.attempt(&request).await,
                answer => answer,
            }
        };
        match tokio::time::timeout(request.timeout, whole).await {
            Ok(answer) => answer,
            Err(_) => Answer::Failed(Failure::TimedOut(request.timeout)),
        }
    }

    async fn attempt(&self, request: &Request<'_>) -> Answer {
        let mut made = http::Request::new(Full::new(request.body.clone()));
        *made.method_mut() = request.target.method().clone();
        *made.uri_mut() = self.uri.clone();
        *made.headers_mut() = signed(request);
        match self.client.request(made).await {
            Ok(response) => read(response).await,
            Err(error) => Answer::Failed(explain(&error)),
        }
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
async fn read(response: http::Response<Incoming>) -> Answer {
    let (head, mut rest) = response.into_parts();
    let retry_after = head.headers.get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    let mut body = Vec::new();
    while body.len() < KEPT_OF_BODY {
        // The status has been said; a body that breaks off changes nothing about it.
        let Some(Ok(frame)) = rest.frame().await else {
            break;
        };
        if let Ok(chunk) = frame.into_data() {
            body.extend_from_slice(&chunk[..chunk.len().min(KEPT_OF_BODY - body.len())]);
        }
    }
    Answer::Status {
        code: head.status.as_u16(),
        retry_after,
        headers: head.headers,
        body: body.into(),
    }
}
