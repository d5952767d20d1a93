//! The queue on a disk: one file of SQLite, and a thread that owns it. The file can be opened by others at the same time: that
//! is how `rowhook receive dead` works beside a running receiver.

mod dead;
mod file;
mod job;
mod keeper;

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::params;
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::dead::{list_dead, retry_dead};
pub use self::file::lock;
use self::{
    file::{connect, envelope, error, milliseconds, now, time},
    job::{Claimed, accept, record},
    keeper::Keeper,
};
use super::{
    Accepted, Error, Job, Work,
    worker::{Outcome, attempt},
};
use crate::receive::{envelope::Received, task::Task};

/// How often it is looked what another process has made due, and how long is waited after an error.
const TICK: Duration = Duration::from_secs(1);
/// How often what is old is forgotten.
const SWEEP: Duration = Duration::from_secs(600);

/// The queue in a folder.
#[derive(Debug)]
pub struct Disk {
    limits: Limits,
    keeper: Keeper,
    /// Something may have become due.
    woken: Arc<Notify>,
}

/// What bounds a queue.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all that waits or is dead.
    pub size: u64,
    /// How long an id is remembered, so that its repetition is known.
    pub remember: Duration,
    /// How long dead jobs are kept.
    pub keep_dead: Duration,
}

/// How many tasks may run: each holds a slot of its own kind and one of all.
struct Slots {
    of_task: Vec<Arc<Semaphore>>,
    of_all: Arc<Semaphore>,
}

impl Slots {
    fn new(work: &Work) -> Self {
        let slots = |number| Arc::new(Semaphore::new(number));
        let of_task = work.tasks.iter();
        Self {
            of_task: of_task.map(|task| slots(task.concurrency.get())).collect(),
            of_all: slots(work.concurrency),
        }
    }
}

