//! The rowhook that runs in this process, as far as people are told of it.

use std::{sync::Arc, time::SystemTime};

use tokio::{sync::watch, time::Instant};

use super::outlook::{Hindrance, Process};
use crate::{
    meters::{Meters, standing::Standing},
    run::health::{Health, Link},
};

/// What is asked of a running rowhook.
#[derive(Debug, Clone)]
pub struct Running {
    /// What its couriers say of their hooks.
    pub meters: Arc<Meters>,
    /// How it is attached.
    pub health: Arc<Health>,
    /// Whether it is paused.
    pub paused: watch::Receiver<bool>,
}

impl Running {
    /// What keeps a hook waiting.
    pub(super) fn about(&self, hook: &str) -> Process {
        if *self.paused.borrow() {
            return Process::Paused;
        }
        let (now, wall) = (Instant::now(), SystemTime::now());
        // One that stands by knows nothing of what the other is doing.
        match self.health.now(now).link {
            Link::Down => Process::Detached,
            Link::Standby | Link::Sending => Process::Unknown,
            Link::Attached => {
                let at = |until: Instant| wall + until.saturating_duration_since(now);
                let standing = self.meters.standings.of(hook);
                Process::Attached(standing.map(|standing| match standing {
                    Standing::LeftAlone { until } => Hindrance::LeftAlone(at(until)),
                    Standing::Probed => Hindrance::Probed,
                    Standing::Paused { until } => Hindrance::Paused(at(until)),
                    Standing::Rate => Hindrance::Rate,
                    Standing::Quota => Hindrance::Quota,
                }))
            }
        }
    }
}
