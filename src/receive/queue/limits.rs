//! The bounds of a queue.

use std::time::Duration;

/// How large a queue may grow, and how long it remembers.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The size of all waiting and dead requests together, in bytes.
    pub size: u64,
    /// How long an id is remembered, so that a duplicate is recognized.
    pub remember: Duration,
    /// How long dead jobs are kept.
    pub keep_dead: Duration,
}
