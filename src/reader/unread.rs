//! Hooks whose filters are not compiled yet.
//!
//! The parser takes some milliseconds for a long filter, and everybody waits meanwhile. An owner who brings along more
//! of that than a share has the rest compiled later: when an event comes for the hook, or little by little.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Reader,
    hooks::{self, CheckedRow, Unusable},
};
use crate::hook::Hook;

/// Why an event is dead for a hook whose filter is not compiled when it comes.
pub(super) const UNREAD: &str = "the filters of its owner took more time to be read than they may, and this one was \
    not read yet";

impl Reader {
    /// Compiles the filter of a row that comes from the stream, if its owner may take the time now.
    pub(super) fn read_filter_of(&mut self, mut row: CheckedRow) -> CheckedRow {
        let Ok(hook) = &mut row.hook else {
            return row;
        };
        // Most changes of a hook leave its filter as it was.
        let before = self.hooks.index.get(&hook.id);
        let before = before.and_then(|before| before.filter.clone());
        if let Some(before) = before.filter(|filter| filter.is_compiled())
            && let Some(own) = Arc::get_mut(hook)
            && own.filter.as_ref() == Some(&before)
        {
            own.filter = Some(before);
        }
        if let Some(expected) = self.pay_to_compile(hook) {
            let hook = Arc::clone(hook);
            let read = hooks::read_filter(&hook, &self.hooks.known);
            self.charge_compiled(&hook, expected);
            if let Err(unusable) = read {
                row.hook = Err(unusable);
            }
        }
        row
    }

    /// Compiles the filter of a hook, if that was not done before and its owner may take the time now. A hook that
    /// turns out to be unusable is dropped, and its row says why.
    pub(super) fn read_filter(&mut self, hook: &Arc<Hook>) -> Filtered {
        let is_compiled = hook.filter.as_ref().is_none_or(|of| of.is_compiled());
        if is_compiled && !self.hooks.unread.contains_key(&hook.id) {
            return Filtered::Read;
        }
        let Some(expected) = self.pay_to_compile(hook) else {
            return Filtered::NotYet;
        };
        let read = hooks::read_filter(hook, &self.hooks.known);
        self.charge_compiled(hook, expected);
        let filtered = match read {
            Ok(()) => Filtered::Read,
            Err(_) => Filtered::Unusable,
        };
        let now = self.hooks.index.get(&hook.id);
        // For an event that waited, the hook may be what it was then.
        if now.is_some_and(|now| Arc::ptr_eq(now, hook)) {
            self.record_read(hook, read);
        }
        filtered
    }

    fn record_read(&mut self, hook: &Hook, read: Result<(), Unusable>) {
        let was_invalid = self.hooks.unread.remove(&hook.id).flatten();
        match read {
            Ok(()) if hook.active => self.mark(hook.id.clone(), None, was_invalid),
            Ok(()) => {}
            Err(unusable) if hook.active => self.put_hook(CheckedRow {
                id: hook.id.clone(),
                active: true,
                was_invalid,
                hook: Err(unusable),
                locked: None,
                is_plain: false,
            }),
            // It says why when it is switched on.
            Err(_) => self.set_hook(&hook.id, None),
        }
    }

    /// Takes from the owner of a hook what compiling its filter is expected to take, in steps. `None`: there is not so
    /// much left.
    fn pay_to_compile(&mut self, hook: &Hook) -> Option<u64> {
        let filter = hook.filter.as_ref();
        let Some(filter) = filter.filter(|filter| !filter.is_compiled()) else {
            return Some(0);
        };
        let (now, steps) = (Instant::now().into_std(), filter.steps_to_compile());
        let owner = hook.owner.as_ref();
        self.compiling.pay(owner, steps, now).then_some(steps)
    }

    /// Takes from the owner of a hook what compiling its filter has taken beyond what was `expected`. Otherwise a slow
    /// processor would compile for an owner without an end, since what is spent comes back with time.
    fn charge_compiled(&mut self, hook: &Hook, expected: u64) {
        if let Some(filter) = hook.filter.as_ref().filter(|_| expected > 0) {
            let owner = hook.owner.as_ref();
            let beyond = filter.steps_to_compile().saturating_sub(expected);
            let left = self.compiling.left(owner);
            self.compiling.keep(owner, left.saturating_sub(beyond));
        }
    }
}

/// What is known of the filter of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filtered {
    /// It can be evaluated.
    Read,
    /// It is not compiled yet.
    NotYet,
    /// It is no filter, or fits none of the hook's events.
    Unusable,
}
