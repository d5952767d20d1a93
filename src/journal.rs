//! What happened, told to whoever listens: the demo's live account, and everything else that shows rowhook at work.
//!
//! Nobody waits for a listener. One that is too slow misses entries and is told how many.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::broadcast;

use crate::{event::Event, hook::HookId};

/// Tells and lets listen. Cheap to clone; all clones are one journal.
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
        /// The hooks that it goes to.
        hooks: Vec<HookId>,
    },
    /// A request was answered, or failed.
    Attempted {
        /// The delivery's `webhook-id`.
        id: Arc<str>,
        /// The event's name.
        event: Arc<str>,
        /// The hook.
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
    /// Tells what `entry` makes, which is made only if somebody listens.
    pub fn tell(&self, entry: impl FnOnce() -> Entry) {
        if self.sender.receiver_count() > 0 {
            // Fails only when the last listener has just left.
            let _ = self.sender.send(entry());
        }
    }

    /// Hears everything that is told from now on.
    pub fn listen(&self) -> broadcast::Receiver<Entry> {
        self.sender.subscribe()
    }
}
