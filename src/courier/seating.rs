//! The seat of a courier: its next request may go, as far as the quota of its owner is concerned.

use std::{pin::Pin, sync::Arc};

use super::quota::{Quota, Seat};

/// Where a courier stands with the seat of its next request.
#[derive(Default)]
pub(super) enum Seating {
    /// It has not asked for one, or needs none.
    #[default]
    None,
    /// It stands in line for one.
    Awaited {
        asked: Asked,
        entered: Pin<Box<dyn Future<Output = Seat> + Send>>,
    },
    /// It has one, for a request that goes at once.
    Held { asked: Asked, seat: Seat },
}

/// Whose quota a seat is of, and the bytes of the request that it is for.
#[derive(Clone)]
pub(super) struct Asked {
    quota: Arc<Quota>,
    bytes: usize,
}

impl Seating {
    /// Returns when the seat that is waited for has come; never where none is.
    pub(super) async fn come(&mut self) {
        let (asked, seat) = match self {
            Self::Awaited { asked, entered } => (asked.clone(), entered.await),
            Self::None | Self::Held { .. } => std::future::pending().await,
        };
        *self = Self::Held { asked, seat };
    }

    /// The seat, for a request that goes now.
    pub(super) fn take(&mut self) -> Option<Seat> {
        match std::mem::take(self) {
            Self::Held { seat, .. } => Some(seat),
            Self::None | Self::Awaited { .. } => None,
        }
    }

    /// Leaves the seat to others.
    pub(super) fn release(&mut self) {
        if matches!(self, Self::Held { .. }) {
            *self = Self::None;
        }
    }

    /// Whether there is a seat for a request of so many bytes. If not, it stands in line for one.
    pub(super) fn has(&mut self, quota: Arc<Quota>, bytes: usize) -> bool {
        match self {
            Self::Held { asked, .. } if asked.serves(&quota, bytes) => return true,
            Self::Awaited { asked, .. } if asked.serves(&quota, bytes) => return false,
            Self::None | Self::Held { .. } | Self::Awaited { .. } => {}
        }
        // What it has of another quota, or for less, is free for the others first.
        *self = Self::None;
        let asked = Asked { quota, bytes };
        *self = match asked.quota.try_enter(bytes) {
            Some(seat) => Self::Held { asked, seat },
            None => {
                let quota = Arc::clone(&asked.quota);
                Self::Awaited {
                    asked,
                    entered: Box::pin(async move { quota.enter(bytes).await }),
                }
            }
        };
        matches!(self, Self::Held { .. })
    }
}

impl Asked {
    fn serves(&self, quota: &Arc<Quota>, bytes: usize) -> bool {
        Arc::ptr_eq(&self.quota, quota) && self.bytes >= bytes
    }
}
