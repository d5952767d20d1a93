//! What rowhook writes to its own tables. A write is tried until it succeeds: what waits for it is not settled before.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Mutex;
use tokio_postgres::{Client, types::ToSql};

use crate::{
    config::{Config, HookTable, OnGone},
    delivery::Delivery,
    hook::{Hook, HookId, Origin},
    postgres::{address::Address, quote},
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A connection for writing, opened when it is needed and again when it breaks.
pub struct Store {
    address: Address,
    schema: String,
    hook_table: Option<HookTable>,
    client: Mutex<Option<Client>>,
}

impl Store {
    /// The tables of `config` in the database at `address`. Connects at the first write.
    pub fn new(address: Address, config: &Config) -> Self {
        Self {
            address,
            schema: config.database.schema.clone(),
            hook_table: config.hook_table.clone(),
            client: Mutex::new(None),
        }
    }

    /// Records that a delivery has been given up. When this returns, it is durable, and there is one record of it however
    /// often this is called.
    pub async fn bury(&self, hook: &HookId, delivery: &Delivery, reason: &str) {
        let sql = format!(
            "insert into {}.delivery \
             (id, hook, event, state, reason, attempts, commit_lsn, event_index, commit_time, body, content_type) \
             values ($1, $2, $3, 'dead', $4, $5, $6::text::pg_lsn, $7, $8, $9, $10) \
             on conflict (id) do nothing",
            quote::name(&self.schema)
        );
        let lsn = delivery.position.commit_lsn.to_string();
        let attempts = i32::try_from(delivery.attempts).unwrap_or(i32::MAX);
        let index = i64::try_from(delivery.position.index).unwrap_or(i64::MAX);
        let values: Values<'_> = &[
            &&*delivery.id,
            &hook.as_str(),
            &&*delivery.event,
            &reason,
            &attempts,
            &lsn,
            &index,
            &delivery.commit_time,
            &&delivery.body[..],
            &delivery.content_type,
        ];
        self.write("record a dead delivery", &sql, values).await;
    }

    /// Switches a hook of the table off because its target said 410. Does nothing to hooks of hooks.toml.
    pub async fn disable(&self, hook: &Hook, reason: &str) {
        if hook.origin == Origin::File {
            return;
        }
        let sql = match &self.hook_table {
            None => format!(
                "update {}.hook set active = false, disabled_at = clock_timestamp(), disabled_reason = $2 \
                 where id::text = $1 and active",
                quote::name(&self.schema)
            ),
            Some(HookTable {
                table,
                id,
                active: Some(active),
                on_gone: OnGone::Disable,
                ..
            }) => format!(
                "update {} set {} = false where {}::text = $1 and $2::text is not null",
                quote::table(table),
                quote::name(active),
                quote::name(id)
            ),
            Some(HookTable { table, id, .. }) => format!(
                "delete from {} where {}::text = $1 and $2::text is not null",
                quote::table(table),
                quote::name(id)
            ),
        };
        self.write("disable a hook", &sql, &[&hook.id.as_str(), &reason])
            .await;
    }

    /// Writes beside a hook of rowhook's own table why it cannot be used, or that it can again.
    pub async fn judge(&self, hook: &HookId, invalid: Option<&str>) {
        if self.hook_table.is_some() {
            return;
        }
        let sql = format!(
            "update {}.hook set invalid = $2 where id::text = $1 and invalid is distinct from $2",
            quote::name(&self.schema)
        );
        self.write("mark a hook", &sql, &[&hook.as_str(), &invalid])
            .await;
    }

    async fn write(&self, what: &str, sql: &str, values: Values<'_>) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.write_once(sql, values).await {
            tracing::warn!(error = format!("{error:#}"), retry_in = ?pause, "could not {what}; it is tried again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn write_once(&self, sql: &str, values: Values<'_>) -> Result<()> {
        let mut slot = self.client.lock().await;
        let client = match slot.take() {
            Some(client) if !client.is_closed() => client,
            _ => self.address.connect("rowhook store").await?,
        };
        slot.insert(client)
            .execute(sql, values)
            .await
            .context("write to rowhook's tables")?;
        Ok(())
    }
}

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];
