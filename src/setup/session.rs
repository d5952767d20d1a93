//! A session that changes the database of a running application. It waits for locks briefly, tries a few times, and
//! says which sessions hold them.
//!
//! A statement that waits for a lock makes all later ones on the table wait too, so waiting long would stop the
//! application.

use std::{fmt, pin::pin, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, Row, error::SqlState};

use super::plan::{
    problem::Refused,
    step::{Runs, Step},
};
use crate::{
    config::Database,
    postgres::{Lsn, address::Address, connect, error_message, replication::Connection},
};

/// The interval at which it is looked whether the standby has come to the end of the primary's WAL, and at which the
/// primary is asked to note for it which transactions run.
const STANDBY_INTERVAL: Duration = Duration::from_millis(200);

/// `lock_timeout` in milliseconds where several tables are locked at once: an application that locks them in another
/// order gets all of them before its `deadlock_timeout`, which is a second by default.
const AT_ONCE: u32 = 100;

/// How many times as often a lock is tried for that is waited for only as long.
const MORE_TRIES: u32 = 8;

/// How long to wait for locks, and when to report waiting.
#[derive(Debug, Clone, Copy)]
pub struct LockPolicy {
    /// `lock_timeout` of one try.
    pub lock_timeout: Duration,
    /// The number of tries. The pauses between them, which let other sessions run, grow each time.
    pub tries: u32,
    /// How long a new slot may wait for running transactions before these are reported, and again after they change.
    pub report_after: Duration,
}

impl Default for LockPolicy {
    /// Many short tries: whoever asks for a table after us waits behind us, even to read it. And Postgres ends one of
    /// two that wait for each other after `deadlock_timeout`, a second by default, which must not be the application.
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_millis(250),
            tries: 20,
            report_after: Duration::from_secs(2),
        }
    }
}

/// Why setup or teardown stopped. What was done before stays done, and the next run continues from there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection could not be opened.
    #[error(transparent)]
    Connect(#[from] connect::Error),
    /// A person must change something first.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A lock could not be acquired.
    #[error("{action}: gave up waiting for a lock that {} holds; end that, or try again at a quieter time", list(.blockers))]
    Locked {
        /// What was being done.
        action: String,
        /// The sessions that held the lock last; empty if they came and went too fast to be seen.
        blockers: Vec<Blocker>,
    },
    /// A table was dropped, renamed or published by somebody else after the catalog was read.
    #[error("{action}: {message}; somebody else changed it at the same time")]
    Overtaken {
        /// What was being done.
        action: String,
        /// The message of Postgres.
        message: String,
    },
    /// Postgres refused a statement.
    #[error("{action}: {message}")]
    Failed {
        /// What was being done.
        action: String,
        /// The message of Postgres.
        message: String,
    },
}

impl Error {
    pub(super) fn failed(action: &str, error: &tokio_postgres::Error) -> Self {
        let action = action.to_owned();
        let message = error_message(error);
        match error.code() {
            Some(
                &SqlState::UNDEFINED_TABLE
                | &SqlState::UNDEFINED_OBJECT
                | &SqlState::DUPLICATE_OBJECT
                | &SqlState::INVALID_SCHEMA_NAME
                | &SqlState::INTERNAL_ERROR,
            ) => Self::Overtaken { action, message },
            _ => Self::Failed { action, message },
        }
    }
}

/// A session or prepared transaction that others wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// The process id of the session; `None` for a prepared transaction.
    pub pid: Option<i32>,
    /// Its role.
    pub role: Option<String>,
    /// The application_name of a session, or the name of a prepared transaction.
    pub application_name: Option<String>,
    /// The state of the session, such as `active` or `idle in transaction`; `None` if the role may not see it.
    pub state: Option<String>,
}

