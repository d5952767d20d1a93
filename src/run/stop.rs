//! The end: what is in flight is finished, and what is settled is confirmed.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::timeout};

use crate::{
    config::Config,
    courier::context::Context,
    delivery::ledger::Ledger,
    hook::off::OffHooks,
    postgres::{
        Lsn,
        stream::{Identity, Stream},
    },
    store::Checkpoint,
};

/// So long the end waits for history, and for the collector of spans.
const LAST_HISTORY: Duration = Duration::from_secs(2);

/// What it takes to confirm for the last time.
pub(super) struct LastWord {
    /// The open stream, if there is one.
    pub(super) stream: Option<Stream>,
    /// The server of the last session.
    pub(super) identity: Option<Identity>,
    /// What events are numbered by.
    pub(super) rules: String,
    /// Which hooks are off.
    pub(super) off: OffHooks,
    /// What has been noted as confirmed.
    pub(super) noted: Lsn,
}

impl LastWord {
    /// Finishes what is in flight, within the grace period, and confirms what is settled.
    pub(super) async fn stop(
        mut self,
        config: &Config,
        desk: Arc<Context>,
        writer: JoinHandle<()>,
        ledger: &Ledger,
    ) {
        tracing::info!(unsettled = ledger.unsettled(), "stopping");
        desk.stop.cancel();
        desk.tasks.close();
        let finished = async {
            desk.tasks.wait().await;
            if let (Some(identity), true) = (&self.identity, self.stream.is_some()) {
                let note = Checkpoint {
                    identity,
                    confirmed: ledger.confirmed(),
                    progress: ledger.progress(),
                    rules: &self.rules,
                    off: &self.off,
                };
                desk.store
                    .save_checkpoint(&config.database.slot, &note)
                    .await;
                self.noted = note.confirmed;
            }
            if timeout(LAST_HISTORY, desk.history.write_all(&desk.store))
                .await
                .is_err()
            {
                tracing::warn!("the last of the history was not written in time");
            }
            if let Some(traces) = &desk.traces
                && timeout(LAST_HISTORY, traces.send()).await.is_err()
            {
                tracing::warn!("the last spans were not sent in time");
            }
            // With the last door to the tables closed, the writer ends when it has written what it was given.
            drop(desk);
            writer.await
        };
        match timeout(config.delivery.grace, finished).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the writer ended badly"),
            Err(_) => tracing::warn!(
                unsettled = ledger.unsettled(),
                "requests were still in flight at the end of the grace period; they will be made again"
            ),
        }
        if let Some(stream) = self.stream {
            stream.close(self.noted).await;
        }
        tracing::info!(confirmed = %self.noted, unsettled = ledger.unsettled(), "stopped");
    }
}
