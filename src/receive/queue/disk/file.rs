//! The SQLite file of a queue, and how values are written in it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rusqlite::Connection;

use crate::receive::{envelope::Envelope, queue::error::Error};

/// The version of the tables. A file with another version was made by a later rowhook.
const VERSION: i64 = 1;
/// The name of the file.
pub(super) const DATABASE: &str = "queue.sqlite";
/// The names of the files that SQLite puts beside it.
pub(super) const SIDE_FILES: [&str; 2] = ["queue.sqlite-wal", "queue.sqlite-shm"];

fn file(folder: &Path) -> PathBuf {
    folder.join(DATABASE)
}

pub(super) fn connect_existing(folder: &Path) -> Result<Connection, Error> {
    if !file(folder).exists() {
        return Err(error(folder, "is not there; no receiver has made it yet"));
    }
    connect(folder)
}

/// Opens the file, and creates it with its tables where it is missing.
pub(super) fn connect(folder: &Path) -> Result<Connection, Error> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(file(folder))?;
        connection.busy_timeout(Duration::from_secs(10))?;
        // synchronous = full: a commit returns only once it is on disk, and a sender is answered only after that.
        connection.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on;",
        )?;
        Ok(connection)
    };
    let mut connection = open().map_err(|cause| error(folder, cause))?;
    let mut migrate = || -> rusqlite::Result<i64> {
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let version = transaction.query_row("pragma user_version", [], |row| row.get(0))?;
        if version == 0 {
            transaction.execute_batch(include_str!("../../../../sql/receive/schema.sql"))?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()?;
            return Ok(VERSION);
        }
        Ok(version)
    };
    match migrate().map_err(|cause| error(folder, cause))? {
        VERSION => Ok(connection),
        _ => Err(error(
            folder,
            "was made by a later version of rowhook; use that one",
        )),
    }
}

pub(super) fn error(folder: &Path, reason: impl ToString) -> Error {
    Error {
        location: folder.display().to_string(),
        reason: reason.to_string(),
    }
}

pub(super) fn envelope_to_json(envelope: &Envelope) -> rusqlite::Result<String> {
    serde_json::to_string(envelope)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn envelope_from_json(text: &str) -> rusqlite::Result<Envelope> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

/// The present time in milliseconds since 1970.
pub(super) fn now() -> i64 {
    milliseconds_since_1970(SystemTime::now())
}

pub(super) fn milliseconds_since_1970(at: SystemTime) -> i64 {
    milliseconds(
        at.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Converts milliseconds since 1970.
pub(super) fn system_time(milliseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}
