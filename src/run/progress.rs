//! How far everything is settled, recorded in the tables before the slot may know.

use std::{convert::Infallible, time::Duration};

use tokio::sync::watch;

use super::context::SessionContext;
use crate::{
    delivery::ledger::Progress,
    postgres::{Lsn, stream::Identity},
    store::Checkpoint,
};

/// The interval between looks whether there is progress to record.
const INTERVAL: Duration = Duration::from_millis(250);
/// How many bytes of WAL without events are worth a record. A record is itself WAL: without a threshold an idle
/// database would never come to rest.
const IDLE_WAL: u64 = 16 << 10;

/// Records the progress of one session.
pub(super) struct ProgressRecorder<'a> {
    pub(super) context: &'a SessionContext<'a>,
    pub(super) identity: &'a Identity,
    /// What the events of a transaction are numbered by.
    pub(super) numbering: &'a str,
    /// What has been recorded as confirmed, and so may be confirmed to the server.
    pub(super) recorded: &'a watch::Sender<Lsn>,
}

impl ProgressRecorder<'_> {
    /// Records progress again and again, for as long as it is polled.
    pub(super) async fn keep_recording(&self) -> Infallible {
        let ledger = self.context.ledger;
        let mut last = None;
        // The last session may have ended before it could record what it settled.
        let mut first = true;
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            let (confirmed, progress) = (ledger.confirmed(), ledger.progress());
            let moved = confirmed.0.saturating_sub(self.recorded.borrow().0);
            let worth = moved >= IDLE_WAL || moved > 0 && (ledger.take_eventful() || first);
            if worth || progress.is_some() && progress != last {
                self.record(confirmed, progress).await;
                (last, first) = (progress, false);
            }
        }
    }

    async fn record(&self, confirmed: Lsn, progress: Option<Progress>) {
        let checkpoint = Checkpoint {
            identity: self.identity,
            confirmed,
            progress,
            rules: self.numbering,
            off: &self.context.off,
        };
        self.context
            .store
            .save_checkpoint(self.context.slot(), &checkpoint)
            .await;
        self.recorded.send_replace(confirmed);
    }
}
