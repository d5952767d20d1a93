//! The file of a queue on a disk, its lock, and how values stand in it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::fcntl::{Flock, FlockArg};
use rusqlite::Connection;
use tokio::time::{Instant, sleep};

use crate::receive::{envelope::Envelope, queue::Error};

/// Of the tables. A file that says more was made by a later version.
const VERSION: i64 = 1;

/// Takes the folder for one receiver, and makes it where it is missing. Where the process is killed, the lock lasts as long as
/// anybody has a copy of the file open.
///
/// # Errors
/// When it cannot be made, or another receiver has it and does not let go within `patience`.
pub async fn lock(folder: &Path, patience: Duration) -> Result<Flock<File>, Error> {
    let wrong = |reason: String| error(folder, reason);
    fs::create_dir_all(folder).map_err(|error| wrong(format!("cannot be made: {error}")))?;
    let path = folder.join("lock");
    let deadline = Instant::now() + patience;
    let mut told = false;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let mut file = file.map_err(|error| wrong(format!("cannot be written to: {error}")))?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((again, _)) => file = again,
        }
        if Instant::now() > deadline {
            return Err(wrong(
                "is another receiver's; stop that, or name another folder".into(),
            ));
        }
        if !told {
            tracing::info!(folder = %folder.display(), "waiting for the receiver before us to be gone");
            told = true;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("queue.sqlite")
}

pub(super) fn connect_existing(folder: &Path) -> Result<Connection, Error> {
    if !file(folder).exists() {
        return Err(error(folder, "is not there; no receiver has made it yet"));
    }
    connect(folder)
}

pub(super) fn connect(folder: &Path) -> Result<Connection, Error> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(file(folder))?;
        connection.busy_timeout(Duration::from_secs(10))?;
        // FULL: a commit has reached the disk when it returns. Only then anybody is told.
        connection.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on;",
        )?;
        Ok(connection)
    };
    let mut connection = open().map_err(|told| error(folder, told))?;
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
    match migrate().map_err(|told| error(folder, told))? {
        VERSION => Ok(connection),
        _ => Err(error(
            folder,
            "was made by a later version of rowhook; use that one",
        )),
    }
}

pub(super) fn error(folder: &Path, reason: impl ToString) -> Error {
    Error {
        place: folder.display().to_string(),
        reason: reason.to_string(),
    }
}

pub(super) fn written(envelope: &Envelope) -> rusqlite::Result<String> {
    serde_json::to_string(envelope)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn envelope(text: &str) -> rusqlite::Result<Envelope> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

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

pub(super) fn time(milliseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}
