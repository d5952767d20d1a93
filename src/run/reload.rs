//! That hooks.toml is to be read again, and who wants it.

use std::sync::Mutex;

use tokio::sync::Notify;

use crate::{act::Who, lock::lock};

/// Asks the service to read hooks.toml again.
#[derive(Debug, Default)]
pub struct Reload {
    asked: Notify,
    /// Who has asked since it was read last.
    by: Mutex<Vec<Who>>,
}

/// How many are remembered who ask before it is read. One reading is for all of them.
const MOST: usize = 20;

impl Reload {
    /// Asks for it.
    pub fn ask(&self, who: Who) {
        {
            let mut by = lock(&self.by);
            if by.len() < MOST && !by.contains(&who) {
                by.push(who);
            }
        }
        self.asked.notify_one();
    }

    /// Waits until somebody asks, and says who has.
    pub async fn asked(&self) -> Vec<Who> {
        self.asked.notified().await;
        std::mem::take(&mut *lock(&self.by))
    }
}
