//! The thread that owns the connection to the SQLite file, and the handle through which it is used.
//!
//! Transactions that are requested while a commit is being written to disk share the next commit, so that one sync
//! makes many of them durable.

use std::{sync::mpsc, thread};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use crate::{panics::caught_now, receive::queue::error::Error};

/// How many requests share one commit at most.
const BATCH: usize = 256;

/// A handle to the thread. The thread ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub(super) struct Database {
    location: String,
    requests: mpsc::SyncSender<Request>,
}

/// Something that the thread runs inside a transaction. It returns whether it succeeded, and how to report that the
/// transaction was committed.
type Request = Box<dyn FnOnce(&Connection) -> (bool, Reply) + Send>;
type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;

impl Database {
    /// Starts the thread. `location` names the queue in errors.
    pub(super) fn start(connection: Connection, location: String) -> std::io::Result<Self> {
        let (requests, received) = mpsc::sync_channel(4 * BATCH);
        let thread = thread::Builder::new().name("queue".into());
        thread.spawn(move || serve(connection, &received))?;
        Ok(Self { location, requests })
    }

    /// Runs `work` in a transaction, and returns once the commit is on disk.
    ///
    /// # Errors
    /// When `work` or the commit fails, or when too many requests are waiting.
    pub(super) async fn transaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = oneshot::channel();
        let request: Request = Box::new(move |connection| {
            // The thread goes on after a panic; the savepoint that it happened in is undone.
            let result = match caught_now(|| work(connection)) {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(panic) => Err(format!("rowhook panicked on it: {panic}")),
            };
            let succeeded = result.is_ok();
            let reply: Reply = Box::new(move |committed| {
                // The caller may have gone away.
                let _ = sender.send(committed.and(result));
            });
            (succeeded, reply)
        });
        let error = |reason: &str| Error {
            location: self.location.clone(),
            reason: reason.to_owned(),
        };
        let busy = "has too much to do";
        self.requests.try_send(request).map_err(|_| error(busy))?;
        let result = receiver.await.map_err(|_| error("cannot be written to"))?;
        result.map_err(|reason| error(&reason))
    }
}

/// Runs requests, many in one commit, until the last handle is dropped.
fn serve(mut connection: Connection, received: &mpsc::Receiver<Request>) {
    while let Ok(first) = received.recv() {
        let mut replies = Vec::new();
        let waiting = received.try_iter();
        let mut requests = std::iter::once(first).chain(waiting).take(BATCH);
        let committed = (|| -> rusqlite::Result<()> {
            let mut transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for request in &mut requests {
                // A savepoint each, so that one that fails does not undo the others.
                let savepoint = transaction.savepoint()?;
                let (succeeded, reply) = request(&savepoint);
                replies.push(reply);
                if succeeded {
                    savepoint.commit()?;
                }
            }
            transaction.commit()
        })();
        let committed = committed.map_err(|error| error.to_string());
        // Where no transaction could begin, the remaining requests are dropped, and with them the channels that their
        // callers wait on: the callers get an error.
        for reply in replies {
            reply(committed.clone());
        }
    }
}
