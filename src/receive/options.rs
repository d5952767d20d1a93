//! The options of a receiver.

use std::{num::NonZeroUsize, time::Duration};

use super::{
    gate::Gate,
    queue::{Limits, Storage},
};

/// The environment variable that has the secret of `rowhook receive --port`.
pub const SECRET_VARIABLE: &str = "ROWHOOK_RECEIVE_SECRET";

/// The options of a receiver, beside its tasks.
#[derive(Debug, Clone)]
pub struct Options {
    /// Verifies requests, and bounds what is read of them.
    pub gate: Gate,
    /// The only path that is served, beside `/health`. Default `None`: every path.
    pub path: Option<String>,
    /// Where the queue is stored. Default: the folder `rowhook-queue`.
    pub queue: Storage,
    /// The bounds of the queue. Default: 1 GiB, ids for 7 days, dead jobs for 30 days.
    pub limits: Limits,
    /// How many attempts may run at once, of all tasks together. Default 8.
    pub concurrency: NonZeroUsize,
    /// How long requests and attempts may continue when the receiver is stopped. Default 20 s.
    pub grace: Duration,
    /// The environment variables that programs do not inherit. Default: `ROWHOOK_RECEIVE_SECRET`.
    pub hidden_variables: Vec<String>,
}

impl Options {
    /// The default options, with this gate.
    pub fn new(gate: Gate) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            gate,
            path: None,
            queue: Storage::Folder("rowhook-queue".into()),
            limits: Limits {
                size: 1 << 30,
                remember: 7 * DAY,
                keep_dead: 30 * DAY,
            },
            concurrency: NonZeroUsize::MIN.saturating_add(7),
            grace: Duration::from_secs(20),
            hidden_variables: vec![SECRET_VARIABLE.to_owned()],
        }
    }
}
