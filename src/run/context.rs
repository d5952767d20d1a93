//! What every session of a run needs.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::health::Health;
use crate::{
    before::asker::Asker, config::Config, delivery::ledger::Ledger, history::History,
    hook::off::OffHooks, meters::Meters, store::Store,
};

/// What does not change from one session to the next.
pub(super) struct SessionContext<'a> {
    pub(super) config: &'a Config,
    /// Create what is missing in the database before the stream is opened.
    pub(super) setup: bool,
    /// The application_name of our replication sessions, which no other process has.
    pub(super) stream_name: String,
    pub(super) store: Arc<Store>,
    pub(super) history: Arc<History>,
    pub(super) ledger: &'a Ledger,
    /// Which hooks are off at the reader's position. Recorded together with that position.
    pub(super) off: OffHooks,
    /// Asks endpoints before transactions commit; `None`: hooks.toml has no such events.
    pub(super) asker: Option<Arc<Asker>>,
    pub(super) health: &'a Health,
    pub(super) meters: &'a Meters,
    /// Cancelled when it is time to stop.
    pub(super) stop: &'a CancellationToken,
}

impl SessionContext<'_> {
    pub(super) fn slot(&self) -> &str {
        &self.config.database.slot
    }
}
