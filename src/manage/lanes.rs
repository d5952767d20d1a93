//! Lanes with parked deliveries.

use std::time::SystemTime;

use super::{Admin, Error, Result};
use crate::postgres::time::timestamp;

/// A lane of a hook, with what is parked in it.
#[derive(Debug, Clone)]
pub struct ParkedLane {
    /// The hook's id.
    pub hook: String,
    /// The lane's number; by default, a hash of the row's key.
    pub lane: i64,
    /// How many deliveries are parked in it.
    pub parked: i64,
    /// When the first of them is due.
    pub next_attempt: Option<String>,
    /// When the event of the oldest was committed.
    pub oldest: Option<String>,
}

impl Admin {
    /// The 200 lanes with the most parked deliveries, fullest first.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn lanes(&self) -> Result<Vec<ParkedLane>> {
        let failed = |error| Error::from_postgres("read the lanes", error);
        let sql = include_str!("../../sql/manage/lanes.sql");
        let rows = self.client.query(sql, &[]).await.map_err(failed)?;
        let lanes = rows.iter().map(|row| {
            let time = |name| -> std::result::Result<Option<String>, tokio_postgres::Error> {
                Ok(row.try_get::<_, Option<SystemTime>>(name)?.map(timestamp))
            };
            Ok(ParkedLane {
                hook: row.try_get("hook")?,
                lane: row.try_get("lane")?,
                parked: row.try_get("parked")?,
                next_attempt: time("next_attempt")?,
                oldest: time("oldest")?,
            })
        });
        lanes.collect::<std::result::Result<_, _>>().map_err(failed)
    }
}
