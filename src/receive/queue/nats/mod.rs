//! The queue in NATS JetStream, for several machines.
//!
//! Each job is a message of the stream `rowhook-receive`, and is deleted when it is acknowledged. A receiver
//! acknowledges it when the task has succeeded and a marker of that is in the stream `rowhook-receive-done`. Every
//! receiver looks for the marker before it begins a job. The jobs of an ordered task are spread over lanes on the
//! server: consumers that hand out one message at a time.

mod dead;
mod markers;
mod message;
mod puller;
mod server;
mod streams;

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    consumer::{AckPolicy, PullConsumer, pull},
    stream::Stream,
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::dead::{list_dead, retry_dead};
use self::{
    markers::Markers,
    message::{LANES, Metadata, dead_marker, id_hash, subject, token},
    puller::Puller,
    server::Server,
};
use super::{
    error::Error,
    job::{Enqueued, Job},
    limits::Limits,
    workers::Workers,
};
use crate::{
    receive::{envelope::Received, task::Task},
    secret::Secret,
};

/// How long after the last sign of progress an unacknowledged message is handed out again.
const ACK_WAIT: Duration = Duration::from_secs(20);
/// Room for the headers of a message beside its body, in bytes.
const HEADERS: usize = 8192;

/// The queue on a NATS server.
#[derive(Debug)]
pub struct Nats {
    server: Server,
    jobs: Stream,
    done: Markers,
}

impl Nats {
    /// Connects, and creates the streams that are missing on the server.
    ///
    /// # Errors
    /// When the server cannot be reached, or has no JetStream.
    pub async fn connect(url: &Secret, limits: Limits) -> Result<Self, Error> {
        let server = Server::connect(url).await?;
        let jobs = server.stream(streams::jobs(limits)).await?;
        server.stream(streams::dead(limits)).await?;
        let done = Markers {
            server: server.clone(),
            stream: server.stream(streams::done(limits)).await?,
        };
        Ok(Self { server, jobs, done })
    }

    /// See [`super::Queue::enqueue`].
    pub(super) async fn enqueue(
        &self,
        received: &Received,
        jobs: Vec<Job>,
    ) -> Result<Enqueued, Error> {
        let largest = self.server.context.client().server_info().max_payload;
        if received.body.len() + HEADERS > largest {
            return Ok(Enqueued::TooLarge);
        }
        let id_hash = id_hash(&received.id);
        let seen = format!("seen.{id_hash}");
        if self.done.contains(&seen).await? {
            return Ok(match self.revive(&received.id, &jobs).await? {
                0 => Enqueued::Duplicate,
                revived => Enqueued::Revived(revived),
            });
        }
        // Where we are killed between two of them, the sender tries again, and the server recognizes the messages it
        // has.
        let mut duplicate = true;
        for job in jobs {
            let metadata = Metadata::new(received, job.task);
            let subject = subject(&metadata.task, job.lane.as_deref());
            let message_id = format!("{id_hash}/{}", metadata.task);
            let body = received.body.clone();
            match self
                .server
                .publish(subject, &message_id, &metadata, body)
                .await?
            {
                Some(known) => duplicate &= known,
                None => return Ok(Enqueued::Full),
            }
        }
        self.done.insert(&seen).await?;
        Ok(if duplicate {
            Enqueued::Duplicate
        } else {
            Enqueued::New
        })
    }

    /// Returns the dead jobs of a request to the queue, as far as they are among `jobs`. The dead are looked through
    /// only where a marker says that one of them has been among them.
    async fn revive(&self, id: &str, jobs: &[Job]) -> Result<usize, Error> {
        let mut tasks = Vec::new();
        for job in jobs {
            if self.done.contains(&dead_marker(id, &job.task)).await? {
                tasks.push(&job.task);
            }
        }
        if tasks.is_empty() {
            return Ok(0);
        }
        let chosen = |_, dead: &Metadata| dead.id == id && tasks.contains(&&dead.task);
        self.server.revive(chosen).await
    }

    /// See [`super::Queue::work`].
    pub(super) async fn work(&self, workers: Workers) -> Result<(), Error> {
        let pullers = TaskTracker::new();
        let running = TaskTracker::new();
        let all_slots = Arc::new(Semaphore::new(workers.concurrency));
        let abort = CancellationToken::new();
        for task in workers.tasks.iter() {
            let task_slots = Arc::new(Semaphore::new(task.concurrency.get()));
            for consumer in self.consumers(task).await? {
                let puller = Puller {
                    server: self.server.clone(),
                    done: self.done.clone(),
                    task: Arc::clone(task),
                    runner: Arc::clone(&workers.runner),
                    slots: [Arc::clone(&task_slots), Arc::clone(&all_slots)],
                    stop: workers.stop.clone(),
                    abort: abort.clone(),
                    running: running.clone(),
                };
                pullers.spawn(async move { puller.pull(consumer).await });
            }
        }
        pullers.close();
        pullers.wait().await;
        running.close();
        if timeout(workers.grace, running.wait()).await.is_err() {
            tracing::warn!(
                running = running.len(),
                "tasks were still running at the end of the grace period; they are ended and will begin again"
            );
            abort.cancel();
            running.wait().await;
        }
        Ok(())
    }

    /// Creates the consumers of a task: one, or for an ordered task one for each lane.
    async fn consumers(&self, task: &Task) -> Result<Vec<PullConsumer>, Error> {
        let token = token(&task.name);
        let all = (token.clone(), format!("rowhook.receive.{token}.*"), -1);
        let of_lanes = (0..LANES).map(|lane| {
            let name = format!("{token}-{lane}");
            (name, format!("rowhook.receive.{token}.{lane}"), 1)
        });
        let any = (
            format!("{token}-any"),
            format!("rowhook.receive.{token}.any"),
            -1,
        );
        let of_lanes: Vec<_> = of_lanes.chain([any]).collect();
        let (wanted, other) = match task.order_by {
            Some(_) => (of_lanes, vec![all]),
            None => (vec![all], of_lanes),
        };
        // Consumers of a work queue must not share a subject. Those of the other kind remain from when the task had an
        // order, or had none.
        for (name, ..) in other {
            let _ = self.jobs.delete_consumer(&name).await;
        }
        let mut consumers = Vec::new();
        for (name, filter_subject, max_ack_pending) in wanted {
            let config = pull::Config {
                durable_name: Some(name),
                filter_subject,
                ack_policy: AckPolicy::Explicit,
                ack_wait: ACK_WAIT,
                max_ack_pending,
                ..pull::Config::default()
            };
            let made = self.jobs.create_consumer(config).await;
            consumers
                .push(made.map_err(|error| self.server.error("cannot make a consumer", error))?);
        }
        Ok(consumers)
    }
}
