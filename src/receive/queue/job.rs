//! A job: one task to be run on one request.

/// One task to be run on a request that is being enqueued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The name of the task.
    pub task: String,
    /// Jobs of the same task and lane run one after the other, in the order of arrival. `None`: in any order.
    pub lane: Option<String>,
}

/// What became of a request that was to be enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It is stored durably.
    New,
    /// A request with this id was enqueued before. Nothing has changed.
    Duplicate,
    /// A request with this id was enqueued before, and this many of its jobs were dead. They begin anew.
    Revived(usize),
    /// The queue has no room for it now.
    Full,
    /// The queue can never hold a body of this size.
    TooLarge,
}
