//! Stands for the connection to NATS in a build without its client: there is none, and an error says so.

use std::convert::Infallible;

use thiserror::Error;

use crate::config::Cluster;

/// Why NATS cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("[cluster]: this rowhook was built without the feature nats; leave the section out")]
pub struct Error;

/// The connection to NATS, of which there is none.
#[derive(Debug, Clone)]
pub struct Nats(pub(super) Infallible);

impl Nats {
    /// Says that there is no such connection.
    ///
    /// # Errors
    /// Always.
    pub fn start(_cluster: &Cluster) -> Result<Self, Error> {
        Err(Error)
    }
}

/// Says that there is no NATS here.
///
/// # Errors
/// Always.
pub async fn examine(_cluster: &Cluster) -> Result<(), Error> {
    Err(Error)
}
