//! The lock on the folder of a queue, which admits one receiver at a time.

use std::{fs::File, path::Path, time::Duration};

use nix::fcntl::{Flock, FlockArg};
use tokio::time::{Instant, sleep};

use super::{
    file::error,
    private::{make_folder, open_file},
};
use crate::receive::queue::error::Error;

/// Locks `folder` for one receiver, and creates it where it is missing. The lock lasts until every copy of the file is
/// closed, also when this process is killed.
///
/// # Errors
/// When the folder cannot be created, or another receiver still holds the lock after `patience`.
pub async fn lock(folder: &Path, patience: Duration) -> Result<Flock<File>, Error> {
    let wrong = |reason: String| error(folder, reason);
    make_folder(folder).map_err(|error| wrong(format!("cannot be made: {error}")))?;
    let path = folder.join("lock");
    let deadline = Instant::now() + patience;
    let mut logged = false;
    let file = open_file(&path);
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
        if !logged {
            tracing::info!(folder = %folder.display(), "waiting for the receiver before us to be gone");
            logged = true;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
