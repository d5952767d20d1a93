//! The task that writes, one transaction after the other. What is handed over meanwhile goes into the next.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    batch::{Batch, Changes, Session, Written},
    holder::Holder,
    session::{PAUSES, connect},
    write::Write,
};
use crate::{panics::caught, postgres::address::Address};

/// The most writes of one transaction.
const BATCH_WRITES: usize = 4096;
/// With how many bytes of bodies no more writes are added to a transaction.
const BATCH_BYTES: usize = 8 << 20;

/// Where to write, and as whom.
pub(super) struct Writer {
    pub(super) address: Address,
    pub(super) schema: String,
    pub(super) holder: Holder,
    /// Cancelled when another rowhook is found to hold the slot.
    pub(super) overtaken: CancellationToken,
}

impl Writer {
    /// Writes until nobody can hand anything over any more, or another rowhook holds the slot. In the second case, what
    /// we have in memory is in its hands too, or was, and it would not know of what we park.
    pub(super) async fn write(self, mut writes: mpsc::UnboundedReceiver<Write>) {
        let mut session = None;
        while let Some(batch) = gather(&mut writes).await {
            match self.write_batch(&batch, &mut session).await {
                Some(changes) => batch.acknowledge(&changes),
                None => return self.overtaken.cancel(),
            }
        }
    }

    /// Tries until the batch is written; `None` where another rowhook holds the slot.
    async fn write_batch(&self, batch: &Batch, session: &mut Option<Session>) -> Option<Changes> {
        let (mut changes, mut failures) = (Changes::default(), 0);
        loop {
            // A panic is an error like others: the session is dropped, and nothing is settled before it is written.
            let attempted = caught(self.attempt(batch, &mut changes, session)).await;
            let error = match attempted.unwrap_or_else(|panic| Err(panic.into())) {
                Ok(Written::Durable) => return Some(changes),
                Ok(Written::Overtaken) => {
                    tracing::warn!(
                        slot = self.holder.slot,
                        "another rowhook holds the slot now; nothing more is parked"
                    );
                    return None;
                }
                Err(error) => error,
            };
            failures += 1;
            let pause = PAUSES.pause(failures);
            tracing::warn!(
                error = format!("{error:#}"),
                deliveries = batch.0.len(),
                retry_in = ?pause,
                "could not park; the deliveries stay in memory, and it is tried again"
            );
            tokio::time::sleep(pause).await;
        }
    }

    /// Writes once, in a session that stays open where that has worked.
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

/// Waits for a write, and takes as many as are there for one transaction; `None` when there will be no more.
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
