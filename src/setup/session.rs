//! A session that changes the database of somebody else's application: it asks for locks briefly and a few times, and
//! says who is in the way.
//!
//! A statement that queues for a lock makes everyone after it queue too, so waiting long would stop the application.

use std::{fmt, pin::pin, time::Duration};

use tokio::time::timeout;
use tokio_postgres::{Client, error::SqlState};

use super::plan::{Refused, Runs, Step};
use crate::postgres::{address::Address, connect};

/// How long to wait for locks, and when to speak of waiting.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For one try.
    pub lock_timeout: Duration,
    /// Tries; between them others have their turn, for longer each time.
    pub tries: u32,
    /// How long a new slot may wait for running transactions before that is told, and told again when it changes.
    pub quiet: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(2),
            tries: 5,
            quiet: Duration::from_secs(2),
        }
    }
}

/// Why setup or teardown stopped. What was done before stays done, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No session.
    #[error("{0}")]
    Connect(#[from] connect::Error),
    /// A person must change something first.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// A lock was not to be had.
    #[error("{doing}: gave up waiting for a lock that {} holds; end that, or try again at a quieter time", list(.holders))]
    Locked {
        /// What was to be done.
        doing: String,
        /// Who held it last; empty where they came and went too fast to be seen.
        holders: Vec<Holder>,
    },
    /// Postgres refused.
    #[error("{doing}: {told}")]
    Failed {
        /// What was to be done.
        doing: String,
        /// Its words.
        told: String,
    },
}

impl Error {
    pub(super) fn failed(doing: &str, error: &tokio_postgres::Error) -> Self {
        Self::Failed {
            doing: doing.to_owned(),
            told: crate::postgres::told(error),
        }
    }
}

/// Another session that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// `None`: a prepared transaction, which has no session.
    pub pid: Option<i32>,
    /// Its role.
    pub role: Option<String>,
    /// What it calls itself; of a prepared transaction, its name.
    pub application_name: Option<String>,
    /// `active`, `idle in transaction`, …; hidden from roles that may not see it.
    pub state: Option<String>,
}

impl fmt::Display for Holder {
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

fn list(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "somebody".into();
    }
    let all: Vec<_> = holders.iter().map(ToString::to_string).collect();
    all.join(" and ")
}

/// Two connections: one that works, and one that looks at what it waits for.
pub(super) struct Session {
    pub(super) client: Client,
    watcher: Client,
    pid: i32,
    patience: Patience,
}

impl Session {
    pub(super) async fn open(
        address: &Address,
        application_name: &str,
        patience: Patience,
    ) -> Result<Self, Error> {
        let client = address.connect(application_name).await?;
        let watcher = address.connect(application_name).await?;
        let doing = "open a session";
        let failed = |error| Error::failed(doing, &error);
        // A role's statement_timeout is meant for the application. A new slot may have to wait for longer.
        client
            .batch_execute("set statement_timeout = 0; set client_min_messages = warning")
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
            pid,
            patience,
        })
    }

    /// Runs a step to its end. `warn` hears whom a new slot waits for.
    pub(super) async fn run(&self, step: &Step, warn: &(dyn Fn(&str) + Sync)) -> Result<(), Error> {
        match step.runs {
            Runs::InTransaction => {
                let sql = format!("begin;\n{}\ncommit", step.sql);
                self.locking(&step.reason, &sql).await
            }
            Runs::Alone => self.waiting(step, warn).await,
        }
    }

    /// Runs `sql`, which may need locks.
    pub(super) async fn locking(&self, doing: &str, sql: &str) -> Result<(), Error> {
        let limit = self.patience.lock_timeout;
        let sql = format!("set lock_timeout = {};\n{sql}", limit.as_millis());
        let mut holders = Vec::new();
        for attempt in 1..=self.patience.tries {
            let mut trying = pin!(self.client.batch_execute(&sql));
            let tried = loop {
                if let Ok(tried) = timeout(limit / 4, &mut trying).await {
                    break tried;
                }
                // Looked for while we wait: once the try is over, nobody blocks us any more.
                let sql = include_str!("../../sql/catalog/blockers.sql");
                let seen = self.others(sql).await;
                if !seen.is_empty() {
                    holders = seen;
                }
            };
            let Err(error) = tried else { return Ok(()) };
            // The failed transaction is still open; where there is none, this does nothing.
            if let Err(error) = self.client.batch_execute("rollback").await {
                return Err(Error::failed(doing, &error));
            }
            let again = [
                SqlState::LOCK_NOT_AVAILABLE,
                SqlState::T_R_DEADLOCK_DETECTED,
            ];
            if !error.code().is_some_and(|code| again.contains(code)) {
                return Err(Error::failed(doing, &error));
            }
            if attempt < self.patience.tries {
                tokio::time::sleep(limit / 4 * attempt).await;
            }
        }
        Err(Error::Locked {
            doing: doing.to_owned(),
            holders,
        })
    }

    /// Runs a step that waits for others as long as it takes, and tells whom it waits for.
    async fn waiting(&self, step: &Step, warn: &(dyn Fn(&str) + Sync)) -> Result<(), Error> {
        let mut last = Vec::new();
        // Waiting for a transaction to end is waiting for a lock as well, and must not time out here.
        let sql = format!("set lock_timeout = 0;\n{}", step.sql);
        let mut waiting = pin!(self.client.batch_execute(&sql));
        loop {
            if let Ok(done) = timeout(self.patience.quiet, &mut waiting).await {
                return done.map_err(|error| Error::failed(&step.reason, &error));
            }
            let sql = include_str!("../../sql/catalog/writers.sql");
            let holders = self.others(sql).await;
            if !holders.is_empty() && holders != last {
                warn(&format!(
                    "still waiting for {} to commit or roll back: a slot begins when every transaction that was running has ended",
                    list(&holders)
                ));
                last = holders;
            }
        }
    }

    /// Who is in the way. Only for messages, so a failure counts as nobody.
    async fn others(&self, sql: &str) -> Vec<Holder> {
        let rows = match self.watcher.query(sql, &[&self.pid]).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::debug!(%error, "cannot see who is in the way");
                return Vec::new();
            }
        };
        let column = |row: &tokio_postgres::Row, name| row.try_get(name).ok().flatten();
        rows.iter()
            .map(|row| Holder {
                pid: row.try_get("pid").ok().flatten(),
                role: column(row, "role"),
                application_name: column(row, "application_name"),
                state: column(row, "state"),
            })
            .collect()
    }
}
