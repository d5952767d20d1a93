//! What the demo prints live: row change → event → hooks → answer, with the time since the commit.

use std::{
    io::{IsTerminal, stdout},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::sync::broadcast::{Receiver, error::RecvError, error::TryRecvError};

use super::receivers::{Receivers, latency};
use crate::{change::Change, journal::Entry, payload::operation, postgres::tuple::Value};

/// Prints the entries of the journal, and counts them.
pub(super) struct Account<'a> {
    entries: Receiver<Entry>,
    receivers: &'a Receivers,
    started: Instant,
    colour: bool,
    events: u64,
    deliveries: u64,
    /// Attempts that failed and are tried again.
    retried: u64,
    /// Requests to an endpoint that is gone.
    gone: u64,
    /// Deliveries that were accepted although their signature was not verified.
    unverified: u64,
    latencies: Vec<Duration>,
}

impl<'a> Account<'a> {
    /// Counts from what happens next. `started` is when the demo began.
    pub(super) fn new(
        entries: Receiver<Entry>,
        receivers: &'a Receivers,
        started: Instant,
    ) -> Self {
        Self {
            entries,
            receivers,
            started,
            colour: stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            events: 0,
            deliveries: 0,
            retried: 0,
            gone: 0,
            unverified: 0,
            latencies: Vec::new(),
        }
    }

    /// Prints entries as they come, until the journal is closed.
    pub(super) async fn follow(&mut self) {
        loop {
            match self.entries.recv().await {
                Ok(entry) => self.print(&entry),
                Err(RecvError::Lagged(missed)) => println!("  … {missed} entries went by too fast"),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Prints the entries that have come and are not printed yet.
    pub(super) fn catch_up(&mut self) {
        loop {
            match self.entries.try_recv() {
                Ok(entry) => self.print(&entry),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn print(&mut self, entry: &Entry) {
        match entry {
            Entry::Matched { event, hooks } => {
                self.events += 1;
                let hooks: Vec<String> = hooks.iter().map(ToString::to_string).collect();
                let change = event.change().map_or("message".into(), describe);
                println!(
                    "{} → {} → hooks {}",
                    self.paint("36", &change),
                    self.paint("1", &event.name),
                    hooks.join(", ")
                );
            }
            Entry::Attempted {
                id,
                event,
                hook,
                target,
                answer,
                delivered,
                commit_time,
                ..
            } => {
                let name = target.rsplit('/').next().unwrap_or_default();
                let (mark, rest) = match (delivered, self.receivers.verified_at(id)) {
                    (true, Some(arrived_at)) => {
                        if self.deliveries == 0 {
                            let elapsed = self.started.elapsed().as_secs_f64();
                            println!("    the first webhook, {elapsed:.1} s after the start:");
                        }
                        let latency = latency(*commit_time, arrived_at);
                        self.deliveries += 1;
                        self.latencies.push(latency);
                        (
                            self.paint("32", "✓"),
                            format!(
                                "signature verified, {:.1} ms after the commit",
                                millis(latency)
                            ),
                        )
                    }
                    (true, None) => {
                        self.unverified += 1;
                        (
                            self.paint("31", "✗"),
                            "delivered, but its signature was not verified".to_owned(),
                        )
                    }
                    (false, _) if answer.starts_with("410") => {
                        self.gone += 1;
                        (
                            self.paint("31", "■"),
                            "the endpoint is gone, so its hook is disabled".to_owned(),
                        )
                    }
                    (false, _) => {
                        self.retried += 1;
                        (self.paint("33", "↻"), "it will be tried again".to_owned())
                    }
                };
                println!("    {mark} {event} to {name} (hook {hook}): {answer}, {rest}");
            }
        }
    }

    /// Prints the figures.
    ///
    /// # Errors
    /// When nothing was delivered, or a request came without a good signature.
    pub(super) fn sum_up(mut self, changes: u64) -> Result<()> {
        self.latencies.sort_unstable();
        let at = |share: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "an index within the list"
            )]
            let index = ((self.latencies.len() as f64 - 1.0).max(0.0) * share) as usize;
            self.latencies.get(index).copied().map_or(0.0, millis)
        };
        println!(
            "\n{changes} changes → {} events → {} deliveries, all answered and with verified signatures; {} requests were tried again, and {} went to an endpoint that is gone.",
            self.events, self.deliveries, self.retried, self.gone
        );
        println!(
            "From commit to receiver: median {:.1} ms, 99 % within {:.1} ms, longest {:.1} ms (with the retries).",
            at(0.5),
            at(0.99),
            at(1.0)
        );
        let refused = self.receivers.refused();
        ensure!(
            refused == 0 && self.unverified == 0,
            "{} requests had no good signature",
            refused + self.unverified
        );
        ensure!(self.deliveries > 0, "nothing was delivered");
        Ok(())
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A change in a few words.
fn describe(change: &Change) -> String {
    let text = |column: &str| {
        let at = change.relation.column(column)?;
        match change.shown()?.tuple().get(at)? {
            Value::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Value::Null | Value::Unchanged => None,
        }
    };
    let name = text("title").or_else(|| text("label")).unwrap_or_default();
    format!(
        "{} {} {} {name:?}",
        operation(&change.row),
        change.relation.name,
        text("id").unwrap_or_default()
    )
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
