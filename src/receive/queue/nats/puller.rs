//! Takes messages of one consumer, and has them done.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{AckKind, Message, consumer::PullConsumer};
use futures_util::StreamExt;
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    message::{Facts, key, milliseconds, read, token},
    server::{Notes, Server},
};
use crate::receive::{
    attempt::Runner,
    queue::{
        Error,
        worker::{Outcome, attempt},
    },
    task::Task,
};

/// How often it is said that a message is being worked on. Some may get lost.
const PROGRESS: Duration = Duration::from_secs(5);
/// How long one request for a message waits at the server.
const FETCH: Duration = Duration::from_secs(5);
/// How long is waited after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes messages of one consumer, and has them done.
pub(super) struct Puller {
    pub(super) server: Server,
    pub(super) done: Notes,
    pub(super) task: Arc<Task>,
    pub(super) runner: Arc<Runner>,
    pub(super) slots: [Arc<Semaphore>; 2],
    pub(super) stop: CancellationToken,
    pub(super) abandon: CancellationToken,
    pub(super) running: TaskTracker,
}

impl Puller {
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
                    let error = puller.server.wrong("cannot get a message", error);
                    tracing::warn!(%error, task = puller.task.name, "trying again");
                    tokio::select! {
                        () = sleep(PAUSE) => {}
                        () = puller.stop.cancelled() => return,
                    }
                }
            }
        }
    }

    /// Waits until there is room for one more, and begins it.
    async fn begin(self: &Arc<Self>, message: Message) {
        let message = Arc::new(message);
        let holding = hold(Arc::clone(&message));
        let slots = async {
            let [of_task, of_all] = &self.slots;
            let of_task = Arc::clone(of_task).acquire_owned().await;
            (of_task, Arc::clone(of_all).acquire_owned().await)
        };
        let slots = tokio::select! {
            slots = slots => slots,
            () = self.stop.cancelled() => {
                // For somebody else, at once.
                let _ = message.ack_with(AckKind::Nak(None)).await;
                return;
            }
        };
        let puller = Arc::clone(self);
        self.running.spawn(async move {
            tokio::select! {
                () = puller.run(&message) => {}
                () = puller.abandon.cancelled() => {
                    let _ = message.ack_with(AckKind::Nak(None)).await;
                }
            }
            drop((holding, slots));
        });
    }

    async fn run(&self, message: &Message) {
        let Some((received, number)) = read(message) else {
            tracing::error!(subject = %message.subject, "a message in the queue is not of our making, and is left out");
            let _ = message.ack_with(AckKind::Term).await;
            return;
        };
        let (task, id) = (&*self.task.name, &*received.id);
        let done = format!("done.{}.{}", key(id), token(task));
        if self.insist(|| self.done.has(&done)).await {
            tracing::info!(task, id, "done before");
            return self.acknowledge(message, AckKind::Ack).await;
        }
        match attempt(&self.runner, &self.task, &received, number).await {
            Outcome::Done => {
                // On record before it is acknowledged: what is on record never runs again.
                self.insist(|| self.done.put(&done)).await;
                self.acknowledge(message, AckKind::Ack).await;
                tracing::info!(task, id, "done");
            }
            Outcome::Again { after, .. } => {
                self.acknowledge(message, AckKind::Nak(Some(after))).await;
            }
            Outcome::Dead { reason } => {
                let facts = Facts {
                    id: received.id.clone(),
                    task: self.task.name.clone(),
                    envelope: received.envelope.clone(),
                    content_type: received.content_type.clone(),
                    received_at: milliseconds(received.received_at),
                    failed: Some((number, reason)),
                    subject: Some(message.subject.to_string()),
                };
                let subject = format!("rowhook.dead.{}", token(task));
                let sequence = message.info().map_or(0, |info| info.stream_sequence);
                let message_id = format!("{}/{task}/{sequence}", key(id));
                let body = &received.body;
                let bury = || {
                    let (subject, body) = (subject.clone(), body.clone());
                    self.server.publish(subject, &message_id, &facts, body)
                };
                self.insist(bury).await;
                self.acknowledge(message, AckKind::Ack).await;
            }
        }
    }

    /// Says what became of a message, and waits until the server knows.
    async fn acknowledge(&self, message: &Message, kind: AckKind) {
        self.insist(|| async {
            let told = message.double_ack_with(kind).await;
            told.map_err(|error| self.server.wrong("cannot acknowledge a message", error))
        })
        .await;
    }

    /// Does it again and again until it is done.
    async fn insist<T, F: Future<Output = Result<T, Error>>>(
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

/// The next message of a consumer; `None` when there was none for a while.
async fn next(consumer: &PullConsumer) -> Result<Option<Message>, String> {
    let batch = consumer.batch().max_messages(1).expires(FETCH).messages();
    let mut batch = batch.await.map_err(|error| error.to_string())?;
    let message = batch.next().await.transpose();
    message.map_err(|error| error.to_string())
}

/// Says that a message is being worked on, as long as what it returns is kept.
fn hold(message: Arc<Message>) -> Holding {
    Holding(tokio::spawn(async move {
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

struct Holding(tokio::task::JoinHandle<()>);

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.abort();
    }
}
