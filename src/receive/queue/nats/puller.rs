//! Pulls the messages of one consumer, and runs them.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{AckKind, Message, consumer::PullConsumer};
use futures_util::StreamExt;
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    markers::Markers,
    message::{Metadata, dead_marker, id_hash, read, token},
    server::Server,
};
use crate::receive::{
    attempt::Runner,
    envelope::Received,
    queue::{
        error::Error,
        outcome::{Outcome, attempt},
    },
    task::Task,
};

/// How often the server is informed that a message is being worked on: often enough that some of these may be lost.
const PROGRESS: Duration = Duration::from_secs(5);
/// How long one request for a message waits on the server.
const FETCH: Duration = Duration::from_secs(5);
/// How long to wait after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Pulls the messages of one consumer, and runs their jobs.
pub(super) struct Puller {
    pub(super) server: Server,
    pub(super) done: Markers,
    pub(super) task: Arc<Task>,
    pub(super) runner: Arc<Runner>,
    /// The slots of this task, and those of all tasks.
    pub(super) slots: [Arc<Semaphore>; 2],
    /// No further job begins.
    pub(super) stop: CancellationToken,
    /// The running jobs are to end now.
    pub(super) abort: CancellationToken,
    pub(super) running: TaskTracker,
}

impl Puller {
    /// Pulls messages until it is stopped.
    pub(super) async fn pull(self, consumer: PullConsumer) {
        let puller = Arc::new(self);
        loop {
            let next = tokio::select! {
                next = next(&consumer) => next,
                () = puller.stop.cancelled() => return,
            };
            match next {
                Ok(Some(message)) => puller.begin(message).await,
                Ok(None) => {}
                Err(error) => {
                    let error = puller.server.error("cannot get a message", error);
                    tracing::warn!(%error, task = puller.task.name, "trying again");
                    tokio::select! {
                        () = sleep(PAUSE) => {}
                        () = puller.stop.cancelled() => return,
                    }
                }
            }
        }
    }

    /// Waits for free slots, and begins the job.
    async fn begin(self: &Arc<Self>, message: Message) {
        let message = Arc::new(message);
        let in_progress = keep_in_progress(Arc::clone(&message));
        let slots = async {
            let [of_task, of_all] = &self.slots;
            let of_task = Arc::clone(of_task).acquire_owned().await;
            (of_task, Arc::clone(of_all).acquire_owned().await)
        };
        let slots = tokio::select! {
            slots = slots => slots,
            () = self.stop.cancelled() => {
                // Another receiver can have it at once.
                let _ = message.ack_with(AckKind::Nak(None)).await;
                return;
            }
        };
        let puller = Arc::clone(self);
        self.running.spawn(async move {
            tokio::select! {
                () = puller.run(&message) => {}
                () = puller.abort.cancelled() => {
                    let _ = message.ack_with(AckKind::Nak(None)).await;
                }
            }
            drop((in_progress, slots));
        });
    }

    /// Makes one attempt of the job in `message`, and records how it ended.
    async fn run(&self, message: &Message) {
        let Some((received, number)) = read(message) else {
            tracing::error!(subject = %message.subject, "a message in the queue is not of our making, and is left out");
            let _ = message.ack_with(AckKind::Term).await;
            return;
        };
        let (task, id) = (&*self.task.name, &*received.id);
        let done = format!("done.{}.{}", id_hash(id), token(task));
        if self.retry_until_ok(|| self.done.contains(&done)).await {
            tracing::info!(task, id, "done before");
            return self.acknowledge(message, AckKind::Ack).await;
        }
        match attempt(&self.runner, &self.task, &received, number).await {
            Outcome::Succeeded => {
                // The marker comes before the acknowledgement: a job with a marker never runs again.
                self.retry_until_ok(|| self.done.insert(&done)).await;
                self.acknowledge(message, AckKind::Ack).await;
                tracing::info!(task, id, "done");
            }
            Outcome::Retry { after, .. } => {
                self.acknowledge(message, AckKind::Nak(Some(after))).await;
            }
            Outcome::Dead { reason } => {
                self.retry_until_ok(|| self.publish_dead(message, &received, number, &reason))
                    .await;
                let marker = dead_marker(id, task);
                self.retry_until_ok(|| self.done.insert(&marker)).await;
                self.acknowledge(message, AckKind::Ack).await;
            }
        }
    }

    /// Adds a job whose attempts are used up to the dead jobs.
    async fn publish_dead(
        &self,
        message: &Message,
        received: &Received,
        attempts: u32,
        reason: &str,
    ) -> Result<(), Error> {
        let task = &self.task.name;
        let metadata = Metadata {
            failed: Some((attempts, reason.to_owned())),
            subject: Some(message.subject.to_string()),
            ..Metadata::new(received, task.clone())
        };
        let subject = format!("rowhook.dead.{}", token(task));
        let sequence = message.info().map_or(0, |info| info.stream_sequence);
        let message_id = format!("{}/{task}/{sequence}", id_hash(&received.id));
        let body = received.body.clone();
        self.server
            .publish(subject, &message_id, &metadata, body)
            .await
            .map(|_| ())
    }

    /// Acknowledges a message, and returns once the server has confirmed that.
    async fn acknowledge(&self, message: &Message, kind: AckKind) {
        self.retry_until_ok(|| async {
            let confirmed = message.double_ack_with(kind).await;
            confirmed.map_err(|error| self.server.error("cannot acknowledge a message", error))
        })
        .await;
    }

    /// Repeats `work` until it succeeds, and logs each error.
    async fn retry_until_ok<T, F: Future<Output = Result<T, Error>>>(
        &self,
        mut work: impl FnMut() -> F,
    ) -> T {
        loop {
            match work().await {
                Ok(done) => return done,
                Err(error) => tracing::error!(%error, task = self.task.name, "trying again"),
            }
            sleep(PAUSE).await;
        }
    }
}

/// The next message of a consumer; `None` when none came within [`FETCH`].
async fn next(consumer: &PullConsumer) -> Result<Option<Message>, String> {
    let batch = consumer.batch().max_messages(1).expires(FETCH).messages();
    let mut batch = batch.await.map_err(|error| error.to_string())?;
    let message = batch.next().await.transpose();
    message.map_err(|error| error.to_string())
}

/// Keeps the server from handing out a message again, until the guard is dropped.
fn keep_in_progress(message: Arc<Message>) -> InProgress {
    InProgress(tokio::spawn(async move {
        let mut ticks = interval(PROGRESS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = message.ack_with(AckKind::Progress).await {
                tracing::warn!(%error, "NATS cannot be told that a task is still at work");
            }
        }
    }))
}

struct InProgress(tokio::task::JoinHandle<()>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.abort();
    }
}
