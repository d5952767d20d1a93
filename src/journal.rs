//! A live record of what rowhook does, for the demo and everything else that shows it at work.
//!
//! Nothing waits for a listener. One that is too slow misses entries, and learns how many.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::broadcast;

use crate::{event::Event, hook::HookId};

/// Records entries and passes them to its listeners. Cheap to clone; all clones are one journal.
#[derive(Debug, Clone)]
pub struct Journal {
    sender: broadcast::Sender<Entry>,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Entry {
    /// An event was matched.
    Matched {
        /// The event.
        event: Arc<Event>,
        /// The hooks that it is sent to.
        hooks: Vec<HookId>,
    },
    /// A request was answered or failed.
    Attempted {
        /// The delivery's `webhook-id`.
        id: Arc<str>,
        /// The name of the event.
        event: Arc<str>,
        /// The hook that it was sent to.
        hook: HookId,
        /// Its target, without credentials.
        target: Arc<str>,
        /// The answer in a few words: `200`, `timed out after 15s`.
        answer: String,
        /// Was it delivered?
        delivered: bool,
        /// How long the request took.
        took: Duration,
        /// When the row was committed.
        commit_time: SystemTime,
    },
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(1024),
        }
    }
}

impl Journal {
    /// Records what `entry` returns. It is called only if somebody listens.
    pub fn record(&self, entry: impl FnOnce() -> Entry) {
        if self.sender.receiver_count() > 0 {
            // Fails only when the last listener has just left.
            let _ = self.sender.send(entry());
        }
    }

    /// Receives every entry that is recorded from now on.
    pub fn listen(&self) -> broadcast::Receiver<Entry> {
        self.sender.subscribe()
    }
}
