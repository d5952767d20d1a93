//! The queue in NATS JetStream, for more machines than one.
//!
//! Each job is a message of the stream `rowhook-receive`, and goes when it is acknowledged. That is done when the task has
//! succeeded and its success is in the stream `rowhook-receive-done`, where everyone looks before beginning a task. Jobs with
//! an order are spread over lanes of the server's own: a consumer that gives out one message at a time.

use std::{
    collections::VecDeque,
    error::Error as _,
    fmt::Display,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_nats::{
    ConnectOptions, HeaderMap,
    jetstream::{
        self, AckKind, Message,
        consumer::{AckPolicy, PullConsumer, pull},
        context::PublishErrorKind,
        message::{PublishMessage, StreamMessage},
        stream::{self, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, Stream},
    },
};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{
    sync::Semaphore,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use super::{
    Accepted, Dead, Error, Job, Limits, Work,
    worker::{Outcome, attempt},
};
use crate::{
    config::Secret,
    receive::{
        attempt::Runner,
        envelope::{Envelope, Received},
        task::Task,
    },
};

const JOBS: &str = "rowhook-receive";
const DEAD: &str = "rowhook-receive-dead";
const DONE: &str = "rowhook-receive-done";
/// The header with what is not the body.
const FACTS: &str = "Rowhook-Facts";
/// So many lanes an ordered task has on the server. What falls into the same one waits for one another.
const LANES: u8 = 16;
/// A message that is not acknowledged, and of which nobody says that it is being worked on, is given out again after this.
const ACK_WAIT: Duration = Duration::from_secs(20);
/// How often it is said. Some may get lost.
const PROGRESS: Duration = Duration::from_secs(5);
/// How long one request for a message waits at the server.
const FETCH: Duration = Duration::from_secs(5);
/// How long is waited after an error.
const PAUSE: Duration = Duration::from_secs(1);
/// How long NATS itself knows a message that was published twice. Ids are known for longer, by the bucket.
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

/// What is accepted or done, each a message of its own subject. (A bucket of NATS would be the same; the library cannot ask
/// servers as old as Debian's for one.)
#[derive(Debug, Clone)]
struct Notes {
    server: Server,
    stream: Stream,
}

impl Notes {
    async fn has(&self, note: &str) -> Result<bool, Error> {
        let subject = format!("rowhook.done.{note}");
        match self.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(self.server.wrong("cannot look up what is done", error)),
        }
    }

    /// Returns when the server has it on disk.
    async fn put(&self, note: &str) -> Result<(), Error> {
        let subject = format!("rowhook.done.{note}");
        let context = &self.server.context;
        let noted = async { context.publish(subject, Bytes::new()).await?.await };
        match noted.await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.server.wrong("cannot note what is done", error)),
        }
    }
}

#[derive(Debug, Clone)]
struct Server {
    place: String,
    context: jetstream::Context,
}

/// What a message says beside the body.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Facts {
    id: String,
    task: String,
    envelope: Envelope,
    content_type: String,
    /// Milliseconds since 1970.
    received_at: u64,
    /// Of a dead one: how many attempts have failed, and with what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<(u32, String)>,
    /// Of a dead one: where it belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
}

impl Server {
    async fn connect(url: &Secret) -> Result<Self, Error> {
        let mut place = Url::parse(url.expose()).map_err(|_| Error {
            place: "in NATS".into(),
            reason: "its URL cannot be read".into(),
        })?;
        // Neither can fail for a URL with a host.
        let _ = place.set_username("");
        let _ = place.set_password(None);
        let place = place.to_string();
        let connected = ConnectOptions::new()
            .name("rowhook receive")
            .connect(url.expose())
            .await;
        let client = connected.map_err(|error| Error {
            place: place.clone(),
            reason: format!("cannot be connected to: {error}"),
        })?;
        Ok(Self {
            place,
            context: jetstream::new(client),
        })
    }

    fn wrong(&self, doing: &str, error: impl Display) -> Error {
        Error {
            place: self.place.clone(),
            reason: format!("{doing}: {error}"),
        }
    }

    async fn stream(&self, config: stream::Config) -> Result<Stream, Error> {
        let name = config.name.clone();
        let made = self.context.create_or_update_stream(config).await;
        made.map_err(|error| self.wrong("cannot make its stream", error))?;
        let stream = self.context.get_stream(&name).await;
        stream.map_err(|error| self.wrong("cannot open its stream", error))
    }

    /// Publishes, and returns when the server has it on disk: whether it had it already, or `None` when it has no room.
    async fn publish(
        &self,
        subject: String,
        message_id: &str,
        facts: &Facts,
        body: Bytes,
    ) -> Result<Option<bool>, Error> {
        let written = serde_json::to_string(facts);
        let written = written.map_err(|error| self.wrong("cannot write facts", error))?;
        let mut headers = HeaderMap::new();
        headers.insert(FACTS, written);
        let message = PublishMessage::build()
            .payload(body)
            .headers(headers)
            .message_id(message_id);
        let published = async { self.context.send_publish(subject, message).await?.await };
        match published.await {
            Ok(ack) => Ok(Some(ack.duplicate)),
            Err(error) if is_full(&error) => Ok(None),
            Err(error) => Err(self.wrong("cannot keep a message", error)),
        }
    }
}

