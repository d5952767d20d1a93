//! What keeps the hook of a courier waiting, as everyone can look it up while it does.

use std::sync::Arc;

use crate::{
    hook::HookId,
    meters::{Meters, standing::Standing},
};

/// What a courier has said of its hook. It is taken back when this is dropped.
pub(super) struct Said {
    meters: Arc<Meters>,
    hook: Arc<str>,
    standing: Standing,
}

impl Said {
    /// Says what keeps the hook waiting.
    pub(super) fn of(hook: &HookId, standing: Standing, meters: &Arc<Meters>) -> Self {
        let (meters, hook) = (Arc::clone(meters), Arc::from(hook.as_str()));
        meters.standings.set(&hook, standing);
        Self {
            meters,
            hook,
            standing,
        }
    }

    /// What was said.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        self.meters.standings.clear(&self.hook);
    }
}
