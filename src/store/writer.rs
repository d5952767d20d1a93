//! The task that writes, one transaction after the other; what arrives meanwhile goes into the next.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    FIRST_PAUSE, Holder, LONGEST_PAUSE,
    batch::{Batch, Changes, Session, Write, Written},
    connect,
};
use crate::postgres::address::Address;

/// A transaction is not made larger than this, but for a single write.
const BATCH_WRITES: usize = 4096;
const BATCH_BYTES: usize = 8 << 20;

/// Where it writes, and as whom.
pub(super) struct Writer {
    pub(super) address: Address,
    pub(super) schema: String,
    pub(super) holder: Holder,
    /// Cancelled when another rowhook is found to hold the slot.
    pub(super) overtaken: CancellationToken,
}

impl Writer {
    /// Writes until nobody can hand anything over any more, or another rowhook holds the slot: what we have in hand is in its
    /// hands too, or was, and nobody would count on what we park.
    pub(super) async fn write(self, mut writes: mpsc::UnboundedReceiver<Write>) {
        let mut session = None;
        while let Some(batch) = gather(&mut writes).await {
            let (mut changes, mut pause) = (Changes::default(), FIRST_PAUSE);
            loop {
                let error = match self.attempt(&batch, &mut changes, &mut session).await {
                    Ok(Written::Durable) => break,
                    Ok(Written::Overtaken) => {
                        tracing::warn!(
                            slot = self.holder.slot,
                            "another rowhook holds the slot now; nothing more is parked"
                        );
                        self.overtaken.cancel();
                        return;
                    }
                    Err(error) => error,
                };
                tracing::warn!(
                    error = format!("{error:#}"),
                    deliveries = batch.0.len(),
                    retry_in = ?pause,
                    "could not park; the deliveries stay in memory, and it is tried again"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            batch.tell(&changes);
        }
    }

    /// Writes, in a session that stays open when it has served.
    async fn attempt(
        &self,
        batch: &Batch,
        changes: &mut Changes,
        open: &mut Option<Session>,
    ) -> anyhow::Result<Written> {
        let mut session = match open.take() {
            Some(session) if !session.is_closed() => session,
            _ => {
                let client = connect(&self.address, &self.schema, "rowhook writer").await?;
                Session::prepare(client).await?
            }
        };
        let written = batch.write(&mut session, &self.holder, changes).await?;
        *open = Some(session);
        Ok(written)
    }
}

/// The next that belong into one transaction; `None` when there will be no more.
async fn gather(writes: &mut mpsc::UnboundedReceiver<Write>) -> Option<Batch> {
    let mut batch = vec![writes.recv().await?];
    let mut bytes = 0;
    while batch.len() < BATCH_WRITES && bytes < BATCH_BYTES {
        bytes += batch.last().map_or(0, Write::size);
        match writes.try_recv() {
            Ok(write) => batch.push(write),
            Err(_) => break,
        }
    }
    Some(Batch(batch))
}