fn is_full(error: &jetstream::context::PublishError) -> bool {
    let told = error
        .source()
        .and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::Other
        && told.is_some_and(|told| {
            told.error_code() == jetstream::ErrorCode::STREAM_STORE_FAILED
                || told.to_string().contains("maximum bytes")
        })
}

impl Nats {
    /// Connects, and makes what is missing on the server.
    ///
    /// # Errors
    /// When the server cannot be reached, or has no JetStream.
    pub async fn connect(url: &Secret, tasks: &[Arc<Task>], limits: Limits) -> Result<Self, Error> {
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
        let nats = Self { server, jobs, done };
        for task in tasks {
            nats.consumers(task).await?;
        }
        Ok(nats)
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

/// Takes messages of one consumer, and has them done.
struct Puller {
    server: Server,
    done: Notes,
    task: Arc<Task>,
    runner: Arc<Runner>,
    slots: [Arc<Semaphore>; 2],
    stop: CancellationToken,
    abandon: CancellationToken,
    running: TaskTracker,
}

impl Puller {
    async fn pull(self, consumer: PullConsumer) {
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

/// What a message of the queue is about, and which attempt is the next.
fn read(message: &Message) -> Option<(Received, u32)> {
    let facts = facts(message.headers.as_ref()?)?;
    let number = message.info().ok()?.delivered;
    let received = Received {
        id: facts.id,
        envelope: facts.envelope,
        content_type: facts.content_type,
        received_at: SystemTime::UNIX_EPOCH + Duration::from_millis(facts.received_at),
        body: message.payload.clone(),
    };
    Some((received, u32::try_from(number).unwrap_or(u32::MAX)))
}

fn facts(headers: &HeaderMap) -> Option<Facts> {
    serde_json::from_str(headers.get(FACTS)?.as_str()).ok()
}

/// The dead jobs of the server, the latest first.
///
/// # Errors
/// When the server cannot be reached, or no receiver has worked there yet.
pub(super) async fn list_dead(url: &Secret) -> Result<Vec<Dead>, Error> {
    let server = Server::connect(url).await?;
    let (_, messages) = server.dead().await?;
    let dead = messages.into_iter().filter_map(|message| {
        let facts = facts(&message.headers)?;
        let (attempts, error) = facts.failed.unwrap_or_default();
        Some(Dead {
            number: message.sequence,
            task: facts.task,
            id: facts.id,
            envelope: facts.envelope,
            attempts,
            at: SystemTime::from(message.time),
            error,
        })
    });
    Ok(dead.rev().collect())
}

/// Lets dead jobs begin anew, and returns how many they are.
///
/// # Errors
/// When the server cannot be reached or has no room.
pub(super) async fn retry_dead(url: &Secret, dead: &[Dead]) -> Result<usize, Error> {
    let server = Server::connect(url).await?;
    let (stream, messages) = server.dead().await?;
    let mut revived = 0;
    for message in messages {
        if !dead.iter().any(|dead| dead.number == message.sequence) {
            continue;
        }
        let Some(mut facts) = facts(&message.headers) else {
            continue;
        };
        let Some(subject) = facts.subject.take() else {
            continue;
        };
        facts.failed = None;
        // Of two who retry the same one at once, the second publishes nothing.
        let message_id = format!(
            "{}/{}/again/{}",
            key(&facts.id),
            facts.task,
            message.sequence
        );
        let published = server
            .publish(subject, &message_id, &facts, message.payload)
            .await?;
        if published.is_none() {
            return Err(server.wrong("cannot keep a message", "the queue is full"));
        }
        let deleted = stream.delete_message(message.sequence).await;
        deleted.map_err(|error| server.wrong("cannot remove a dead task from its list", error))?;
        revived += 1;
    }
    Ok(revived)
}

impl Server {
    async fn dead(&self) -> Result<(Stream, VecDeque<StreamMessage>), Error> {
        let missing =
            |error| self.wrong("has no dead tasks; no receiver has worked there yet", error);
        let stream = self.context.get_stream(DEAD).await.map_err(missing)?;
        let mut messages = VecDeque::new();
        let mut sequence = stream.cached_info().state.first_sequence.max(1);
        let last = stream.cached_info().state.last_sequence;
        while sequence <= last {
            let next = stream
                .get_first_raw_message_by_subject("rowhook.dead.>", sequence)
                .await;
            match next {
                Ok(message) => {
                    sequence = message.sequence + 1;
                    messages.push_back(message);
                }
                Err(error) if error.kind() == stream::RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(self.wrong("cannot read its dead tasks", error)),
            }
        }
        Ok((stream, messages))
    }
}

/// Where a job waits.
fn subject(task: &str, lane: Option<&str>) -> String {
    let lane = match lane {
        None => "any".to_owned(),
        Some(lane) => (Sha256::digest(lane.as_bytes())[0] % LANES).to_string(),
    };
    format!("rowhook.receive.{}.{lane}", token(task))
}

/// A task's name where dots and spaces have a meaning.
fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => token.push(char::from(byte)),
            other => token.push_str(&format!("={other:02X}")),
        }
    }
    token
}

/// An id where only some characters are allowed.
fn key(id: &str) -> String {
    let hash = Sha256::digest(id.as_bytes());
    let digits: Vec<String> = hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits.concat()
}

fn milliseconds(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
