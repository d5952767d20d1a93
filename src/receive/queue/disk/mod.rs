//! The queue in a folder: one SQLite file, and a thread that owns the connection to it.
//!
//! Other processes may open the file at the same time. That is how `rowhook receive dead` works beside a running
//! receiver.

mod database;
mod dead;
mod file;
mod job;
mod lock;
mod private;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::dead::{list_dead, retry_dead};
pub use self::lock::lock;
use self::{
    database::Database,
    file::{connect, error},
    job::Claimed,
    private::make_database,
};
use super::{
    error::Error,
    job::{Enqueued, Job},
    limits::Limits,
    outcome::{Outcome, attempt},
    workers::Workers,
};
use crate::receive::{envelope::Received, task::Task};

/// How often to look for jobs that another process has made due, and how long to wait after an error.
const TICK: Duration = Duration::from_secs(1);
/// How often to delete what has expired.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(600);

/// The queue in a folder.
#[derive(Debug)]
pub struct Disk {
    limits: Limits,
    database: Database,
    /// Notified when a job may have become due.
    wake: Arc<Notify>,
}

/// How many jobs may run: each holds a slot of its task and one of all tasks.
struct Slots {
    by_task: Vec<Arc<Semaphore>>,
    all: Arc<Semaphore>,
}

impl Slots {
    fn new(workers: &Workers) -> Self {
        let slots = |number| Arc::new(Semaphore::new(number));
        let tasks = workers.tasks.iter();
        Self {
            by_task: tasks.map(|task| slots(task.concurrency.get())).collect(),
            all: slots(workers.concurrency),
        }
    }
}

