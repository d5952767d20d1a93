//! The dead jobs of a queue on a disk, beside whoever works there.

use std::path::Path;

use rusqlite::params;

use super::file::{connect_existing, envelope, error, now, time};
use crate::receive::queue::{Dead, Error};

/// The dead jobs of the queue in `folder`, the latest first. A receiver may be running.
///
/// # Errors
/// When there is no queue, or it cannot be read.
pub(in crate::receive::queue) fn list_dead(folder: &Path) -> Result<Vec<Dead>, Error> {
    let connection = connect_existing(folder)?;
    let dead = || -> rusqlite::Result<Vec<Dead>> {
        let mut query = connection.prepare(include_str!("../../../../sql/receive/dead.sql"))?;
        let rows = query.query_map([], |row| {
            Ok(Dead {
                number: row.get::<_, i64>(0)?.unsigned_abs(),
                id: row.get(1)?,
                envelope: envelope(&row.get::<_, String>(2)?)?,
                task: row.get(3)?,
                attempts: row.get(4)?,
                at: time(row.get(5)?),
                error: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
            })
        })?;
        rows.collect()
    };
    dead().map_err(|told| error(folder, told))
}

/// Lets dead jobs begin anew, and returns how many they are. A receiver may be running; it sees them within a second.
///
/// # Errors
/// When there is no queue, or it cannot be written to.
pub(in crate::receive::queue) fn retry_dead(folder: &Path, dead: &[Dead]) -> Result<usize, Error> {
    let mut connection = connect_existing(folder)?;
    let mut revive = || -> rusqlite::Result<usize> {
        let transaction = connection.transaction()?;
        let mut revived = 0;
        // In the order in which they came, for the sake of their lanes.
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
    revive().map_err(|told| error(folder, told))
}
