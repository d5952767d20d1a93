//! When a hook is disabled: its target is gone, or it has failed for too long.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};

use tokio::time::Instant;

use super::{
    Courier,
    retry::{Signal, Verdict},
};
use crate::{
    hook::Hook,
    store::{Disabling, Write},
};

/// Why a hook is disabled.
pub(super) struct Disabled {
    /// The reason, for a person.
    pub(super) reason: String,
    /// Whether the target itself wants nothing any more.
    pub(super) gone: bool,
}

impl Courier {
    /// Counts an attempt in the streak of failures, and decides whether the hook is to be disabled after it.
    pub(super) fn should_disable(
        &self,
        hook: &Hook,
        verdict: Option<&Verdict>,
        signal: Signal,
        begun: Instant,
    ) -> Option<Disabled> {
        let now = Instant::now();
        let streak = &mut self.state().streak;
        match verdict? {
            Verdict::Delivered => {
                if streak.succeeded() {
                    self.save_streak(None);
                }
                None
            }
            Verdict::Disable { reason, gone } => Some(Disabled {
                reason: reason.clone(),
                gone: *gone,
            }),
            Verdict::TryAgain { .. } if signal == Signal::Unreached => None,
            Verdict::TryAgain { .. } | Verdict::Dead { .. } => {
                let counts = signal != Signal::Asked { expressly: true };
                if streak.failed(begun, now, counts) {
                    self.save_streak(Some(SystemTime::now()));
                }
                let reason = streak.reason_to_disable(hook.delivery.disable_after, now)?;
                Some(Disabled {
                    reason,
                    gone: false,
                })
            }
        }
    }

    /// Has it written down when the streak of failures began, so that it survives us.
    pub(super) fn save_streak(&self, since: Option<SystemTime>) {
        let hook = self.id.clone();
        self.context
            .store
            .enqueue(Write::FailingSince { hook, since });
    }

    /// Disables the hook, in memory first and in the table after. A hook that has been pointed elsewhere since the
    /// request was made is left alone.
    pub(super) async fn disable(&self, hook: &Arc<Hook>, disabled: &Disabled, last_answer: &str) {
        let Disabled { reason, gone } = disabled;
        let lasted = {
            let mut state = self.state();
            let here = hook.target.display();
            // Other requests of the hook may have come to the same, and it is disabled once.
            if state
                .hook
                .as_ref()
                .is_none_or(|now| now.target.display() != here)
            {
                return;
            }
            state.hook = None;
            state.active = false;
            let lasted = state.streak.lasted(Instant::now());
            // When it is enabled again, it begins anew.
            if state.streak.succeeded() {
                self.save_streak(None);
            }
            lasted
        };
        self.context.meters.disabled.fetch_add(1, Relaxed);
        tracing::warn!(hook = %hook.id, target = hook.target.display(), reason, "the hook is disabled, and its deliveries are kept");
        let disabling = Disabling {
            hook,
            reason,
            gone: *gone,
            since: SystemTime::now()
                .checked_sub(lasted)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            last_answer,
            kept: true,
        };
        self.context.store.disable(&disabling).await;
    }
}
