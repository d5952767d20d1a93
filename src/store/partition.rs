//! What the senders of a cluster have in the tables: partitions, each in an epoch that is counted up when it changes
//! hands, and so fences off whoever had it before.

use std::{collections::HashMap, pin::pin};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use tokio_postgres::types::ToSql;

use super::{Store, rows::place};
use crate::delivery::backlog::Backlog;

impl Store {
    /// Makes `sender` the one that has a partition. Returns the epoch in which it does.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn take_partition(&self, number: i32, sender: &str) -> Result<i64> {
        let client = self.session(&self.client).await?;
        let sql = "insert into partition as known (slot, number, sender) values ($1, $2, $3) \
                   on conflict (slot, number) do update \
                   set epoch = known.epoch + 1, sender = excluded.sender, since = clock_timestamp() \
                   returning epoch";
        let row = client
            .query_one(sql, &[&self.holder().slot, &number, &sender])
            .await;
        let row = row.context("take a partition")?;
        Ok(row.try_get(0)?)
    }

    /// Who has a partition as far as the table knows; `None`: it was given back, or nobody has had it.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn sender_of(&self, number: i32) -> Result<Option<String>> {
        let client = self.session(&self.client).await?;
        let sql = "select sender from partition where slot = $1 and number = $2";
        let row = client.query_opt(sql, &[&self.holder().slot, &number]).await;
        let row = row.context("read who has a partition")?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.flatten())
    }

    /// Takes a partition away from whoever has it in this epoch: what that one writes from now on is refused. Returns
    /// the epoch from which on another one may have it.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn withdraw_partition(&self, number: i32, epoch: i64) -> Result<i64> {
        let client = self.session(&self.client).await?;
        let sql = "insert into partition as known (slot, number, epoch, sender) values ($1, $2, $3::bigint + 1, null) \
                   on conflict (slot, number) do update \
                   set epoch = greatest(known.epoch, $3::bigint) + 1, sender = null, since = clock_timestamp() \
                   returning epoch";
        let row = client
            .query_one(sql, &[&self.holder().slot, &number, &epoch])
            .await;
        let row = row.context("take a partition away from its sender")?;
        Ok(row.try_get(0)?)
    }

    /// Notes that a partition was given back with nothing in hand, unless another has it by now.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn give_back_partition(&self, number: i32, epoch: i64) -> Result<()> {
        let sql = "update partition set sender = null, since = clock_timestamp() \
                   where slot = $1 and number = $2 and epoch = $3";
        let slot = &self.holder().slot;
        let values: [&(dyn ToSql + Sync); 3] = [slot, &number, &epoch];
        let given = self.execute_once(&self.client, sql, &values).await;
        given.map(drop).context("give a partition back")
    }

    /// Makes due again what was claimed of these hooks: nobody else claims of them now.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn reclaim_of(&self, hooks: &[&str]) -> Result<()> {
        let sql = "update delivery set next_attempt = clock_timestamp(), claimed = false \
                   where claimed and state = 'parked' and hook = any($1)";
        let reclaimed = self.execute_once(&self.client, sql, &[&hooks]).await;
        reclaimed.map(drop).context("take over what was claimed")
    }

    /// Reads what is parked of a partition, by the ids of hooks.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn backlog_of(
        &self,
        number: i32,
        partitions: i32,
    ) -> Result<HashMap<String, Backlog>> {
        let client = self.session(&self.client).await?;
        let sql = include_str!("../../sql/store/backlog_of_partition.sql");
        // Row by row, because there may be millions.
        let values: [&(dyn ToSql + Sync); 2] = [&partitions, &number];
        let rows = client.query_raw(sql, values).await;
        let mut rows = pin!(rows.context("read what is parked of a partition")?);
        let mut backlog: HashMap<String, Backlog> = HashMap::new();
        while let Some(row) = rows.try_next().await.context("read what is parked")? {
            let deliveries: i64 = row.try_get("deliveries")?;
            let place = place(row.try_get("lane")?, row.try_get("other_lane")?);
            let of_hook = backlog.entry(row.try_get("hook")?).or_default();
            of_hook.add(place, deliveries.unsigned_abs());
        }
        Ok(backlog)
    }

    /// Says that a sender is there.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn note_sender(&self, sender: &str, host: &str) -> Result<()> {
        // Those that have ended badly long ago are of no use to anybody.
        let sql = "with old as (delete from sender where slot = $1 and seen < now() - interval '1 day') \
                   insert into sender (slot, name, host, version) values ($1, $2, $3, $4) \
                   on conflict (slot, name) do update set seen = clock_timestamp()";
        let slot = &self.holder().slot;
        let version = env!("CARGO_PKG_VERSION");
        let values: [&(dyn ToSql + Sync); 4] = [slot, &sender, &host, &version];
        let noted = self.execute_once(&self.client, sql, &values).await;
        noted.map(drop).context("note a sender")
    }

    /// Says that a sender has ended.
    ///
    /// # Errors
    /// When the tables cannot be written to.
    pub async fn forget_sender(&self, sender: &str) -> Result<()> {
        let sql = "delete from sender where slot = $1 and name = $2";
        let slot = &self.holder().slot;
        let forgotten = self.execute_once(&self.client, sql, &[slot, &sender]).await;
        forgotten.map(drop).context("forget a sender")
    }
}
