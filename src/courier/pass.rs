//! The pass of a courier: its next request may go, as far as rates are concerned.

use std::{pin::Pin, sync::Arc};

use crate::hook::Hook;

/// Where a courier stands with its next request.
#[derive(Default)]
pub(super) enum Pass {
    /// It has not asked for one.
    #[default]
    None,
    /// It waits for one, at the rates of this hook, which may have others by now.
    Awaited {
        hook: Arc<Hook>,
        passed: Pin<Box<dyn Future<Output = ()> + Send>>,
    },
    /// It has one, for whatever goes next.
    Held,
}

impl Pass {
    /// Returns when the pass that is waited for has come; never where none is.
    pub(super) async fn come(&mut self) {
        match self {
            Self::Awaited { passed, .. } => passed.await,
            Self::None | Self::Held => std::future::pending().await,
        }
        *self = Self::Held;
    }

    /// Whether it is waited for, at the rates of this hook as it is.
    pub(super) fn is_awaited(&self, to: &Arc<Hook>) -> bool {
        matches!(self, Self::Awaited { hook, .. } if Arc::ptr_eq(hook, to))
    }
}
