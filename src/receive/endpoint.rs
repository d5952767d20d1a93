//! The HTTP endpoint of a receiver: verifies a request, enqueues its jobs, and answers.

use std::sync::Arc;

use super::{
    envelope::Received,
    gate::{Gate, Rejection},
    queue::{Enqueued, Job, Queue},
    task::Task,
};
use crate::{expression::document::Document, panics::caught};
use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};

/// When a sender should try again where a request cannot be enqueued, in seconds.
const RETRY_AFTER_SECONDS: &str = "30";

/// What it takes to answer a request.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) gate: Gate,
    /// The only path that is served; `None`: every path.
    pub(super) path: Option<String>,
    pub(super) tasks: Arc<[Arc<Task>]>,
    pub(super) queue: Queue,
}

impl Endpoint {
    pub(super) fn router(self: &Arc<Self>) -> Router {
        let answer = |State(endpoint): State<Arc<Self>>, request: Request| async move {
            let answered = caught(endpoint.answer(request)).await;
            answered.unwrap_or_else(|panic| {
                tracing::error!(%panic, "rowhook has a bug; a request is not accepted");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "it cannot be understood\n",
                )
                    .into_response()
            })
        };
        Router::new().fallback(answer).with_state(Arc::clone(self))
    }

    async fn answer(&self, request: Request) -> Response {
        let path = request.uri().path();
        if request.method() == Method::GET && path == "/health" {
            return (StatusCode::OK, "ok\n").into_response();
        }
        if self.path.as_deref().is_some_and(|only| only != path) {
            return (StatusCode::NOT_FOUND, "there is nothing at this path\n").into_response();
        }
        let (received, json) = match self.gate.admit(request).await {
            Ok(admitted) => admitted,
            Err(Rejection::Greeted(greeting)) => {
                tracing::info!("{greeting}");
                return greeting.into_response();
            }
            Err(rejection) => {
                let status = rejection.status().as_u16();
                tracing::warn!(status, reason = %rejection, "turned a request away");
                return rejection.into_response();
            }
        };
        self.enqueue(received, &json).await
    }

    /// Enqueues a job for each task that wants this request.
    async fn enqueue(&self, received: Received, json: &Document) -> Response {
        let wanted = self.tasks.iter();
        let jobs: Vec<Job> = wanted
            .filter(|task| task.wants(&received.envelope))
            .map(|task| Job {
                task: task.name.clone(),
                lane: task.lane(json),
            })
            .collect();
        let id = received.id.clone();
        let envelope = received.envelope.clone();
        let (model, event) = (&*envelope.model, &*envelope.event);
        if jobs.is_empty() {
            tracing::info!(id, model, event, "no task wants this");
            return (StatusCode::ACCEPTED, "accepted; no task wants it\n").into_response();
        }
        let tasks = jobs.len();
        match self.queue.enqueue(received, jobs).await {
            Ok(Enqueued::New) => {
                tracing::info!(id, model, event, tasks, "accepted");
                (StatusCode::ACCEPTED, "accepted\n").into_response()
            }
            Ok(Enqueued::Revived(tasks)) => {
                tracing::info!(id, model, event, tasks, "accepted again, for what was dead");
                (StatusCode::ACCEPTED, "accepted again\n").into_response()
            }
            Ok(Enqueued::Duplicate) => {
                tracing::info!(id, model, event, "accepted before");
                (StatusCode::OK, "accepted before\n").into_response()
            }
            Ok(Enqueued::TooLarge) => {
                tracing::warn!(id, "a body is larger than the queue can hold");
                let text = "the body is larger than the queue can hold\n";
                (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
            }
            Ok(Enqueued::Full) => {
                tracing::error!(
                    id,
                    "the queue is full; nothing is accepted until tasks are done"
                );
                unavailable("the queue is full\n")
            }
            Err(error) => {
                tracing::error!(id, %error, "a request cannot be kept, and its sender is asked to come again");
                unavailable("it cannot be kept now\n")
            }
        }
    }
}

fn unavailable(text: &'static str) -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(RETRY_AFTER, RETRY_AFTER_SECONDS)],
        text,
    )
        .into_response()
}