impl Blocker {
    /// From a row of sql/catalog/blockers.sql or writers.sql. What cannot be read is only missing in a message.
    pub(super) fn of_row(row: &Row) -> Self {
        let text = |name| row.try_get(name).ok().flatten();
        Self {
            pid: row.try_get("pid").ok().flatten(),
            role: text("role"),
            application_name: text("application_name"),
            state: text("state"),
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.application_name.as_deref().unwrap_or_default();
        match self.pid {
            Some(pid) => write!(f, "pid {pid}")?,
            None => write!(f, "prepared transaction {name}")?,
        }
        let shown = self.pid.is_some();
        let details: Vec<&str> = [
            Some(name).filter(|_| shown),
            self.role.as_deref(),
            self.state.as_deref().filter(|_| shown),
        ]
        .into_iter()
        .flatten()
        .filter(|detail| !detail.is_empty())
        .collect();
        if details.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", details.join(", "))
    }
}

fn list(blockers: &[Blocker]) -> String {
    if blockers.is_empty() {
        return "somebody".into();
    }
    let all: Vec<_> = blockers.iter().map(ToString::to_string).collect();
    all.join(" and ")
}

/// Two connections to one database: one runs the statements, and the other finds out what they wait for.
pub(super) struct DdlSession {
    pub(super) client: Client,
    watcher: Client,
    /// One to the standby that changes are read from, if they are read from one.
    pub(super) standby: Option<Client>,
    /// Where the slot is.
    source: Address,
    pid: i32,
    policy: LockPolicy,
}

impl DdlSession {
    pub(super) async fn open(
        database: &Database,
        application_name: &str,
        policy: LockPolicy,
    ) -> Result<Self, Error> {
        let address = &database.address;
        let client = address.connect(application_name).await?;
        let watcher = address.connect(application_name).await?;
        let action = "open a session";
        let failed = |error| Error::failed(action, &error);
        client
            .batch_execute("set client_min_messages = warning")
            .await
            .map_err(failed)?;
        let pid = client
            .query_one("select pg_backend_pid()", &[])
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed)?;
        Ok(Self {
            client,
            watcher,
            standby: database.connect_standby(application_name).await?,
            source: database.source().clone(),
            pid,
            policy,
        })
    }

    /// The session with the server that the slot is on.
    pub(super) fn at_source(&self) -> &Client {
        self.standby.as_ref().unwrap_or(&self.client)
    }

    /// Runs a step. `warn` is called with the transactions that a new slot waits for.
    pub(super) async fn run(&self, step: &Step, warn: &(dyn Fn(&str) + Sync)) -> Result<(), Error> {
        match step.runs {
            Runs::InTransaction | Runs::Together => {
                let sql = format!("begin;\n{}\ncommit", step.sql);
                self.run_locking(&step.reason, &sql).await
            }
            Runs::Unnoticed => {
                let sql = format!("begin;\n{}\ncommit", step.sql);
                let policy = LockPolicy {
                    lock_timeout: Duration::from_millis(AT_ONCE.into()),
                    tries: self.policy.tries * MORE_TRIES,
                    ..self.policy
                };
                self.run_locking_as(policy, &step.reason, &sql).await
            }
            Runs::AtSource => match &self.standby {
                Some(standby) => self.run_at_standby(standby, step, warn).await,
                None => self.run_waiting(step, warn).await,
            },
            Runs::AsReplication => self.run_replicating(step).await,
        }
    }

    /// Runs steps in one transaction, if nobody is in the way of any of them. Returns whether it did; if not, nothing
    /// was done.
    pub(super) async fn run_together(&self, steps: &[Step]) -> bool {
        let mut sql = format!("set lock_timeout = {AT_ONCE};\nbegin;\n");
        sql.extend(steps.iter().map(|step| step.sql.as_str()));
        sql.push_str("\ncommit");
        let Err(error) = self.client.batch_execute(&sql).await else {
            return true;
        };
        tracing::debug!(%error, "the steps are taken one by one");
        if let Err(error) = self.client.batch_execute("rollback").await {
            tracing::debug!(%error, "the session is lost, as the next step will say");
        }
        false
    }

    /// Runs a command of the replication protocol.
    async fn run_replicating(&self, step: &Step) -> Result<(), Error> {
        let name = self.source.stream_name();
        let mut connection =
            Connection::open(&self.source, name, &connect::session::of_stream()).await?;
        let done = connection.command(step.sql.trim_end()).await;
        done.map_err(|failure| Error::Failed {
            action: step.reason.clone(),
            message: failure.to_string(),
        })
    }

    /// Runs `sql`, which may need locks, under the lock policy.
    pub(super) async fn run_locking(&self, action: &str, sql: &str) -> Result<(), Error> {
        self.run_locking_as(self.policy, action, sql).await
    }

    async fn run_locking_as(
        &self,
        policy: LockPolicy,
        action: &str,
        sql: &str,
    ) -> Result<(), Error> {
        let limit = policy.lock_timeout;
        let sql = format!("set lock_timeout = {};\n{sql}", limit.as_millis());
        let mut blockers = Vec::new();
        for attempt in 1..=policy.tries {
            let mut trying = pin!(self.client.batch_execute(&sql));
            let tried = loop {
                if let Ok(tried) = timeout(limit / 4, &mut trying).await {
                    break tried;
                }
                // Looked for during the wait: once the try is over, nothing blocks this session.
                let sql = include_str!("../../sql/catalog/blockers.sql");
                let seen = self.blocking(sql).await;
                if !seen.is_empty() {
                    blockers = seen;
                }
            };
            let Err(error) = tried else { return Ok(()) };
            // If `sql` began a transaction, it is still open. If not, this does nothing.
            if let Err(error) = self.client.batch_execute("rollback").await {
                return Err(Error::failed(action, &error));
            }
            let again = [
                SqlState::LOCK_NOT_AVAILABLE,
                SqlState::T_R_DEADLOCK_DETECTED,
            ];
            if !error.code().is_some_and(|code| again.contains(code)) {
                return Err(Error::failed(action, &error));
            }
            if attempt < policy.tries {
                tokio::time::sleep(limit / 4 * attempt).await;
            }
        }
        Err(Error::Locked {
            action: action.to_owned(),
            blockers,
        })
    }

