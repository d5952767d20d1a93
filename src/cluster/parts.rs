//! What a sender of a cluster is given by whoever runs it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{journal::Journal, meters::Meters, send::Sender, trace::Traces};

/// What a sender is given.
#[derive(Debug)]
pub struct Parts {
    /// Receives what happens to deliveries.
    pub journal: Journal,
    /// Counts what happens.
    pub meters: Arc<Meters>,
    /// Makes the requests.
    pub sender: Sender,
    /// Sends spans of attempts, where that is configured.
    pub traces: Option<Arc<Traces>>,
    /// Cancelled when it is time to stop. Then all partitions are given back, each when nothing of it is in hand.
    pub stop: CancellationToken,
}
