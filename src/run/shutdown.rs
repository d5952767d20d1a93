//! The orderly end: requests in flight are finished, and what is settled is confirmed.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::timeout};

use crate::{
    config::Config,
    courier::context::Context,
    delivery::ledger::Ledger,
    hook::off::OffHooks,
    postgres::{
        Lsn,
        stream::{Identity, LastWord, Stream},
    },
    store::Checkpoint,
};

/// How long the shutdown waits until history is written, and as long again until the last spans are sent.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// What sessions leave to the shutdown.
pub(super) struct Shutdown {
    /// The stream, if it is still open. Without it nothing can be confirmed.
    pub(super) open: Option<OpenStream>,
    /// Which hooks are off at the reader's position.
    pub(super) off: OffHooks,
    /// The LSN that has been recorded as confirmed.
    pub(super) recorded: Lsn,
}

/// A stream that is still open, and what its last progress is recorded with.
pub(super) struct OpenStream {
    pub(super) stream: Stream,
    /// The server.
    pub(super) identity: Identity,
    /// What the events of a transaction are numbered by.
    pub(super) numbering: String,
    /// Whether standbys copy the slot.
    pub(super) copied: bool,
}

impl Shutdown {
    /// Finishes what is in flight, within the grace period, and confirms what is settled.
    pub(super) async fn run(
        mut self,
        config: &Config,
        shared: Arc<Context>,
        writer: JoinHandle<()>,
        ledger: &Ledger,
    ) {
        tracing::info!(unsettled = ledger.unsettled(), "stopping");
        shared.stop.cancel();
        shared.tasks.close();
        let mut noted = None;
        let finished = async {
            shared.tasks.wait().await;
            if let Some(open) = &self.open {
                let checkpoint = Checkpoint {
                    identity: &open.identity,
                    confirmed: ledger.confirmed(),
                    progress: ledger.progress(),
                    rules: &open.numbering,
                    off: &self.off,
                };
                shared
                    .store
                    .save_checkpoint(&config.database.slot, &checkpoint)
                    .await;
                noted = Some(checkpoint.confirmed);
            }
            if timeout(FLUSH_LIMIT, shared.history.write_all(&shared.store))
                .await
                .is_err()
            {
                tracing::warn!("the last of the history was not written in time");
            }
            if let Some(traces) = &shared.traces
                && timeout(FLUSH_LIMIT, traces.send()).await.is_err()
            {
                tracing::warn!("the last spans were not sent in time");
            }
            // With this the store is dropped, and the writer ends when it has written what it was given.
            drop(shared);
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
        if let Some(open) = self.open {
            let before = self.recorded;
            // After everything that we write: that is to be confirmed too.
            let end = timeout(FLUSH_LIMIT, wal_end(config)).await;
            let last = LastWord {
                recorded: noted.unwrap_or(before),
                before,
                end: end.ok().flatten().filter(|_| noted.is_some()),
                copied: open.copied,
                settled: ledger.is_settled(),
            };
            self.recorded = open.stream.close(last).await;
        }
        tracing::info!(confirmed = %self.recorded, unsettled = ledger.unsettled(), "stopped");
    }
}

/// Where the WAL ends; `None` if the server does not say.
async fn wal_end(config: &Config) -> Option<Lsn> {
    let client = config
        .database
        .address
        .connect("rowhook notes")
        .await
        .ok()?;
    let sql = "select pg_current_wal_flush_lsn()::text";
    let row = client.query_one(sql, &[]).await.ok()?;
    row.try_get::<_, &str>(0).ok()?.parse().ok()
}