    /// Runs a step that waits for other transactions for as long as it takes, and warns which they are.
    async fn run_waiting(&self, step: &Step, warn: &(dyn Fn(&str) + Sync)) -> Result<(), Error> {
        let mut last = Vec::new();
        // Postgres waits for a transaction by waiting for its lock, which must not time out here.
        let sql = format!("set lock_timeout = 0;\n{}", step.sql);
        let mut waiting = pin!(self.client.batch_execute(&sql));
        loop {
            if let Ok(done) = timeout(self.policy.report_after, &mut waiting).await {
                return done.map_err(|error| Error::failed(&step.reason, &error));
            }
            self.warn_of_writers(&mut last, warn).await;
        }
    }

    /// Warns which transactions a new slot waits for, unless these are the `last` that were warned of.
    async fn warn_of_writers(&self, last: &mut Vec<Blocker>, warn: &(dyn Fn(&str) + Sync)) {
        let blockers = self
            .blocking(include_str!("../../sql/catalog/writers.sql"))
            .await;
        if !blockers.is_empty() && blockers != *last {
            warn(&format!(
                "still waiting for {} to commit or roll back: a slot begins when every transaction that was running has ended",
                list(&blockers)
            ));
            *last = blockers;
        }
    }

    /// Runs a step on the standby, when that has replayed everything up to now: a slot must be younger than its
    /// publications. A new slot waits there until the primary notes in the WAL which transactions run, and an idle
    /// primary does that only when it is asked.
    async fn run_at_standby(
        &self,
        standby: &Client,
        step: &Step,
        warn: &(dyn Fn(&str) + Sync),
    ) -> Result<(), Error> {
        let failed = |error| Error::failed(&step.reason, &error);
        self.until_replayed(standby, &step.reason, warn).await?;
        let sql = format!("set lock_timeout = 0;\n{}", step.sql);
        let mut waiting = pin!(standby.batch_execute(&sql));
        let (begun, mut last, mut may_ask) = (Instant::now(), Vec::new(), true);
        loop {
            if let Ok(done) = timeout(STANDBY_INTERVAL, &mut waiting).await {
                return done.map_err(failed);
            }
            let asked = self
                .watcher
                .query("select pg_log_standby_snapshot()", &[])
                .await;
            if let (Err(error), true) = (asked, may_ask) {
                may_ask = false;
                warn(&format!(
                    "the primary notes every 15 s at most which transactions run, which the slot waits for, because it refuses to do it at once ({}); run there: grant execute on function pg_log_standby_snapshot() to this role",
                    error_message(&error)
                ));
            }
            if begun.elapsed() > self.policy.report_after {
                self.warn_of_writers(&mut last, warn).await;
            }
        }
    }

    /// Waits until the standby has replayed what the primary has written so far.
    async fn until_replayed(
        &self,
        standby: &Client,
        action: &str,
        warn: &(dyn Fn(&str) + Sync),
    ) -> Result<(), Error> {
        let failed = |error| Error::failed(action, &error);
        let end = "select pg_current_wal_flush_lsn()::text";
        let row = self.client.query_one(end, &[]).await;
        let end: String = row.and_then(|row| row.try_get(0)).map_err(failed)?;
        let replayed = "select pg_last_wal_replay_lsn()::text where pg_is_in_recovery()";
        let (begun, mut warned) = (Instant::now(), false);
        loop {
            let row = standby.query_opt(replayed, &[]).await.map_err(failed)?;
            let at: Option<String> = row
                .map(|row| row.try_get(0))
                .transpose()
                .map_err(failed)?
                .flatten();
            // It was promoted where there is none.
            let Some(at) = at else { return Ok(()) };
            let positions = at.parse::<Lsn>().ok().zip(end.parse::<Lsn>().ok());
            if positions.is_none_or(|(at, end)| at >= end) {
                return Ok(());
            }
            if begun.elapsed() > self.policy.report_after && !warned {
                warned = true;
                warn(&format!(
                    "still waiting for the standby to replay the WAL of the primary up to {end}; it is at {at}"
                ));
            }
            sleep(STANDBY_INTERVAL).await;
        }
    }

    /// The sessions that block the other connection. If they cannot be read, none: they are only needed for messages.
    async fn blocking(&self, sql: &str) -> Vec<Blocker> {
        let rows = match self.watcher.query(sql, &[&self.pid]).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::debug!(%error, "cannot see who is in the way");
                return Vec::new();
            }
        };
        rows.iter().map(Blocker::of_row).collect()
    }
}
