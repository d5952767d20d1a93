//! What others hand over to be written.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot;

use super::holder::Claimant;
use crate::{
    delivery::{Delivery, lane::Place},
    hook::HookId,
};

/// Why a delivery is given up whose hook has another owner by now.
pub const DISOWNED: &str = "its hook belongs to another owner now";

/// Who parks deliveries, and learns when they are durable.
pub trait Parker: Send + Sync {
    /// A delivery is parked durably. `is_new` is false where the table had it before. It is due after `due_in`; without
    /// a time, it waits behind another.
    fn parked(self: Arc<Self>, place: Place, is_new: bool, due_in: Option<Duration>);

    /// These are not parked any more, because they are not the hook's owner's. With `more`, some may be left.
    fn disowned(self: Arc<Self>, places: Vec<Place>, more: bool);

    /// Something in the table may be due now.
    fn poll_table(self: Arc<Self>);
}

/// Something to be written.
pub enum Write {
    /// Keeps a delivery of the stream.
    Park {
        /// The hook of the delivery.
        hook: HookId,
        /// What is kept. Its ticket is settled when it is durable.
        delivery: Box<Delivery>,
        /// What becomes of it.
        fate: Fate,
        /// How the last attempt ended; for a dead delivery, why it was given up.
        reason: Option<String>,
        /// Called when it is durable, unless the delivery is dead.
        parker: Arc<dyn Parker>,
    },
    /// Records that parked deliveries have been attempted.
    Attempted {
        /// The hook of the deliveries.
        hook: HookId,
        /// The ids of those that are not needed any more, and where they stood.
        gone: Vec<(Arc<str>, Place)>,
        /// Those that have failed, in order.
        failed: Vec<Failed>,
        /// Answered when it is durable.
        done: oneshot::Sender<()>,
    },
    /// Makes due again what was claimed and has not been attempted.
    Release {
        /// The ids of the deliveries.
        ids: Vec<Arc<str>>,
        /// Called when it is durable.
        parker: Arc<dyn Parker>,
    },
    /// Records that a hook has begun to fail, or has had a success again.
    FailingSince {
        /// The hook.
        hook: HookId,
        /// When its streak of failures began; `None` where it has ended.
        since: Option<SystemTime>,
    },
    /// Gives up some of what waits for a hook and is not its owner's.
    Disown {
        /// The hook.
        hook: HookId,
        /// Its owner now; `None`: it hears the events of everyone.
        owner: Option<Arc<str>>,
        /// Called when it is durable.
        parker: Arc<dyn Parker>,
    },
}

/// A write, and in whose name it is made.
pub(super) struct Signed {
    pub(super) by: Arc<Claimant>,
    pub(super) write: Write,
}

impl Write {
    /// About how many bytes it takes to write.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Park { delivery, .. } => delivery.body.len(),
            Self::Attempted { .. }
            | Self::Release { .. }
            | Self::FailingSince { .. }
            | Self::Disown { .. } => 0,
        }
    }
}

/// A parked delivery whose attempt has failed.
pub struct Failed {
    /// The id of the delivery.
    pub id: Arc<str>,
    /// The lanes that it stands in.
    pub place: Place,
    /// How many attempts there have been.
    pub attempts: u32,
    /// How much of its schedule's time is over.
    pub waited: Option<Duration>,
    /// What becomes of it.
    pub fate: Fate,
    /// How the attempt ended.
    pub reason: String,
}

/// What becomes of a delivery that the table keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is attempted after this time.
    Retry(Duration),
    /// It waits behind another delivery of its lane. If the table has none there, it is due at once.
    Behind,
    /// It is given up.
    Dead,
}

impl Fate {
    /// The value of the column `state`.
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::Retry(_) | Self::Behind => "parked",
            Self::Dead => "dead",
        }
    }

    /// In how many seconds it is due; `None` where it has no time of its own.
    pub(super) fn wait(self) -> Option<f64> {
        match self {
            Self::Retry(wait) => Some(wait.as_secs_f64()),
            Self::Behind | Self::Dead => None,
        }
    }
}
