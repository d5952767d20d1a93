//! How far everything is settled, recorded in the tables before the slot may know.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

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
    /// How far the server has come with the stream, where standbys copy the slot.
    pub(super) reached: Option<watch::Receiver<Lsn>>,
}

impl ProgressRecorder<'_> {
    /// Records progress again and again, for as long as it is polled.
    pub(super) async fn keep_recording(&self) -> Infallible {
        let ledger = self.context.ledger;
        let (mut noted, mut last) = (*self.recorded.borrow(), None);
        let mut waiting = VecDeque::new();
        // The last session may have ended before it could record what it settled.
        let mut first = true;
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            if let Some(confirmed) = self.come_back(&mut waiting) {
                self.recorded.send_replace(confirmed);
            }
            let (confirmed, progress) = (ledger.confirmed(), ledger.progress());
            let moved = confirmed.0.saturating_sub(noted.0);
            let worth = moved >= IDLE_WAL || moved > 0 && (ledger.take_eventful() || first);
            if worth || progress.is_some() && progress != last {
                self.record(confirmed, progress, &mut waiting).await;
                (noted, last, first) = (confirmed, progress, false);
            }
        }
    }

    /// Records progress. Where standbys copy the slot, what is recorded waits until it comes back.
    async fn record(
        &self,
        confirmed: Lsn,
        progress: Option<Progress>,
        waiting: &mut VecDeque<Noted>,
    ) {
        let checkpoint = Checkpoint {
            identity: self.identity,
            confirmed,
            progress,
            rules: self.numbering,
            off: &self.context.off,
        };
        let store = &self.context.store;
        store
            .save_checkpoint(self.context.slot(), &checkpoint)
            .await;
        if self.reached.is_none() {
            self.recorded.send_replace(confirmed);
            return;
        }
        match store.wal_end().await {
            Ok(end) => {
                // The first goes on waiting, and of those behind it the last stands for all.
                waiting.truncate(1);
                waiting.push_back(Noted { confirmed, end });
            }
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "confirmed with the next note")
            }
        }
    }

    /// What may be confirmed because it has come back in the stream. The server sends nothing to us that those standbys
    /// lack which `synchronized_standby_slots` names. So they have the note, and what was parked before it, when they
    /// learn what is confirmed.
    fn come_back(&self, waiting: &mut VecDeque<Noted>) -> Option<Lsn> {
        let reached = *self.reached.as_ref()?.borrow();
        let mut confirmed = None;
        while waiting.front().is_some_and(|noted| noted.end <= reached) {
            confirmed = waiting.pop_front().map(|noted| noted.confirmed);
        }
        confirmed
    }
}

/// What was noted as confirmed, and where the WAL ended after that.
struct Noted {
    confirmed: Lsn,
    end: Lsn,
}