impl Disk {
    /// Opens the queue in `folder`, which this process has locked with [`lock()`].
    ///
    /// # Errors
    /// When the file is not a queue, was made by a later version, or cannot be written to.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self, Error> {
        make_database(folder).map_err(|cause| error(folder, cause))?;
        let connection = connect(folder)?;
        // Which jobs run is known to this connection only, and so is forgotten when the process ends.
        let temporary = "create temp table running (received integer not null, task text not null, primary key (received, task)) without rowid";
        connection
            .execute_batch(temporary)
            .map_err(|cause| error(folder, cause))?;
        let database = Database::start(connection, folder.display().to_string());
        let database = database.map_err(|cause| error(folder, cause))?;
        Ok(Self {
            limits,
            database,
            wake: Arc::new(Notify::new()),
        })
    }

    /// See [`super::Queue::enqueue`].
    pub(super) async fn enqueue(
        &self,
        received: Received,
        jobs: Vec<Job>,
    ) -> Result<Enqueued, Error> {
        let limit = self.limits.size;
        let enqueued = self
            .database
            .transaction(move |connection| job::enqueue(connection, limit, &received, &jobs))
            .await?;
        self.wake.notify_one();
        Ok(enqueued)
    }

    /// See [`super::Queue::work`].
    pub(super) async fn work(&self, workers: Workers) -> Result<(), Error> {
        self.warn_of_orphans(&workers.tasks).await?;
        let running = TaskTracker::new();
        let slots = Slots::new(&workers);
        let abort = CancellationToken::new();
        let mut last_expiry = None;
        let mut turn = 0;
        loop {
            if last_expiry.is_none_or(|at: Instant| at.elapsed() > EXPIRY_INTERVAL) {
                self.delete_expired().await;
                last_expiry = Some(Instant::now());
            }
            // Another task claims first in each round, so that no task takes all slots for ever.
            turn = (turn + 1) % workers.tasks.len().max(1);
            let next = self.begin_due(&workers, turn, &slots, &running, &abort);
            let next = match next.await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "the queue cannot be read; trying again");
                    None
                }
            };
            let tick = Instant::now() + TICK;
            tokio::select! {
                () = workers.stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = sleep_until(next.map_or(tick, |next| next.min(tick))) => {}
            }
        }
        running.close();
        if timeout(workers.grace, running.wait()).await.is_err() {
            tracing::warn!(
                running = running.len(),
                "tasks were still running at the end of the grace period; they are ended and will begin again"
            );
            abort.cancel();
            running.wait().await;
        }
        Ok(())
    }

    /// Begins the jobs that are due and have a slot. Returns when the next one is due, or `None` where the end of a
    /// running job or a new request is to be waited for.
    async fn begin_due(
        &self,
        workers: &Workers,
        turn: usize,
        slots: &Slots,
        running: &TaskTracker,
        abort: &CancellationToken,
    ) -> Result<Option<Instant>, Error> {
        let mut next: Option<Instant> = None;
        let tasks = workers.tasks.iter().zip(&slots.by_task);
        for (task, of_task) in tasks.cycle().skip(turn).take(workers.tasks.len()) {
            let free = of_task
                .available_permits()
                .min(slots.all.available_permits());
            if free == 0 {
                continue;
            }
            let claimed = self.claim(task, free).await?;
            let may_have_more = claimed.len() == free;
            for job in claimed.into_iter().map(Arc::new) {
                let slot = (
                    Arc::clone(of_task).acquire_owned().await,
                    Arc::clone(&slots.all).acquire_owned().await,
                );
                let (runner, database) = (Arc::clone(&workers.runner), self.database.clone());
                let wake = Arc::clone(&self.wake);
                let abort = abort.clone();
                running.spawn(async move {
                    let number = job.attempts + 1;
                    tokio::select! {
                        outcome = attempt(&runner, &job.task, &job.received, number) => {
                            record_outcome(&database, &job, outcome).await;
                        }
                        () = abort.cancelled() => {}
                    }
                    drop(slot);
                    wake.notify_one();
                });
            }
            if !may_have_more && let Some(due) = self.next_due(task).await? {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        Ok(next)
    }

    async fn claim(&self, task: &Arc<Task>, limit: usize) -> Result<Vec<Claimed>, Error> {
        let task = Arc::clone(task);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.database
            .transaction(move |connection| job::claim(connection, &task, limit))
            .await
    }

    async fn next_due(&self, task: &Task) -> Result<Option<Instant>, Error> {
        let name = task.name.clone();
        let wait = self
            .database
            .transaction(move |connection| job::next_due_in(connection, &name))
            .await?;
        Ok(wait.map(|wait| Instant::now() + wait))
    }

    /// Logs the jobs whose task no longer exists: without a warning they would wait unnoticed.
    async fn warn_of_orphans(&self, tasks: &[Arc<Task>]) -> Result<(), Error> {
        let waiting = self.database.transaction(job::waiting_by_task).await?;
        for (name, waiting) in waiting {
            if !tasks.iter().any(|task| task.name == name) {
                tracing::warn!(
                    task = name,
                    waiting,
                    "there is no such task any more; what was queued for it waits until there is"
                );
            }
        }
        Ok(())
    }

    async fn delete_expired(&self) {
        let limits = self.limits;
        let deleted = self
            .database
            .transaction(move |connection| job::delete_expired(connection, limits))
            .await;
        match deleted {
            Ok(0) => {}
            Ok(dead) => tracing::warn!(
                dead,
                "dead tasks were kept for long enough, and are forgotten"
            ),
            Err(error) => {
                tracing::warn!(%error, "what is old could not be forgotten; trying again later")
            }
        }
    }
}

/// Records the outcome, and retries until that succeeds: a success that is not on record would run again.
async fn record_outcome(database: &Database, job: &Arc<Claimed>, outcome: Outcome) {
    let outcome = Arc::new(outcome);
    loop {
        let (of_job, ended) = (Arc::clone(job), Arc::clone(&outcome));
        let recorded =
            database.transaction(move |connection| job::record(connection, &of_job, &ended));
        let (task, id) = (&*job.task.name, &*job.received.id);
        match recorded.await {
            Ok(()) if *outcome == Outcome::Succeeded => {
                return tracing::info!(task, id, "done");
            }
            Ok(()) => return,
            Err(error) => {
                tracing::error!(%error, task, id, "how a task ended cannot be kept; trying again");
            }
        }
        sleep(TICK).await;
    }
}
