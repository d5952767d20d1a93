//! Who sends in a cluster, and who has which part of the hooks.

use std::time::SystemTime;

use serde::Serialize;

use super::{Admin, Error, Result};
use crate::postgres::time::timestamp;

/// A rowhook that sends.
#[derive(Debug, Clone, Serialize)]
pub struct SenderStatus {
    /// Its name, which no other process has.
    pub sender: String,
    /// The machine that it runs on.
    pub host: String,
    /// Its version.
    pub version: String,
    /// How many partitions it has.
    pub partitions: i64,
    /// Since when it sends.
    pub since: String,
    /// When it was there last. It says so every ten seconds.
    pub seen: String,
}

/// A part of the hooks.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: i32,
    /// The sender that has it; null: nobody has.
    pub sender: Option<String>,
    /// How many times it has changed hands.
    pub epoch: i64,
    /// Since when it is there.
    pub since: String,
    /// How many deliveries of its hooks are parked.
    pub parked: i64,
    /// When the event of the oldest of these was committed.
    pub oldest: Option<String>,
}

impl Admin {
    /// The senders of the cluster, those with the most partitions first.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn senders(&self) -> Result<Vec<SenderStatus>> {
        let failed = |error| Error::from_postgres("read the senders", error);
        let sql = "select sender.name, sender.host, sender.version, sender.since, sender.seen, \
                       count(partition.number) as partitions \
                   from sender \
                   left join partition on partition.slot = sender.slot and partition.sender = sender.name \
                   where sender.slot = $1 \
                   group by sender.slot, sender.name \
                   order by partitions desc, sender.name";
        let slot = &self.config.database.slot;
        let rows = self.client.query(sql, &[slot]).await.map_err(failed)?;
        let senders = rows.iter().map(|row| {
            Ok(SenderStatus {
                sender: row.try_get("name")?,
                host: row.try_get("host")?,
                version: row.try_get("version")?,
                partitions: row.try_get("partitions")?,
                since: timestamp(row.try_get::<_, SystemTime>("since")?),
                seen: timestamp(row.try_get::<_, SystemTime>("seen")?),
            })
        });
        senders
            .collect::<std::result::Result<_, _>>()
            .map_err(failed)
    }

    /// The partitions of the cluster that somebody has had, in order.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn partitions(&self) -> Result<Vec<PartitionStatus>> {
        let failed = |error| Error::from_postgres("read the partitions", error);
        let sql = include_str!("../../sql/manage/partitions.sql");
        let slot = &self.config.database.slot;
        let all = self.config.cluster.as_ref();
        let all = all.map_or(1, |cluster| cluster.partitions);
        let all = i32::try_from(all).unwrap_or(i32::MAX);
        let rows = self
            .client
            .query(sql, &[slot, &all])
            .await
            .map_err(failed)?;
        let partitions = rows.iter().map(|row| {
            let oldest: Option<SystemTime> = row.try_get("oldest")?;
            Ok(PartitionStatus {
                partition: row.try_get("number")?,
                sender: row.try_get("sender")?,
                epoch: row.try_get("epoch")?,
                since: timestamp(row.try_get::<_, SystemTime>("since")?),
                parked: row.try_get("parked")?,
                oldest: oldest.map(timestamp),
            })
        });
        partitions
            .collect::<std::result::Result<_, _>>()
            .map_err(failed)
    }
}
