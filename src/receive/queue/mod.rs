//! Durable queues: accepted requests wait here until their tasks have succeeded or are dead.
//!
//! A queue is stored in a folder of this machine, or in NATS JetStream where several machines share it.

pub mod dead;
#[cfg(feature = "sqlite")]
mod disk;
pub mod error;
pub mod job;
pub mod limits;
#[cfg(feature = "nats")]
mod nats;
#[cfg(not(feature = "sqlite"))]
mod no_disk;
#[cfg(not(feature = "nats"))]
mod no_nats;
#[cfg(any(feature = "nats", feature = "sqlite"))]
mod outcome;
pub mod storage;
pub mod workers;

#[cfg(not(feature = "sqlite"))]
use self::no_disk as disk;
#[cfg(not(feature = "nats"))]
use self::no_nats as nats;

pub use self::{
    dead::Dead,
    disk::{Disk, lock},
    error::Error,
    job::{Enqueued, Job},
    limits::Limits,
    nats::Nats,
    storage::Storage,
    workers::Workers,
};
use super::envelope::Received;

/// A durable queue.
#[derive(Debug)]
pub enum Queue {
    /// In a folder of this machine, used by one receiver at a time.
    Disk(Disk),
    /// In streams of NATS JetStream, shared by any number of receivers.
    Nats(Box<Nats>),
}

impl Queue {
    /// Stores a request with its jobs. When this returns [`Enqueued::New`], the request is durable.
    ///
    /// # Errors
    /// When the queue cannot be written to. Nothing may be stored then, and the sender should try again.
    pub async fn enqueue(&self, received: Received, jobs: Vec<Job>) -> Result<Enqueued, Error> {
        match self {
            Self::Disk(disk) => disk.enqueue(received, jobs).await,
            Self::Nats(nats) => nats.enqueue(&received, jobs).await,
        }
    }

    /// Runs queued jobs until the workers are stopped and the running attempts have ended.
    ///
    /// # Errors
    /// When the queue cannot be used at the start. Later errors are logged, and the work is retried until it succeeds.
    pub async fn work(&self, workers: Workers) -> Result<(), Error> {
        match self {
            Self::Disk(disk) => disk.work(workers).await,
            Self::Nats(nats) => nats.work(workers).await,
        }
    }
}

/// Lists the dead jobs of a queue, the latest first. Receivers may be running.
///
/// # Errors
/// When there is no queue, or it cannot be read.
pub async fn list_dead(storage: &Storage) -> Result<Vec<Dead>, Error> {
    match storage {
        Storage::Folder(folder) => disk::list_dead(folder),
        Storage::Nats(url) => nats::list_dead(url).await,
    }
}

/// Returns dead jobs to the queue with all their attempts, and returns how many there were. Receivers may be running;
/// they notice within a second.
///
/// # Errors
/// When there is no queue, or it cannot be written to.
pub async fn retry_dead(storage: &Storage, dead: &[Dead]) -> Result<usize, Error> {
    match storage {
        Storage::Folder(folder) => disk::retry_dead(folder, dead),
        Storage::Nats(url) => nats::retry_dead(url, dead).await,
    }
}
