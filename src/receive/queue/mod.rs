//! Where accepted requests wait until their tasks are done: on this disk, or in NATS for more machines than one.

mod disk;
mod nats;
mod worker;

use std::{sync::Arc, time::SystemTime};

use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use self::{
    disk::{Disk, Limits, lock},
    nats::Nats,
};
use super::{
    attempt::Runner,
    envelope::{Envelope, Received},
    service::Place,
    task::Task,
};

/// A queue that lasts.
#[derive(Debug)]
pub enum Queue {
    /// A folder of this machine, for one receiver.
    Disk(Disk),
    /// A stream of NATS JetStream, for any number of them.
    Nats(Box<Nats>),
}

/// What became of something that was to be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It lasts now.
    New,
    /// It was accepted before, by this id. Nothing has changed.
    Repeated,
    /// There is no room for it now.
    Full,
    /// There never is room for a body of this size.
    TooLarge,
}

/// A task that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// What it is called by when it is to be retried.
    pub number: u64,
    /// The task.
    pub task: String,
    /// The id of what was received.
    pub id: String,
    /// What that is about.
    pub envelope: Envelope,
    /// So many attempts have failed.
    pub attempts: u32,
    /// When it was given up.
    pub at: SystemTime,
    /// What the last attempt failed with.
    pub error: String,
}

/// The queue cannot keep something, or cannot be read.
#[derive(Debug, Clone, Error)]
#[error("the queue {place}: {reason}")]
pub struct Error {
    /// Its folder, or its server without credentials.
    pub place: String,
    /// What is wrong.
    pub reason: String,
}

/// What to do with what is queued.
#[derive(Debug, Clone)]
pub struct Work {
    /// All tasks.
    pub tasks: Arc<[Arc<Task>]>,
    /// Makes their attempts.
    pub runner: Arc<Runner>,
    /// So many may run at once, of all tasks together.
    pub concurrency: usize,
    /// Ends the work: nothing more is begun.
    pub stop: CancellationToken,
    /// So long what runs may go on after that. Then it is ended, and stays queued.
    pub grace: std::time::Duration,
}

impl Queue {
    /// Keeps what was received for these of its tasks. It returns when nothing can take it away any more.
    ///
    /// # Errors
    /// When it cannot be kept; the sender should come again.
    pub async fn accept(&self, received: Received, jobs: Vec<Job>) -> Result<Accepted, Error> {
        match self {
            Self::Disk(disk) => disk.accept(received, jobs).await,
            Self::Nats(nats) => nats.accept(&received, jobs).await,
        }
    }

    /// Runs what is queued, until it is told to stop and what runs has ended.
    ///
    /// # Errors
    /// When the queue cannot be used from the beginning. Later it is tried again and again.
    pub async fn work(&self, work: Work) -> Result<(), Error> {
        match self {
            Self::Disk(disk) => disk.work(work).await,
            Self::Nats(nats) => nats.work(work).await,
        }
    }
}

/// The dead jobs of a queue, the latest first. Receivers may be running.
///
/// # Errors
/// When there is no queue, or it cannot be read.
pub async fn list_dead(place: &Place) -> Result<Vec<Dead>, Error> {
    match place {
        Place::Folder(folder) => disk::list_dead(folder),
        Place::Nats(url) => nats::list_dead(url).await,
    }
}

/// Lets dead jobs begin anew, and returns how many they are. Receivers may be running; they see them within a second.
///
/// # Errors
/// When there is no queue, or it cannot be written to.
pub async fn retry_dead(place: &Place, dead: &[Dead]) -> Result<usize, Error> {
    match place {
        Place::Folder(folder) => disk::retry_dead(folder, dead),
        Place::Nats(url) => nats::retry_dead(url, dead).await,
    }
}

/// A task that is to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub task: String,
    /// What it must not overtake, and what must not overtake it.
    pub lane: Option<String>,
}
