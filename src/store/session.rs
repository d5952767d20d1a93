//! Sessions with rowhook's own tables.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tokio_postgres::Client;

use crate::{backoff::Backoff, postgres::address::Address};

/// How long to wait before a write that failed is tried again.
pub(super) const PAUSES: Backoff =
    Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// A session that is opened when it is first used, and again when its connection has broken.
pub(super) struct Session {
    name: &'static str,
    client: Mutex<Option<Client>>,
}

impl Session {
    /// A session that is not open yet, and will have this application name.
    pub(super) fn named(name: &'static str) -> Self {
        Self {
            name,
            client: Mutex::new(None),
        }
    }

    /// Waits until nobody else uses the session, and opens it where it is not open.
    ///
    /// # Errors
    /// When the database cannot be connected to.
    pub(super) async fn client(
        &self,
        address: &Address,
        schema: &str,
    ) -> Result<MappedMutexGuard<'_, Client>> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            *client = Some(connect(address, schema, self.name).await?);
        }
        let client = MutexGuard::try_map(client, Option::as_mut);
        client.map_err(|_| anyhow::anyhow!("{} is not open", self.name))
    }
}

/// Connects to the database, so that rowhook's own tables can be named without their schema.
///
/// # Errors
/// When the database cannot be connected to.
pub(super) async fn connect(address: &Address, schema: &str, name: &str) -> Result<Client> {
    let client = address.connect_to_schema(name, schema).await?;
    // A cached plan may be of a time when the tables were empty. And a machine that is lost in the middle of a
    // transaction must not keep its successor waiting.
    let settings = "set plan_cache_mode to force_custom_plan; set idle_in_transaction_session_timeout to '30s'";
    client
        .batch_execute(settings)
        .await
        .context("prepare the store's session")?;
    Ok(client)
}
