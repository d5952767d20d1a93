//! The workers of a queue: what they run, how many at once, and when they stop.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::receive::{attempt::Runner, task::Task};

/// What the workers of a queue run, and how they stop.
#[derive(Debug, Clone)]
pub struct Workers {
    /// All tasks. Their names differ.
    pub tasks: Arc<[Arc<Task>]>,
    /// Makes the attempts.
    pub runner: Arc<Runner>,
    /// How many attempts may run at once, of all tasks together.
    pub concurrency: usize,
    /// When cancelled, no further attempt begins.
    pub stop: CancellationToken,
    /// How long running attempts may continue after `stop`. Then they are aborted, and their jobs stay queued.
    pub grace: Duration,
}
