//! The thread that owns the file, and how it is asked.
//!
//! What comes while a commit is on its way to the disk goes together into the next one, so that one sync carries many.

use std::{sync::mpsc, thread};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use crate::receive::queue::Error;

/// So many requests share one commit at most.
const BATCH: usize = 256;

/// The way to the thread. It ends when the last of these is gone.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    place: String,
    orders: mpsc::SyncSender<Order>,
}

/// Something that the thread does within a transaction: whether it went well, and who is told when that is committed.
type Order = Box<dyn FnOnce(&Connection) -> (bool, Answer) + Send>;
type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

impl Keeper {
    /// Starts the thread. `place` is what errors call the file by.
    pub(super) fn start(connection: Connection, place: String) -> std::io::Result<Self> {
        let (orders, list) = mpsc::sync_channel(4 * BATCH);
        let thread = thread::Builder::new().name("queue".into());
        thread.spawn(move || keep(connection, &list))?;
        Ok(Self { place, orders })
    }

    /// Has something done in a transaction, and returns when that is on disk.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let order: Order = Box::new(move |connection| {
            let result = work(connection).map_err(|error| error.to_string());
            let went_well = result.is_ok();
            let answer: Answer = Box::new(move |committed| {
                // Whoever asked may have gone.
                let _ = reply.send(committed.and(result));
            });
            (went_well, answer)
        });
        let wrong = |reason: &str| Error {
            place: self.place.clone(),
            reason: reason.to_owned(),
        };
        let busy = "has too much to do";
        self.orders.try_send(order).map_err(|_| wrong(busy))?;
        let result = answer.await.map_err(|_| wrong("cannot be written to"))?;
        result.map_err(|reason| wrong(&reason))
    }
}

/// Does what is asked, many in one commit, until nobody can ask any more.
fn keep(mut connection: Connection, list: &mpsc::Receiver<Order>) {
    while let Ok(first) = list.recv() {
        let mut answers = Vec::new();
        let mut orders = std::iter::once(first).chain(list.try_iter()).take(BATCH);
        let committed = (|| -> rusqlite::Result<()> {
            let mut transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for order in &mut orders {
                // One that goes wrong takes nobody with it.
                let savepoint = transaction.savepoint()?;
                let (went_well, answer) = order(&savepoint);
                answers.push(answer);
                if went_well {
                    savepoint.commit()?;
                }
            }
            transaction.commit()
        })();
        let committed = committed.map_err(|error| error.to_string());
        // Where no transaction could begin, those whose order was not looked at see it dropped, and answer for themselves.
        for answer in answers {
            answer(committed.clone());
        }
    }
}
