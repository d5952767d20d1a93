//! A whole receiver: a gate, a queue, and tasks.

use std::{fs::File, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use nix::fcntl::Flock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    attempt::Runner,
    gate::Gate,
    http::serve,
    queue::{Accepted, Disk, Job, Limits, Nats, Queue, Work, lock},
    reaper::Broom,
    task::Task,
};
use crate::secret::Secret;

/// So long a receiver that was killed may need to be swept up.
const PATIENCE: Duration = Duration::from_secs(10);
/// When a sender may come again to a queue that is full, in seconds.
const COME_AGAIN: &str = "30";

/// What a receiver is like, beside its tasks.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whom it believes, and how much it reads.
    pub gate: Gate,
    /// The only path that it answers to; `None`: all of them.
    pub path: Option<String>,
    /// Where the queue is. Default: the folder `rowhook-queue`.
    pub queue: Place,
    /// What bounds it. Default: 1 GiB, 7 days, 30 days.
    pub limits: Limits,
    /// So many tasks may run at once. Default 8.
    pub concurrency: NonZeroUsize,
    /// How long tasks may go on when it is told to stop. Default 20 s.
    pub grace: Duration,
}

/// Where a queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a folder of this machine, for one receiver.
    Folder(PathBuf),
    /// In NATS, at this URL, for any number of receivers. It may carry credentials.
    Nats(Secret),
}

impl Options {
    /// All defaults, behind this gate.
    pub fn new(gate: Gate) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            gate,
            path: None,
            queue: Place::Folder("rowhook-queue".into()),
            limits: Limits {
                size: 1 << 30,
                remember: 7 * DAY,
                keep_dead: 30 * DAY,
            },
            concurrency: NonZeroUsize::MIN.saturating_add(7),
            grace: Duration::from_secs(20),
        }
    }
}

/// A receiver, ready to run.
///
/// What it answers with 202 is in the queue, and stays there through `kill -9` until each task that wants it has succeeded or
/// is dead.
#[derive(Debug)]
pub struct Receiver {
    endpoint: Arc<Endpoint>,
    runner: Arc<Runner>,
    concurrency: NonZeroUsize,
    grace: Duration,
    /// The folder of the queue is ours. It comes last: what runs has ended before another may begin.
    _lock: Option<Flock<File>>,
}

#[derive(Debug)]
struct Endpoint {
    gate: Gate,
    path: Option<String>,
    tasks: Arc<[Arc<Task>]>,
    queue: Queue,
}

impl Receiver {
    /// Opens the queue. Tasks have different names.
    ///
    /// # Errors
    /// When the queue cannot be opened, or is another receiver's.
    pub async fn open(tasks: impl Into<Arc<[Arc<Task>]>>, options: Options) -> Result<Self> {
        let tasks = tasks.into();
        let (queue, lock, kept) = match &options.queue {
            Place::Folder(folder) => {
                let lock = lock(folder, PATIENCE).await?;
                let copy = lock.try_clone().context("copy the lock of the queue")?;
                let disk = Disk::open(folder, options.limits)?;
                (Queue::Disk(disk), Some(lock), copy)
            }
            Place::Nats(url) => {
                let nats = Nats::connect(url, options.limits).await?;
                let nothing = File::options().write(true).open("/dev/null");
                let nothing = nothing.context("open /dev/null")?;
                (Queue::Nats(Box::new(nats)), None, nothing)
            }
        };
        Ok(Self {
            runner: Arc::new(Runner::new(Some(Broom::start(kept)?))?),
            concurrency: options.concurrency,
            grace: options.grace,
            endpoint: Arc::new(Endpoint {
                gate: options.gate,
                path: options.path,
                tasks,
                queue,
            }),
            _lock: lock,
        })
    }

    /// The endpoint alone, to be served by a program of its own. [`Receiver::work`] does what it accepts.
    pub fn router(&self) -> Router {
        Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&self.endpoint))
    }

    /// Runs tasks until it is told to stop.
    ///
    /// # Errors
    /// When the queue cannot be used.
    pub async fn work(&self, stop: CancellationToken) -> Result<()> {
        let work = Work {
            tasks: Arc::clone(&self.endpoint.tasks),
            runner: Arc::clone(&self.runner),
            concurrency: self.concurrency.get(),
            stop,
            grace: self.grace,
        };
        Ok(self.endpoint.queue.work(work).await?)
    }

    /// Listens, and runs tasks, until it is told to stop.
    ///
    /// # Errors
    /// When the queue cannot be used.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> Result<()> {
        let stop = stop.child_token();
        let serving = serve(listener, self.router(), stop.clone(), self.grace);
        let working = async {
            let worked = self.work(stop.clone()).await;
            // Without work there is no use in accepting more.
            stop.cancel();
            worked
        };
        let ((), worked) = tokio::join!(serving, working);
        worked
    }
}

async fn receive(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    let path = request.uri().path();
    if request.method() == Method::GET && path == "/health" {
        return (StatusCode::OK, "ok\n").into_response();
    }
    if endpoint.path.as_deref().is_some_and(|only| only != path) {
        return (StatusCode::NOT_FOUND, "there is nothing at this path\n").into_response();
    }
    let (received, json) = match endpoint.gate.admit(request).await {
        Ok(admitted) => admitted,
        Err(rejection) => {
            let status = rejection.status().as_u16();
            tracing::warn!(status, reason = %rejection, "turned a request away");
            return rejection.into_response();
        }
    };
    let wanted = endpoint.tasks.iter();
    let jobs: Vec<Job> = wanted
        .filter(|task| task.wants(&received.envelope))
        .map(|task| Job {
            task: task.name.clone(),
            lane: task.lane(&json),
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
    match endpoint.queue.accept(received, jobs).await {
        Ok(Accepted::New) => {
            tracing::info!(id, model, event, tasks, "accepted");
            (StatusCode::ACCEPTED, "accepted\n").into_response()
        }
        Ok(Accepted::Repeated) => {
            tracing::info!(id, model, event, "accepted before");
            (StatusCode::OK, "accepted before\n").into_response()
        }
        Ok(Accepted::TooLarge) => {
            tracing::warn!(id, "a body is larger than the queue can hold");
            let told = "the body is larger than the queue can hold\n";
            (StatusCode::PAYLOAD_TOO_LARGE, told).into_response()
        }
        Ok(Accepted::Full) => {
            tracing::error!(
                id,
                "the queue is full; nothing is accepted until tasks are done"
            );
            come_again("the queue is full\n")
        }
        Err(error) => {
            tracing::error!(id, %error, "a request cannot be kept, and its sender is asked to come again");
            come_again("it cannot be kept now\n")
        }
    }
}

fn come_again(told: &'static str) -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(RETRY_AFTER, COME_AGAIN)],
        told,
    )
        .into_response()
}
