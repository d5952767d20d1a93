//! The status of rowhook at a glance.

use std::time::SystemTime;

use anyhow::Context;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Admin, Error, Result};
use crate::{
    postgres::time::timestamp,
    setup::{
        catalog::{Facts, Slot},
        heard::{self, TableProblem},
        waiting::waited_for,
    },
};

/// The status of rowhook.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Status {
    /// The version of the rowhook that answers.
    pub version: &'static str,
    /// The replication slot; null if there is none.
    pub slot: Option<SlotStatus>,
    /// When it was last noted up to where everything is settled.
    pub noted_at: Option<String>,
    /// The delivery of the stream that has been neither made nor parked for longest, if that is longer than five
    /// minutes.
    pub held: Option<HeldStatus>,
    /// The deliveries in the table, counted.
    pub deliveries: DeliveryCounts,
    /// The hooks, counted.
    pub hooks: HookCounts,
}

/// The replication slot.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SlotStatus {
    /// Its name.
    pub name: String,
    /// Whether a session reads from it.
    pub attached: bool,
    /// Whether it is still being made. Changes are not heard before it is done.
    pub being_made: bool,
    /// The transactions that must end before it is done.
    pub waits_for: Vec<String>,
    /// The application name of that session.
    pub session: Option<String>,
    /// The LSN up to which everything is settled.
    pub confirmed: Option<String>,
    /// Bytes of WAL after that.
    pub lag_bytes: Option<i64>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Bytes of WAL that may still be written before Postgres invalidates the slot; null if there is no limit.
    pub safe_wal_bytes: Option<i64>,
}

/// A delivery that keeps the slot where it is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HeldStatus {
    /// The id of its hook.
    pub hook: String,
    /// For how long it has been held, in seconds.
    pub seconds: f64,
}

/// How many deliveries the table holds.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeliveryCounts {
    /// Those that wait for another attempt.
    pub parked: i64,
    /// Those that were given up.
    pub dead: i64,
    /// The age of the oldest parked one since its commit, in seconds.
    pub oldest_parked_seconds: Option<f64>,
}

/// How many hooks there are, by state.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HookCounts {
    /// Those that get events.
    pub active: i64,
    /// Those that are switched off.
    pub inactive: i64,
    /// Those that cannot be used.
    pub invalid: i64,
    /// Those whose latest attempts have all failed. They are active too.
    pub failing: i64,
}

impl Admin {
    /// Reads the status.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn status(&self) -> Result<Status> {
        let name = &self.config.database.slot;
        let standby = self.config.database.connect_standby("rowhook status").await;
        let slot = match standby {
            Ok(standby) => Slot::read(standby.as_ref().unwrap_or(&self.client), name).await,
            // What is parked and dead is known nevertheless.
            Err(error) => {
                tracing::warn!("the slot cannot be looked at: {error}");
                Ok(None)
            }
        };
        let slot = slot.context("look at the slot")?;
        let database = &self.config.database.source().database;
        let own = slot.filter(|slot| !slot.is_of_another(database));
        let blockers = waited_for(&self.client, own.as_ref()).await;
        let blockers = blockers.context("look whom the slot waits for")?;
        let slot = own.map(|slot| SlotStatus {
            name: name.clone(),
            attached: slot.active_pid.is_some() && !slot.is_being_made(),
            being_made: slot.is_being_made(),
            waits_for: blockers.iter().map(ToString::to_string).collect(),
            session: slot.application_name,
            confirmed: slot.confirmed.map(|lsn| lsn.to_string()),
            lag_bytes: slot.lag,
            wal_status: slot.wal_status,
            safe_wal_bytes: slot.safe_wal_size,
        });
        let progress = "select updated_at, held_hook, extract(epoch from clock_timestamp() - held_since)::float8 \
                        from progress where slot = $1";
        let row = self.client.query_opt(progress, &[name]).await;
        let row = row.context("read the progress")?;
        let read = |row: &tokio_postgres::Row| -> std::result::Result<_, tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        };
        let row = row.as_ref().map(read).transpose();
        let (noted, hook, seconds): (Option<SystemTime>, Option<String>, Option<f64>) =
            row.context("read the progress")?.unwrap_or_default();
        // What a rowhook has held that is gone is in the WAL, and comes again.
        let is_attached = slot.as_ref().is_some_and(|slot| slot.attached);
        let held = hook.zip(seconds).filter(|_| is_attached);
        let (deliveries, hooks) = self.counts().await?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            slot,
            noted_at: noted.map(timestamp),
            held: held.map(|(hook, seconds)| HeldStatus { hook, seconds }),
            deliveries,
            hooks,
        })
    }

    /// Reads which tables of `[events]` are not heard as hooks.toml asks for.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn table_problems(&self) -> Result<Vec<TableProblem>> {
        let facts = Facts::read(&self.client, None, &self.config).await;
        let facts = facts.context("read the catalog")?;
        Ok(heard::problems(&self.config, &facts))
    }

    async fn counts(&self) -> Result<(DeliveryCounts, HookCounts)> {
        let sql = self.with_all_hooks(include_str!("../../sql/manage/counts.sql"));
        let row = self.client.query_one(&sql, &[&self.file_hooks()]).await;
        let row = row.map_err(|error| Error::from_postgres("count", error))?;
        let read = || -> std::result::Result<_, tokio_postgres::Error> {
            let deliveries = DeliveryCounts {
                parked: row.try_get("parked")?,
                dead: row.try_get("dead")?,
                oldest_parked_seconds: row.try_get("oldest_parked_seconds")?,
            };
            let hooks = HookCounts {
                active: row.try_get("active")?,
                inactive: row.try_get("inactive")?,
                invalid: row.try_get("invalid")?,
                failing: row.try_get("failing")?,
            };
            Ok((deliveries, hooks))
        };
        Ok(read().context("count")?)
    }
}
