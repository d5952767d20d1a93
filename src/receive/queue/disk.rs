//! The queue on a disk: one file of SQLite, and a thread that owns it.
//!
//! What comes while a commit is on its way to the disk goes together into the next one, so that one sync carries many. The
//! file can be opened by others at the same time: that is how `rowhook receive dead` works beside a running receiver.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, SystemTime},
};

use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::{
    sync::{Notify, Semaphore, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Accepted, Dead, Error, Job, Work,
    worker::{Outcome, attempt},
};
use crate::receive::{
    envelope::{Envelope, Received},
    task::Task,
};

/// Of the tables. A file that says more was made by a later version.
const VERSION: i64 = 1;
/// So many requests share one commit at most.
const BATCH: usize = 256;
/// How often it is looked what another process has made due, and how long is waited after an error.
const TICK: Duration = Duration::from_secs(1);
/// How often what is old is forgotten.
const SWEEP: Duration = Duration::from_secs(600);

/// The queue in a folder.
#[derive(Debug)]
pub struct Disk {
    place: String,
    limits: Limits,
    orders: mpsc::SyncSender<Order>,
    /// Something may have become due.
    woken: Arc<Notify>,
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

/// Something that the thread does within a transaction: whether it went well, and who is told when that is committed.
type Order = Box<dyn FnOnce(&Connection) -> (bool, Answer) + Send>;
type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

/// A job that was claimed.
#[derive(Debug)]
struct Claimed {
    number: i64,
    task: Arc<Task>,
    received: Received,
    /// Those that have failed.
    attempts: u32,
}

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
        let (orders, list) = mpsc::sync_channel(4 * BATCH);
        thread::Builder::new()
            .name("queue".into())
            .spawn(move || keep(connection, &list))
            .map_err(|told| error(folder, told))?;
        Ok(Self {
            place: folder.display().to_string(),
            limits,
            orders,
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
                let (runner, orders) = (Arc::clone(&work.runner), self.orders.clone());
                let (woken, place) = (Arc::clone(&self.woken), self.place.clone());
                let abandon = abandon.clone();
                tracker.spawn(async move {
                    let number = job.attempts + 1;
                    tokio::select! {
                        outcome = attempt(&runner, &job.task, &job.received, number) => {
                            settle(&orders, &place, &job, outcome).await;
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
        self.ask(move |connection| {
            let mut query =
                connection.prepare_cached(include_str!("../../../sql/receive/claim.sql"))?;
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
            .ask(move |connection| {
                let sql = include_str!("../../../sql/receive/next_due.sql");
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
            .ask(|connection| {
                let mut query =
                    connection.prepare(include_str!("../../../sql/receive/orphans.sql"))?;
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
            .ask(move |connection| {
                let dead = "delete from job where state = 'dead' and due < ?1";
                let dead = connection.execute(dead, [now() - milliseconds(keep_dead)])?;
                let left =
                    "delete from received where number not in (select job.received from job)";
                connection.execute(left, [])?;
                let sql = include_str!("../../../sql/receive/forget.sql");
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

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        ask(&self.orders, &self.place, work).await
    }
}

/// The dead jobs of the queue in `folder`, the latest first. A receiver may be running.
///
/// # Errors
/// When there is no queue, or it cannot be read.
pub(super) fn list_dead(folder: &Path) -> Result<Vec<Dead>, Error> {
    let connection = connect_existing(folder)?;
    let dead = || -> rusqlite::Result<Vec<Dead>> {
        let mut query = connection.prepare(include_str!("../../../sql/receive/dead.sql"))?;
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
pub(super) fn retry_dead(folder: &Path, dead: &[Dead]) -> Result<usize, Error> {
    let mut connection = connect_existing(folder)?;
    let mut revive = || -> rusqlite::Result<usize> {
        let transaction = connection.transaction()?;
        let mut revived = 0;
        // In the order in which they came, for the sake of their lanes.
        let mut dead: Vec<&Dead> = dead.iter().collect();
        dead.sort_by_key(|dead| dead.number);
        for dead in dead {
            let number = i64::try_from(dead.number).unwrap_or(i64::MAX);
            let sql = include_str!("../../../sql/receive/revive.sql");
            revived += transaction.execute(sql, params![number, dead.task, now()])?;
        }
        transaction.commit()?;
        Ok(revived)
    };
    revive().map_err(|told| error(folder, told))
}

/// Keeps the outcome, and does not rest until it is kept: a success that is not on record would run again.
async fn settle(
    orders: &mpsc::SyncSender<Order>,
    place: &str,
    job: &Arc<Claimed>,
    outcome: Outcome,
) {
    let outcome = Arc::new(outcome);
    loop {
        let (of_job, ended) = (Arc::clone(job), Arc::clone(&outcome));
        let kept = ask(orders, place, move |connection| {
            record(connection, &of_job, &ended)
        });
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

async fn ask<T: Send + 'static>(
    orders: &mpsc::SyncSender<Order>,
    place: &str,
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
        place: place.to_owned(),
        reason: reason.to_owned(),
    };
    let busy = "has too much to do";
    orders.try_send(order).map_err(|_| wrong(busy))?;
    let result = answer.await.map_err(|_| wrong("cannot be written to"))?;
    result.map_err(|reason| wrong(&reason))
}

/// Does what is asked, many in one commit, until nobody can ask any more.
fn keep(mut connection: Connection, list: &mpsc::Receiver<Order>) {
    while let Ok(first) = list.recv() {
        let mut answers = Vec::new();
        let mut orders = std::iter::once(first).chain(list.try_iter()).take(BATCH);
        let committed = (|| -> rusqlite::Result<()> {
            let mut transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
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

fn accept(
    connection: &Connection,
    limit: u64,
    received: &Received,
    jobs: &[Job],
) -> rusqlite::Result<Accepted> {
    let known = connection
        .prepare_cached("select 1 from seen where id = ?1")?
        .query_row([&received.id], |_| Ok(()))
        .optional()?;
    if known.is_some() {
        return Ok(Accepted::Repeated);
    }
    let body = u64::try_from(received.body.len()).unwrap_or(u64::MAX);
    let size: i64 = connection
        .prepare_cached("select bytes from size")?
        .query_row([], |row| row.get(0))?;
    if body > limit {
        return Ok(Accepted::TooLarge);
    }
    if u64::try_from(size).unwrap_or_default() + body > limit {
        return Ok(Accepted::Full);
    }
    let at = milliseconds_since_1970(received.received_at);
    connection
        .prepare_cached("insert into seen (id, at) values (?1, ?2)")?
        .execute(params![received.id, at])?;
    connection
        .prepare_cached("insert into received (id, envelope, content_type, received_at, body) values (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            received.id,
            written(&received.envelope)?,
            received.content_type,
            at,
            &received.body[..]
        ])?;
    let number = connection.last_insert_rowid();
    let mut add = connection.prepare_cached(include_str!("../../../sql/receive/add_job.sql"))?;
    for job in jobs {
        add.execute(params![number, job.task, job.lane, now()])?;
    }
    Ok(Accepted::New)
}

fn record(connection: &Connection, job: &Claimed, outcome: &Outcome) -> rusqlite::Result<()> {
    let (number, task) = (job.number, &job.task.name);
    let lane: Option<String> = connection
        .prepare_cached("select lane from job where received = ?1 and task = ?2")?
        .query_row(params![number, task], |row| row.get(0))
        .optional()?
        .flatten();
    match outcome {
        Outcome::Done => {
            connection
                .prepare_cached("delete from job where received = ?1 and task = ?2")?
                .execute(params![number, task])?;
            connection
                .prepare_cached("delete from received where number = ?1 and not exists (select job.task from job where job.received = ?1)")?
                .execute([number])?;
        }
        Outcome::Again { after, reason } => {
            let due = now() + milliseconds(*after);
            connection
                .prepare_cached("update job set attempts = ?3, due = ?4, error = ?5 where received = ?1 and task = ?2")?
                .execute(params![number, task, job.attempts + 1, due, reason])?;
        }
        Outcome::Dead { reason } => {
            connection
                .prepare_cached("update job set state = 'dead', attempts = ?3, due = ?4, error = ?5 where received = ?1 and task = ?2")?
                .execute(params![number, task, job.attempts + 1, now(), reason])?;
        }
    }
    if let (Some(lane), Outcome::Done | Outcome::Dead { .. }) = (lane, outcome) {
        connection
            .prepare_cached(include_str!("../../../sql/receive/release_lane.sql"))?
            .execute(params![task, lane, now()])?;
    }
    connection
        .prepare_cached("delete from running where received = ?1 and task = ?2")?
        .execute(params![number, task])?;
    Ok(())
}

fn file(folder: &Path) -> PathBuf {
    folder.join("queue.sqlite")
}

fn connect_existing(folder: &Path) -> Result<Connection, Error> {
    if !file(folder).exists() {
        return Err(error(folder, "is not there; no receiver has made it yet"));
    }
    connect(folder)
}

fn connect(folder: &Path) -> Result<Connection, Error> {
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
            transaction.execute_batch(include_str!("../../../sql/receive/schema.sql"))?;
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

fn error(folder: &Path, reason: impl ToString) -> Error {
    Error {
        place: folder.display().to_string(),
        reason: reason.to_string(),
    }
}

fn written(envelope: &Envelope) -> rusqlite::Result<String> {
    serde_json::to_string(envelope)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn envelope(text: &str) -> rusqlite::Result<Envelope> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

fn now() -> i64 {
    milliseconds_since_1970(SystemTime::now())
}

fn milliseconds_since_1970(at: SystemTime) -> i64 {
    milliseconds(
        at.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn time(milliseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}
