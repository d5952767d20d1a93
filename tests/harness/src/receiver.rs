//! An endpoint that keeps what it gets.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::StatusCode,
};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, timeout},
};

use crate::{Call, DEADLINE, schemas::Schemas};

/// An endpoint that keeps every call, and answers what the test says.
///
/// Each body is checked against `rowhook schema` when the test waits for calls.
#[must_use = "it stops listening when it is dropped"]
pub struct Receiver {
    address: SocketAddr,
    kept: Arc<Kept>,
    server: tokio::task::JoinHandle<()>,
}

/// Decides on the status of the answer, from a call and the number of calls before it.
type Answer = Box<dyn Fn(&Call, usize) -> u16 + Send + Sync>;

struct Kept {
    calls: watch::Sender<Vec<Call>>,
    schemas: Schemas,
    /// The number of calls whose bodies have been checked against the schemas.
    checked: AtomicUsize,
    answer: Mutex<Answer>,
}

impl Receiver {
    /// Answers 200 to everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| 200).await
    }

    /// Answers with the status that `answer` returns for a call and the number of calls before it.
    pub async fn answering(answer: impl Fn(&Call, usize) -> u16 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Kept {
            calls: watch::Sender::new(Vec::new()),
            schemas: Schemas::of_test(),
            checked: AtomicUsize::new(0),
            answer: Mutex::new(Box::new(answer)),
        });
        let app = axum::Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&kept));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            kept,
            server,
        }
    }

    /// The URL to send requests to.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers from now on as [`answering`](Self::answering) does.
    pub fn answer(&self, answer: impl Fn(&Call, usize) -> u16 + Send + Sync + 'static) {
        *self.kept.answer.lock().unwrap() = Box::new(answer);
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.kept.calls.borrow().clone()
    }

    /// Waits until there are at least this many calls, and returns all of them.
    pub async fn expect(&self, calls: usize) -> Vec<Call> {
        self.until(&format!("{calls} calls"), |all| all.len() >= calls)
            .await
    }

    /// Waits until `met` is true of all calls so far, and returns them.
    ///
    /// # Panics
    /// When no call has come for [`DEADLINE`], or after five times that in all. The message contains `fact` and the
    /// last calls. Also when a body does not match its schema.
    pub async fn until(&self, fact: &str, met: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        let mut calls = self.kept.calls.subscribe();
        let end = Instant::now() + 5 * DEADLINE;
        loop {
            if met(&calls.borrow_and_update()) {
                let seen = self.calls();
                self.check(&seen).await;
                return seen;
            }
            let more = timeout(DEADLINE, calls.changed()).await;
            if more.is_err() || Instant::now() > end {
                let seen = self.calls();
                let last: Vec<_> = seen.iter().rev().take(5).collect();
                panic!(
                    "never came: {fact}; there were {} calls, last of all {last:#?}",
                    seen.len()
                );
            }
        }
    }

    /// Checks the bodies that have not been checked yet against their schemas.
    async fn check(&self, calls: &[Call]) {
        let checked = self.kept.checked.swap(calls.len(), Ordering::Relaxed);
        let new = calls.get(checked..).unwrap_or_default();
        // Schemas are those of JSON.
        let form = "application/x-www-form-urlencoded";
        let is_form = |call: &&Call| {
            let content_type = call.headers.get("content-type");
            content_type.is_some_and(|value| value.as_bytes().starts_with(form.as_bytes()))
        };
        let json = new.iter().filter(|call| !is_form(call));
        let bodies: Vec<Bytes> = json.map(|call| call.body.clone()).collect();
        self.kept.schemas.read(false).await;
        self.kept.schemas.check(&bodies).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(State(kept): State<Arc<Kept>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let sent = body.len();
    let body = match parts.headers.get("content-encoding") {
        None => body,
        Some(_) => rowhook::gzip::unpack(&body, 32 << 20).unwrap().into(),
    };
    let mut call = Call {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: parts.headers,
        body,
        sent,
        status: 0,
    };
    let before = kept.calls.borrow().len();
    call.status = kept.answer.lock().unwrap()(&call, before);
    let status = StatusCode::from_u16(call.status).unwrap();
    kept.calls.send_modify(|calls| calls.push(call));
    status
}
