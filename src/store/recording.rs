//! Acts of the stream: changes of hooks in SQL. They are recorded soon after they are read. Nobody waits for that, and
//! the stream is not confirmed before.

use std::sync::Arc;

use anyhow::Result;
use tokio_postgres::Error;

use super::{
    Store,
    acts::{forget, record},
    session::PAUSES,
    text::Charset,
};
use crate::{
    act::Act,
    delivery::ledger::Ticket,
    lock::lock,
    postgres::{error_message, fault::Fault},
};

/// How many acts are written in one statement.
const BATCH: usize = 500;

impl Store {
    /// Has acts from the stream recorded soon. What the ticket stands for is not confirmed before. Returns what does it
    /// where that is not under way already.
    pub fn record_soon(
        self: &Arc<Self>,
        acts: Vec<Act>,
        ticket: Ticket,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut pending = lock(&self.acts.pending);
        pending.add(acts, ticket);
        if std::mem::replace(&mut pending.is_writing, true) {
            return None;
        }
        let store = Arc::clone(self);
        Some(async move { store.record_pending().await })
    }

    async fn record_pending(&self) {
        loop {
            let taken = lock(&self.acts.pending).take();
            let Some((acts, tickets)) = taken else {
                return;
            };
            for batch in acts.chunks(BATCH) {
                self.record_batch(batch).await;
            }
            tickets.into_iter().for_each(Ticket::settle);
        }
    }

    /// Tries until a batch is recorded, or it is sure that it cannot be. That is an error for a person: deliveries go
    /// on, and WAL is not kept for what the table refuses.
    async fn record_batch(&self, batch: &[Act]) {
        let mut failures = 0;
        loop {
            let error = match self.try_to_record(batch).await {
                Ok(()) => return,
                Err(error) => error,
            };
            let cause = error.downcast_ref::<Error>();
            if cause.is_some_and(|cause| !Fault::of(cause).is_transient()) {
                tracing::error!(
                    acts = batch.len(),
                    reason = cause.map(error_message),
                    "changes of hooks are not on record, because the table audit refuses them"
                );
                return;
            }
            failures += 1;
            let pause = PAUSES.pause(failures);
            tracing::warn!(error = format!("{error:#}"), retry_in = ?pause, "could not put changes of hooks on record; it is tried again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_to_record(&self, batch: &[Act]) -> Result<()> {
        let client = self.session(&self.acts.session).await?;
        let charset = Charset::of(&client).await?;
        record(&*client, charset, batch).await?;
        Ok(())
    }

    /// Notes how long acts are kept, and deletes those that are older.
    ///
    /// # Errors
    /// When the table cannot be written to.
    pub async fn forget_acts(&self) -> Result<()> {
        let client = self.session(&self.acts.session).await?;
        forget(&*client, self.acts_are_kept).await
    }
}
