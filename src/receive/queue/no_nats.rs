//! Stands for the queue in NATS JetStream in a build without its client: connecting is an error that says so.

use std::convert::Infallible;

use super::{
    dead::Dead,
    error::Error,
    job::{Enqueued, Job},
    limits::Limits,
    workers::Workers,
};
use crate::{receive::envelope::Received, secret::Secret};

/// The queue on a NATS server, of which there is none.
#[derive(Debug)]
pub struct Nats(Infallible);

impl Nats {
    /// Says that there is no such queue.
    ///
    /// # Errors
    /// Always.
    pub async fn connect(_url: &Secret, _limits: Limits) -> Result<Self, Error> {
        Err(missing())
    }

    pub(super) async fn enqueue(
        &self,
        _received: &Received,
        _jobs: Vec<Job>,
    ) -> Result<Enqueued, Error> {
        match self.0 {}
    }

    pub(super) async fn work(&self, _workers: Workers) -> Result<(), Error> {
        match self.0 {}
    }
}

pub(super) async fn list_dead(_url: &Secret) -> Result<Vec<Dead>, Error> {
    Err(missing())
}

pub(super) async fn retry_dead(_url: &Secret, _dead: &[Dead]) -> Result<usize, Error> {
    Err(missing())
}

fn missing() -> Error {
    Error {
        location: "in NATS".to_owned(),
        reason: "cannot be used: this rowhook was built without the feature nats".to_owned(),
    }
}
