//! The task that writes, one transaction after the other. What is handed over meanwhile goes into the next.

use tokio::sync::mpsc;

use super::{
    batch::{Batch, Changes, Session, Written},
    holder::Holder,
    session::{PAUSES, connect},
    write::Signed,
};
use crate::{panics::caught, postgres::address::Address};

/// The most writes of one transaction.
const BATCH_WRITES: usize = 4096;
/// With how many bytes of bodies no more writes are added to a transaction.
const BATCH_BYTES: usize = 8 << 20;

/// Where to write.
pub(super) struct Writer {
    pub(super) address: Address,
    pub(super) schema: String,
}

impl Writer {
    /// Writes until nobody can hand anything over any more. What is in the name of one who was overtaken is dropped:
    /// what they have in memory is in the hands of another too, or was, who would not know of what we park.
    pub(super) async fn write(self, mut writes: mpsc::UnboundedReceiver<Signed>) {
        let mut session = None;
        while let Some(batch) = gather(&mut writes).await {
            let (batch, changes) = self.write_batch(batch, &mut session).await;
            batch.acknowledge(&changes);
        }
    }

    /// Tries until the batch is written. Returns what of it was: all but what is in the name of those who were
    /// overtaken.
    async fn write_batch(
        &self,
        mut batch: Batch,
        session: &mut Option<Session>,
    ) -> (Batch, Changes) {
        let (mut changes, mut failures) = (Changes::default(), 0);
        loop {
            // A panic is an error like others: the session is dropped, and nothing is settled before it is written.
            let attempted = caught(self.attempt(&batch, &mut changes, session)).await;
            let error = match attempted.unwrap_or_else(|panic| Err(panic.into())) {
                Ok(Written::Durable) => return (batch, changes),
                Ok(Written::Overtaken(lost)) => {
                    for Holder {
                        slot, partition, ..
                    } in batch.leave_out(&lost)
                    {
                        match partition {
                            None => tracing::warn!(
                                slot,
                                "another rowhook holds the slot now; nothing more is parked"
                            ),
                            Some(partition) => tracing::warn!(
                                slot,
                                partition,
                                "another sender has the partition now; nothing more of it is parked here"
                            ),
                        }
                    }
                    continue;
                }
                Err(error) => error,
            };
            failures += 1;
            let pause = PAUSES.pause(failures);
            tracing::warn!(
                error = format!("{error:#}"),
                deliveries = batch.writes().len(),
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
        if batch.writes().is_empty() {
            return Ok(Written::Durable);
        }
        let mut session = match open.take() {
            Some(session) if !session.is_closed() => session,
            _ => {
                let client = connect(&self.address, &self.schema, "rowhook writer").await?;
                Session::prepare(client).await?
            }
        };
        let written = batch.write(&mut session, changes).await?;
        *open = Some(session);
        Ok(written)
    }
}

/// Waits for a write, and takes as many as are there for one transaction; `None` when there will be no more.
async fn gather(writes: &mut mpsc::UnboundedReceiver<Signed>) -> Option<Batch> {
    let mut batch = Batch::default();
    let mut bytes = batch.add(writes.recv().await?);
    while batch.writes().len() < BATCH_WRITES && bytes < BATCH_BYTES {
        match writes.try_recv() {
            Ok(write) => bytes += batch.add(write),
            Err(_) => break,
        }
    }
    Some(batch)
}
