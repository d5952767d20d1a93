//! What keeps hooks waiting at the moment, as their couriers say it: for people who ask why nothing goes.
//!
//! Only hooks that something keeps waiting are here. A courier takes its entry back when it has ended.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::time::Instant;

use crate::lock::lock;

/// Why a hook that has something to send does not send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its endpoint has only failed of late, and is left alone until this time. Then a single request tries it.
    LeftAlone {
        /// When it is tried.
        until: Instant,
    },
    /// That single request is on its way.
    Probed,
    /// Its endpoint has asked for time, or our own proxy cannot be used.
    Paused {
        /// When requests go on.
        until: Instant,
    },
    /// Its next request waits for a rate: its own, or that of its owner or of its host.
    Rate,
    /// Its next request waits until those of its owner's hooks have fewer on their way.
    Quota,
}

/// How hooks stand, by their ids.
#[derive(Debug, Default)]
pub struct Standings(Mutex<HashMap<Arc<str>, Standing>>);

impl Standings {
    /// What keeps this hook waiting; `None`: nothing that its courier knows.
    pub fn of(&self, hook: &str) -> Option<Standing> {
        lock(&self.0).get(hook).copied()
    }

    /// Sets what keeps this hook waiting.
    pub fn set(&self, hook: &Arc<str>, standing: Standing) {
        lock(&self.0).insert(Arc::clone(hook), standing);
    }

    /// Nothing keeps this hook waiting any more.
    pub fn clear(&self, hook: &str) {
        lock(&self.0).remove(hook);
    }
}
