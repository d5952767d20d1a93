//! Stands for the queue in a folder in a build without SQLite: opening it is an error that says so.

use std::{convert::Infallible, fs::File, path::Path, time::Duration};

use nix::fcntl::Flock;

use super::{
    dead::Dead,
    error::Error,
    job::{Enqueued, Job},
    limits::Limits,
    workers::Workers,
};
use crate::receive::envelope::Received;

/// The queue in a folder, of which there is none.
#[derive(Debug)]
pub struct Disk(Infallible);

impl Disk {
    /// Says that there is no such queue.
    ///
    /// # Errors
    /// Always.
    pub fn open(folder: &Path, _limits: Limits) -> Result<Self, Error> {
        Err(missing(folder))
    }

    pub(super) async fn enqueue(
        &self,
        _received: Received,
        _jobs: Vec<Job>,
    ) -> Result<Enqueued, Error> {
        match self.0 {}
    }

    pub(super) async fn work(&self, _workers: Workers) -> Result<(), Error> {
        match self.0 {}
    }
}

/// Says that there is no such queue.
///
/// # Errors
/// Always.
pub async fn lock(folder: &Path, _patience: Duration) -> Result<Flock<File>, Error> {
    Err(missing(folder))
}

pub(super) fn list_dead(folder: &Path) -> Result<Vec<Dead>, Error> {
    Err(missing(folder))
}

pub(super) fn retry_dead(folder: &Path, _dead: &[Dead]) -> Result<usize, Error> {
    Err(missing(folder))
}

fn missing(folder: &Path) -> Error {
    Error {
        location: folder.display().to_string(),
        reason: "cannot be used: this rowhook was built without the feature sqlite".to_owned(),
    }
}
