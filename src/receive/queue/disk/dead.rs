//! The dead jobs of a queue in a folder, for a process other than the receiver.

use std::path::Path;

use rusqlite::params;

use super::file::{connect_existing, envelope_from_json, error, now, system_time};
use crate::receive::queue::{dead::Dead, error::Error};

/// Lists the dead jobs of the queue in `folder`, the latest first. A receiver may be running.
///
/// # Errors
/// When there is no queue, or it cannot be read.
pub(crate) fn list_dead(folder: &Path) -> Result<Vec<Dead>, Error> {
    let connection = connect_existing(folder)?;
    let list = || -> rusqlite::Result<Vec<Dead>> {
        let mut query = connection.prepare(include_str!("../../../../sql/receive/dead.sql"))?;
        let rows = query.query_map([], |row| {
            Ok(Dead {
                number: row.get::<_, i64>(0)?.unsigned_abs(),
                id: row.get(1)?,
                envelope: envelope_from_json(&row.get::<_, String>(2)?)?,
                task: row.get(3)?,
                attempts: row.get(4)?,
                at: system_time(row.get(5)?),
                error: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
            })
        })?;
        rows.collect()
    };
    list().map_err(|cause| error(folder, cause))
}

/// Returns dead jobs to the queue with all their attempts, and returns how many there were. A running receiver notices
/// within a second.
///
/// # Errors
/// When there is no queue, or it cannot be written to.
pub(crate) fn retry_dead(folder: &Path, dead: &[Dead]) -> Result<usize, Error> {
    let mut connection = connect_existing(folder)?;
    let mut revive = || -> rusqlite::Result<usize> {
        let transaction = connection.transaction()?;
        let mut revived = 0;
        // In the order of arrival, which is the order of their lanes.
        let mut dead: Vec<&Dead> = dead.iter().collect();
        dead.sort_by_key(|dead| dead.number);
        for dead in dead {
            let number = i64::try_from(dead.number).unwrap_or(i64::MAX);
            let sql = include_str!("../../../../sql/receive/revive.sql");
            revived += transaction.execute(sql, params![number, dead.task, now()])?;
        }
        transaction.commit()?;
        Ok(revived)
    };
    revive().map_err(|cause| error(folder, cause))
}
