//! What was forgotten lately, so that nothing of it is sent or written that is in memory, or that the stream repeats.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use super::Delivery;
use crate::lock::lock;

/// What was forgotten lately, by the numbers of [`about`](super::about), and when.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// Whether there is any, which is asked of each delivery.
    any: AtomicBool,
    at: Mutex<HashMap<i64, SystemTime>>,
}

impl Forgotten {
    /// Knows these in place of all that was known before.
    pub fn replace(&self, forgotten: HashMap<i64, SystemTime>) {
        let mut at = lock(&self.at);
        self.any.store(!forgotten.is_empty(), Ordering::Relaxed);
        *at = forgotten;
    }

    /// Leaves the row out of a delivery if it was committed before that was forgotten.
    pub fn apply(&self, delivery: &mut Delivery) {
        if !self.any.load(Ordering::Relaxed) || delivery.about.is_empty() {
            return;
        }
        let is_forgotten = {
            let at = lock(&self.at);
            let mut since = delivery.about.iter().filter_map(|mark| at.get(mark));
            since.any(|at| delivery.commit_time <= *at)
        };
        if is_forgotten {
            delivery.leave_out_row();
        }
    }
}
