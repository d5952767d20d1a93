//! Stands for a sender of a cluster in a build without NATS.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::nats::Nats;
use crate::{
    config::{Cluster, Config},
    journal::Journal,
    meters::Meters,
    send,
    trace::Traces,
};

/// What the caller of [`run`] provides.
#[derive(Debug)]
pub struct Parts {
    /// Receives what happens to deliveries.
    pub journal: Journal,
    /// Counts what happens.
    pub meters: Arc<Meters>,
    /// Makes the requests.
    pub sender: send::Sender,
    /// Sends spans of attempts, where that is configured.
    pub traces: Option<Arc<Traces>>,
    /// Cancelled when it is time to stop.
    pub stop: CancellationToken,
}

/// There is no NATS to send with.
pub async fn run(_config: Arc<Config>, _cluster: Cluster, nats: Nats, _parts: Parts) {
    match nats.0 {}
}
