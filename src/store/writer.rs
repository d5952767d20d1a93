//! The task that writes, one transaction after the other; what arrives meanwhile goes into the next.

use tokio::sync::mpsc;

use super::{
    FIRST_PAUSE, LONGEST_PAUSE,
    batch::{Batch, Changes, Session, Write},
    connect,
};
use crate::postgres::address::Address;

/// A transaction is not made larger than this, but for a single write.
const BATCH_WRITES: usize = 4096;
const BATCH_BYTES: usize = 8 << 20;

/// Writes until nobody can hand anything over any more.
pub(super) async fn write(
    mut writes: mpsc::UnboundedReceiver<Write>,
    address: Address,
    schema: String,
) {
    let mut session = None;
    while let Some(batch) = gather(&mut writes).await {
        let (mut changes, mut pause) = (Changes::default(), FIRST_PAUSE);
        while let Err(error) = attempt(&batch, &mut changes, &mut session, &address, &schema).await
        {
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

/// Writes, in a session that stays open when it has served.
async fn attempt(
    batch: &Batch,
    changes: &mut Changes,
    open: &mut Option<Session>,
    address: &Address,
    schema: &str,
) -> anyhow::Result<()> {
    let mut session = match open.take() {
        Some(session) if !session.is_closed() => session,
        _ => Session::prepare(connect(address, schema, "rowhook writer").await?).await?,
    };
    batch.write(&mut session, changes).await?;
    *open = Some(session);
    Ok(())
}