impl Disk {
    /// Opens the queue in `folder`, which this process has [`lock`]ed.
    ///
    /// # Errors
    /// When it is no queue, of a later version, or cannot be written to.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self, Error> {
        let connection = connect(folder)?;
        let temporary = "create temp table running (received integer not null, task text not null, primary key (received, task)) without rowid";
        connection
            .execute_batch(temporary)
            .map_err(|told| error(folder, told))?;
        let keeper = Keeper::start(connection, folder.display().to_string());
        let keeper = keeper.map_err(|told| error(folder, told))?;
        Ok(Self {
            limits,
            keeper,
            woken: Arc::new(Notify::new()),
        })
    }

    /// As [`super::Queue::accept`].
    pub(super) async fn accept(
        &self,
        received: Received,
        jobs: Vec<Job>,
    ) -> Result<Accepted, Error> {
        let limit = self.limits.size;
        let accepted = self
            .keeper
            .ask(move |connection| accept(connection, limit, &received, &jobs))
            .await?;
        self.woken.notify_one();
        Ok(accepted)
    }

    /// As [`super::Queue::work`].
    pub(super) async fn work(&self, work: Work) -> Result<(), Error> {
        self.tell_orphans(&work.tasks).await?;
        let tracker = TaskTracker::new();
        let slots = Slots::new(&work);
        let abandon = CancellationToken::new();
        let mut swept = None;
        let mut turn = 0;
        loop {
            if swept.is_none_or(|at: Instant| at.elapsed() > SWEEP) {
                self.forget().await;
                swept = Some(Instant::now());
            }
            // Each time another task is the first to choose, so that none of them takes all the slots for ever.
            turn = (turn + 1) % work.tasks.len().max(1);
            let next = match self.begin(&work, turn, &slots, &tracker, &abandon).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "the queue cannot be read; trying again");
                    None
                }
            };
            let tick = Instant::now() + TICK;
            tokio::select! {
                () = work.stop.cancelled() => break,
                () = self.woken.notified() => {}
                () = sleep_until(next.map_or(tick, |next| next.min(tick))) => {}
            }
        }
        tracker.close();
        if timeout(work.grace, tracker.wait()).await.is_err() {
            tracing::warn!(
                running = tracker.len(),
                "tasks were still running at the end of the grace period; they are ended and will begin again"
            );
            abandon.cancel();
            tracker.wait().await;
        }
        Ok(())
    }

    /// Begins what may run now, and tells when there will be more.
    async fn begin(
        &self,
        work: &Work,
        turn: usize,
        slots: &Slots,
        tracker: &TaskTracker,
        abandon: &CancellationToken,
    ) -> Result<Option<Instant>, Error> {
        let mut next: Option<Instant> = None;
        let tasks = work.tasks.iter().zip(&slots.of_task);
        let number = work.tasks.len();
        for (task, of_task) in tasks.cycle().skip(turn).take(number) {
            let free = of_task
                .available_permits()
                .min(slots.of_all.available_permits());
            if free == 0 {
                continue;
            }
            let claimed = self.claim(task, free).await?;
            let more = claimed.len() == free;
            for job in claimed.into_iter().map(Arc::new) {
                let slot = (
                    Arc::clone(of_task).acquire_owned().await,
                    Arc::clone(&slots.of_all).acquire_owned().await,
                );
                let (runner, keeper) = (Arc::clone(&work.runner), self.keeper.clone());
                let woken = Arc::clone(&self.woken);
                let abandon = abandon.clone();
                tracker.spawn(async move {
                    let number = job.attempts + 1;
                    tokio::select! {
                        outcome = attempt(&runner, &job.task, &job.received, number) => {
                            settle(&keeper, &job, outcome).await;
                        }
                        () = abandon.cancelled() => {}
                    }
                    drop(slot);
                    woken.notify_one();
                });
            }
            if !more && let Some(due) = self.next_due(task).await? {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        Ok(next)
    }

    async fn claim(&self, task: &Arc<Task>, limit: usize) -> Result<Vec<Claimed>, Error> {
        let task = Arc::clone(task);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.keeper
            .ask(move |connection| {
                let mut query =
                    connection.prepare_cached(include_str!("../../../../sql/receive/claim.sql"))?;
                let mut mark = connection.prepare_cached("insert into running values (?1, ?2)")?;
                let rows = query.query_map(params![task.name, now(), limit], |row| {
                    Ok(Claimed {
                        number: row.get(0)?,
                        task: Arc::clone(&task),
                        attempts: row.get(6)?,
                        received: Received {
                            id: row.get(1)?,
                            envelope: envelope(&row.get::<_, String>(2)?)?,
                            content_type: row.get(3)?,
                            received_at: time(row.get(4)?),
                            body: row.get::<_, Vec<u8>>(5)?.into(),
                        },
                    })
                })?;
                let claimed: Vec<Claimed> = rows.collect::<rusqlite::Result<_>>()?;
                for job in &claimed {
                    mark.execute(params![job.number, task.name])?;
                }
                Ok(claimed)
            })
            .await
    }

    async fn next_due(&self, task: &Arc<Task>) -> Result<Option<Instant>, Error> {
        let name = task.name.clone();
        let due: Option<i64> = self
            .keeper
            .ask(move |connection| {
                let sql = include_str!("../../../../sql/receive/next_due.sql");
                let mut query = connection.prepare_cached(sql)?;
                query.query_row([name], |row| row.get(0))
            })
            .await?;
        let wait = due.map(|due| u64::try_from(due - now()).unwrap_or_default());
        Ok(wait.map(|wait| Instant::now() + Duration::from_millis(wait)))
    }

    /// What waits for a task that is no more would wait in silence.
    async fn tell_orphans(&self, tasks: &[Arc<Task>]) -> Result<(), Error> {
        let waiting: Vec<(String, i64)> = self
            .keeper
            .ask(|connection| {
                let mut query =
                    connection.prepare(include_str!("../../../../sql/receive/orphans.sql"))?;
                query
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .await?;
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

    async fn forget(&self) {
        let Limits {
            remember,
            keep_dead,
            ..
        } = self.limits;
        let forgotten = self
            .keeper
            .ask(move |connection| {
                let dead = "delete from job where state = 'dead' and due < ?1";
                let dead = connection.execute(dead, [now() - milliseconds(keep_dead)])?;
                let left =
                    "delete from received where number not in (select job.received from job)";
                connection.execute(left, [])?;
                let sql = include_str!("../../../../sql/receive/forget.sql");
                connection.execute(sql, [now() - milliseconds(remember)])?;
                Ok(dead)
            })
            .await;
        match forgotten {
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

/// Keeps the outcome, and does not rest until it is kept: a success that is not on record would run again.
async fn settle(keeper: &Keeper, job: &Arc<Claimed>, outcome: Outcome) {
    let outcome = Arc::new(outcome);
    loop {
        let (of_job, ended) = (Arc::clone(job), Arc::clone(&outcome));
        let kept = keeper.ask(move |connection| record(connection, &of_job, &ended));
        let (task, id) = (&*job.task.name, &*job.received.id);
        match kept.await {
            Ok(()) if *outcome == Outcome::Done => return tracing::info!(task, id, "done"),
            Ok(()) => return,
            Err(error) => {
                tracing::error!(%error, task, id, "how a task ended cannot be kept; trying again");
            }
        }
        sleep(TICK).await;
    }
}
