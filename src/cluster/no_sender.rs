//! Stands for a sender of a cluster in a build without NATS.

use std::sync::Arc;

use super::{nats::Nats, parts::Parts};
use crate::config::{Cluster, Config};

/// There is no NATS to send with.
pub async fn run(_config: Arc<Config>, _cluster: Cluster, nats: Nats, _parts: Parts) {
    match nats.0 {}
}
