//! The task that writes, one transaction after the other; what arrives meanwhile goes into the next.

use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::{
    FIRST_PAUSE, LONGEST_PAUSE,
    batch::{Batch, Write},
    connect,
};
use crate::postgres::address::Address;

/// A transaction is not made larger than this.
const BATCH_WRITES: usize = 4096;

/// Writes until nobody can hand anything over any more.
pub(super) async fn write(
    mut writes: mpsc::UnboundedReceiver<Write>,
    address: Address,
    schema: String,
) {
    let mut client: Option<Client> = None;
    let mut batch = Vec::new();
    while writes.recv_many(&mut batch, BATCH_WRITES).await > 0 {
        let writes = Batch(std::mem::take(&mut batch));
        let mut pause = FIRST_PAUSE;
        let kept = loop {
            match attempt(&writes, &mut client, &address, &schema).await {
                Ok(kept) => break kept,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        deliveries = writes.0.len(),
                        retry_in = ?pause,
                        "could not park; the deliveries stay in memory, and it is tried again"
                    );
                    client = None;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        writes.tell(&kept);
    }
}

async fn attempt(
    writes: &Batch,
    slot: &mut Option<Client>,
    address: &Address,
    schema: &str,
) -> anyhow::Result<std::collections::HashSet<String>> {
    let client = match slot.take() {
        Some(client) if !client.is_closed() => client,
        _ => connect(address, schema, "rowhook writer").await?,
    };
    Ok(writes.write(slot.insert(client)).await?)
}
