//! A dead job: one whose attempts are used up.

use std::time::SystemTime;

use crate::receive::envelope::Envelope;

/// A job whose attempts are used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Names the job when it is to be retried. With a queue in a folder, the jobs of one request share a number.
    pub number: u64,
    /// The name of its task.
    pub task: String,
    /// The id of the request.
    pub id: String,
    /// What the request is about.
    pub envelope: Envelope,
    /// How many attempts have failed.
    pub attempts: u32,
    /// When the last attempt failed.
    pub at: SystemTime,
    /// The error of the last attempt.
    pub error: String,
}
