//! A receiver: an endpoint, a queue, and the workers that run its tasks.

use std::{fs::File, num::NonZeroUsize, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::Router;
use nix::fcntl::Flock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    attempt::Runner,
    endpoint::Endpoint,
    options::Options,
    queue::{Disk, Nats, Queue, Storage, Workers, lock},
    reaper::Reaper,
    task::Task,
};
use crate::listen::http::serve;

/// How long to wait for the reaper of a receiver that was killed, which still holds the lock of the queue.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// A receiver that is ready to run.
///
/// A request that it answers with 202 is in the queue. It survives `kill -9`, and stays until each task that wants it
/// has succeeded or is dead.
#[derive(Debug)]
pub struct Receiver {
    endpoint: Arc<Endpoint>,
    runner: Arc<Runner>,
    concurrency: NonZeroUsize,
    grace: Duration,
    /// The lock on the folder of the queue. It is the last field, and so is released after the runner, which ends what
    /// still runs: only then may another receiver begin.
    _lock: Option<Flock<File>>,
}

impl Receiver {
    /// Opens the queue. The names of the tasks must differ.
    ///
    /// # Errors
    /// When the queue cannot be opened, or another receiver uses its folder.
    pub async fn open(tasks: impl Into<Arc<[Arc<Task>]>>, options: Options) -> Result<Self> {
        let tasks = tasks.into();
        let (queue, lock, kept) = match &options.queue {
            Storage::Folder(folder) => {
                let lock = lock(folder, LOCK_TIMEOUT).await?;
                let copy = lock.try_clone().context("copy the lock of the queue")?;
                let disk = Disk::open(folder, options.limits)?;
                (Queue::Disk(disk), Some(lock), copy)
            }
            Storage::Nats(url) => {
                let nats = Nats::connect(url, options.limits).await?;
                let nothing = File::options().write(true).open("/dev/null");
                let nothing = nothing.context("open /dev/null")?;
                (Queue::Nats(Box::new(nats)), None, nothing)
            }
        };
        Ok(Self {
            runner: Arc::new(
                Runner::new(Some(Reaper::start(kept)?))?.hiding(options.hidden_variables),
            ),
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

    /// The endpoint alone, for a program that serves it itself. [`Receiver::work`] runs what it enqueues.
    pub fn router(&self) -> Router {
        self.endpoint.router()
    }

    /// Runs queued jobs until `stop` is cancelled.
    ///
    /// # Errors
    /// When the queue cannot be used.
    pub async fn work(&self, stop: CancellationToken) -> Result<()> {
        let workers = Workers {
            tasks: Arc::clone(&self.endpoint.tasks),
            runner: Arc::clone(&self.runner),
            concurrency: self.concurrency.get(),
            stop,
            grace: self.grace,
        };
        Ok(self.endpoint.queue.work(workers).await?)
    }

    /// Serves the endpoint on `listener` and runs queued jobs, until `stop` is cancelled.
    ///
    /// # Errors
    /// When the queue cannot be used.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> Result<()> {
        let stop = stop.child_token();
        let serving = serve(listener, self.router(), None, stop.clone(), self.grace);
        let working = async {
            let worked = self.work(stop.clone()).await;
            // Without workers there is no use in accepting more.
            stop.cancel();
            worked
        };
        let ((), worked) = tokio::join!(serving, working);
        worked
    }
}
