//! The databases of one process: each is followed by a task of its own, and none of them waits for another.
//!
//! A database that a person must act for is set aside, and tried again from time to time: what was done about it is
//! found without a word to this process. The process has nothing left to do when all of them are set aside.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Error, anyhow};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::{Options, health::Health, run};
use crate::{backoff::Backoff, config::Config, panics::caught};

/// How long to wait before a database is tried again that was set aside.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// All databases that are followed.
pub struct Fleet {
    runs: HashMap<Option<String>, Run>,
    /// Runs of databases that are not followed any more, which finish what they have in hand.
    leaving: Vec<JoinHandle<()>>,
    report: UnboundedSender<SetAside>,
    reports: UnboundedReceiver<SetAside>,
    /// The number of the next run.
    next: u64,
}

/// A database that is followed.
struct Run {
    number: u64,
    stop: CancellationToken,
    task: JoinHandle<()>,
    health: Arc<Health>,
    /// The last error that it was set aside for.
    error: Option<Error>,
}

/// A person must act for a database.
struct SetAside {
    database: Option<String>,
    run: u64,
    error: Error,
}

impl Default for Fleet {
    fn default() -> Self {
        let (report, reports) = unbounded_channel();
        Self {
            runs: HashMap::new(),
            leaving: Vec::new(),
            report,
            reports,
            next: 0,
        }
    }
}

impl Fleet {
    /// Follows these databases from now on, and no others. Each that is followed already is stopped, and followed anew
    /// as soon as what it had in hand is finished; none waits for another one.
    pub fn follow(&mut self, databases: impl IntoIterator<Item = (Arc<Config>, Options)>) {
        let mut before = std::mem::take(&mut self.runs);
        before.values().for_each(|run| run.stop.cancel());
        for (config, options) in databases {
            let number = self.next;
            self.next += 1;
            let stop = options.stop.child_token();
            let health = Arc::clone(&options.health);
            let options = Options {
                stop: stop.clone(),
                ..options
            };
            let database = config.name.clone();
            let report = self.report.clone();
            let old = before.remove(&database);
            let task = async move {
                if let Some(old) = old {
                    // It returns nothing, and panics are caught in it.
                    let _ = old.task.await;
                    tracing::info!(config = %config.path.display(), "reloaded");
                }
                keep_running(&config, &options, number, &report).await;
            };
            let span = match &database {
                Some(name) => tracing::error_span!("run", database = %name),
                None => Span::none(),
            };
            let run = Run {
                number,
                stop,
                task: tokio::spawn(task.instrument(span)),
                health,
                error: None,
            };
            self.runs.insert(database, run);
        }
        self.leaving.retain(|task| !task.is_finished());
        self.leaving
            .extend(before.into_values().map(|run| run.task));
    }

    /// Waits until every database is set aside, and returns the errors.
    pub async fn until_all_are_set_aside(&mut self) -> Error {
        loop {
            // The fleet itself holds a sender, so the channel does not end.
            let Some(SetAside {
                database,
                run,
                error,
            }) = self.reports.recv().await
            else {
                return std::future::pending().await;
            };
            // What an earlier run says is of no use any more.
            if let Some(of) = self.runs.get_mut(&database).filter(|of| of.number == run) {
                of.error = Some(error);
            }
            if self.runs.values().all(Run::is_set_aside) {
                return self.errors();
            }
        }
    }

    /// Stops all, and returns when each has finished what it had in hand, within its grace period.
    pub async fn stop(&mut self) {
        let runs = std::mem::take(&mut self.runs);
        runs.values().for_each(|run| run.stop.cancel());
        let stopping = runs.into_values().map(|run| run.task);
        for task in stopping.chain(self.leaving.drain(..)) {
            // It returns nothing, and panics are caught in it.
            let _ = task.await;
        }
    }

    /// The errors of all that are set aside, each after the name of its database.
    fn errors(&mut self) -> Error {
        let errors = self.runs.iter_mut();
        let errors = errors.filter_map(|(name, run)| Some((name.clone(), run.error.take()?)));
        let mut errors: Vec<_> = errors.collect();
        errors.sort_by(|(one, _), (other, _)| one.cmp(other));
        if errors.len() == 1
            && let Some((None, error)) = errors.pop_if(|(name, _)| name.is_none())
        {
            return error;
        }
        let told = errors.iter().map(|(name, error)| {
            let name = name.as_deref().unwrap_or_default();
            format!("database {name}: {error:#}")
        });
        let told: Vec<String> = told.collect();
        anyhow!("{}", told.join("\n"))
    }
}

impl Run {
    fn is_set_aside(&self) -> bool {
        self.error.is_some() && self.health.is_set_aside()
    }
}

/// Runs until it is time to stop. Where a person must act, that is reported, and it is tried again later.
async fn keep_running(
    config: &Config,
    options: &Options,
    number: u64,
    report: &UnboundedSender<SetAside>,
) {
    let mut failures = 0;
    let mut told = String::new();
    loop {
        let ended = caught(run(config, options)).await;
        let error = match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => {
                options.meters.panics.session.fetch_add(1, Relaxed);
                panic.into()
            }
        };
        // One that was attached meanwhile has failed anew.
        failures = if options.health.is_set_aside() {
            failures + 1
        } else {
            1
        };
        let text = format!("{error:#}");
        options.health.set_aside(&text);
        let pause = PAUSES.pause(failures);
        let gist = gist(&text);
        if let Some(name) = &config.name
            && (gist != told || failures == 1)
        {
            tracing::error!(
                retry_in = ?pause,
                "set aside until this is mended, with --database {name} in commands; other databases go on: {text}"
            );
            told = gist;
        }
        // If nobody listens, the process is about to end.
        let _ = report.send(SetAside {
            database: config.name.clone(),
            run: number,
            error,
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = options.stop.cancelled() => return,
        }
    }
}

/// What is the same each time that an error is met again: the end of the WAL moves on, and stands in some.
fn gist(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_hexdigit()).collect()
}
