//! The queue in NATS JetStream, for more machines than one.
//!
//! Each job is a message of the stream `rowhook-receive`, and goes when it is acknowledged. That is done when the task has
//! succeeded and its success is in the stream `rowhook-receive-done`, where everyone looks before beginning a task. Jobs with
//! an order are spread over lanes of the server's own: a consumer that gives out one message at a time.

mod dead;
mod message;
mod puller;
mod server;

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    consumer::{AckPolicy, PullConsumer, pull},
    stream::{self, DiscardPolicy, RetentionPolicy, Stream},
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::dead::{list_dead, retry_dead};
use self::{
    message::{Facts, LANES, key, milliseconds, subject, token},
    puller::Puller,
    server::{Notes, Server},
};
use super::{Accepted, Error, Job, Limits, Work};
use crate::{
    receive::{envelope::Received, task::Task},
    secret::Secret,
};

const JOBS: &str = "rowhook-receive";
const DEAD: &str = "rowhook-receive-dead";
const DONE: &str = "rowhook-receive-done";
/// A message that is not acknowledged, and of which nobody says that it is being worked on, is given out again after this.
const ACK_WAIT: Duration = Duration::from_secs(20);
/// How long NATS itself knows a message that was published twice. Ids are known for longer, by what is noted.
const DUPLICATES: Duration = Duration::from_secs(60 * 60);
/// Room for what stands beside a body in a message.
const BESIDE: usize = 8192;

/// The queue on a server of NATS.
#[derive(Debug)]
pub struct Nats {
    server: Server,
    jobs: Stream,
    done: Notes,
}

impl Nats {
    /// Connects, and makes what is missing on the server.
    ///
    /// # Errors
    /// When the server cannot be reached, or has no JetStream.
    pub async fn connect(url: &Secret, limits: Limits) -> Result<Self, Error> {
        let server = Server::connect(url).await?;
        let jobs = server
            .stream(stream::Config {
                name: JOBS.into(),
                subjects: vec!["rowhook.receive.>".into()],
                retention: RetentionPolicy::WorkQueue,
                discard: DiscardPolicy::New,
                max_bytes: i64::try_from(limits.size).unwrap_or(i64::MAX),
                duplicate_window: limits.remember.min(DUPLICATES),
                ..stream::Config::default()
            })
            .await?;
        server
            .stream(stream::Config {
                name: DEAD.into(),
                subjects: vec!["rowhook.dead.>".into()],
                max_age: limits.keep_dead,
                ..stream::Config::default()
            })
            .await?;
        let done = server
            .stream(stream::Config {
                name: DONE.into(),
                subjects: vec!["rowhook.done.>".into()],
                max_age: limits.remember,
                max_messages_per_subject: 1,
                ..stream::Config::default()
            })
            .await?;
        let done = Notes {
            server: server.clone(),
            stream: done,
        };
        Ok(Self { server, jobs, done })
    }

    /// As [`super::Queue::accept`].
    pub(super) async fn accept(
        &self,
        received: &Received,
        jobs: Vec<Job>,
    ) -> Result<Accepted, Error> {
        let largest = self.server.context.client().server_info().max_payload;
        if received.body.len() + BESIDE > largest {
            return Ok(Accepted::TooLarge);
        }
        let key = key(&received.id);
        let seen = format!("seen.{key}");
        if self.done.has(&seen).await? {
            return Ok(Accepted::Repeated);
        }
        // Where we die between two of them, the sender comes again, and the server knows those it has.
        let mut repeated = true;
        for job in jobs {
            let facts = Facts {
                id: received.id.clone(),
                envelope: received.envelope.clone(),
                content_type: received.content_type.clone(),
                received_at: milliseconds(received.received_at),
                failed: None,
                subject: None,
                task: job.task,
            };
            let subject = subject(&facts.task, job.lane.as_deref());
            let message_id = format!("{key}/{}", facts.task);
            let body = received.body.clone();
            match self
                .server
                .publish(subject, &message_id, &facts, body)
                .await?
            {
                Some(known) => repeated &= known,
                None => return Ok(Accepted::Full),
            }
        }
        self.done.put(&seen).await?;
        Ok(if repeated {
            Accepted::Repeated
        } else {
            Accepted::New
        })
    }

    /// As [`super::Queue::work`].
    pub(super) async fn work(&self, work: Work) -> Result<(), Error> {
        let pullers = TaskTracker::new();
        let running = TaskTracker::new();
        let of_all = Arc::new(Semaphore::new(work.concurrency));
        let abandon = CancellationToken::new();
        for task in work.tasks.iter() {
            let of_task = Arc::new(Semaphore::new(task.concurrency.get()));
            for consumer in self.consumers(task).await? {
                let puller = Puller {
                    server: self.server.clone(),
                    done: self.done.clone(),
                    task: Arc::clone(task),
                    runner: Arc::clone(&work.runner),
                    slots: [Arc::clone(&of_task), Arc::clone(&of_all)],
                    stop: work.stop.clone(),
                    abandon: abandon.clone(),
                    running: running.clone(),
                };
                pullers.spawn(async move { puller.pull(consumer).await });
            }
        }
        pullers.close();
        pullers.wait().await;
        running.close();
        if timeout(work.grace, running.wait()).await.is_err() {
            tracing::warn!(
                running = running.len(),
                "tasks were still running at the end of the grace period; they are ended and will begin again"
            );
            abandon.cancel();
            running.wait().await;
        }
        Ok(())
    }

    /// The consumers of a task: one, or one for each lane.
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
        // Two consumers of a work queue must not have a subject in common; the others are of when the task was another.
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
                .push(made.map_err(|error| self.server.wrong("cannot make a consumer", error))?);
        }
        Ok(consumers)
    }
}
