//! Why a queue cannot be used.

use thiserror::Error;

/// The queue cannot store something, or cannot be read.
#[derive(Debug, Clone, Error)]
#[error("the queue {location}: {reason}")]
pub struct Error {
    /// The folder of the queue, or the URL of its server without credentials.
    pub location: String,
    /// What is wrong.
    pub reason: String,
}
