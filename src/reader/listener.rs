//! A hook that hears an event, on its way from the index to its delivery.

use std::sync::Arc;

use crate::{
    delivery::Unfit, expression::filter::Filter, hook::Hook, lookup::permission::VisibilityCheck,
};

/// A hook that listens to an event, and whose owner may see it.
pub(super) struct Listener {
    pub(super) hook: Arc<Hook>,
    /// Why the delivery cannot be sent as it comes from the stream.
    pub(super) unfit: Option<Unfit>,
    /// What later attempts ask about the owner.
    pub(super) asked: Option<Arc<VisibilityCheck>>,
}

impl Listener {
    /// The filter that decides whether the hook wants the event, unless the delivery is dead anyway.
    pub(super) fn filter(&self) -> Option<&Filter> {
        match self.unfit {
            Some(Unfit::Flawed(_)) => None,
            Some(Unfit::Doubtful(_)) | None => self.hook.filter.as_deref(),
        }
    }

    /// Does it take the reader's time to evaluate what the owner of the hook wrote?
    pub(super) fn is_asked(&self) -> bool {
        self.hook.filter.is_some() || self.hook.has_own_template()
    }
}
