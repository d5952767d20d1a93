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
#[expect(dead_code, reason = "nobody can run it")]
pub struct Parts {
    pub journal: Journal,
    pub meters: Arc<Meters>,
    pub sender: send::Sender,
    pub traces: Option<Arc<Traces>>,
    pub stop: CancellationToken,
}

/// There is no NATS to send with.
pub async fn run(_config: Arc<Config>, _cluster: Cluster, nats: Nats, _parts: Parts) {
    match nats.0 {}
}
