//! Counters and gauges of a running rowhook. They are counted where things happen, and read by `/metrics`.
//!
//! Counting is a relaxed atomic addition and never waits for a reader. Only what is kept of each hook ([`traffic`],
//! [`standing`]) is behind a lock, which nobody holds for longer than it takes to look an id up.

pub mod histogram;
pub mod standing;
pub mod traffic;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

pub use self::histogram::{BUCKETS, Histogram};

/// All counters and gauges. Counters count from the start of the process.
#[derive(Debug, Default)]
pub struct Meters {
    /// Events that matched at least one hook.
    pub events: AtomicU64,
    /// Attempts that the endpoint accepted. A request with a batch of deliveries is one attempt.
    pub delivered: AtomicU64,
    /// Attempts that were not accepted, whether or not another one follows. A request with a batch of deliveries is one
    /// attempt.
    pub failed: AtomicU64,
    /// Deliveries that were given up and are dead.
    pub dead: AtomicU64,
    /// Deliveries that were parked, which means written to the table to be sent later.
    pub parked: AtomicU64,
    /// Hooks that were disabled because their endpoint is gone or only fails.
    pub disabled: AtomicU64,
    /// Answers to whether the owner of a hook may see a row.
    pub permission: Counts,
    /// Events whose owner could not be found out, so that only hooks of everyone heard them.
    pub owner_unknown: AtomicU64,
    /// Changes that wait at the moment, because the database cannot answer for their table.
    pub changes_waiting: AtomicI64,
    /// Messages in the WAL that were meant for rowhook and could not be used, rows of backfills included.
    pub misunderstood: AtomicU64,
    /// Messages in the WAL that were meant for rowhook, but that none of its functions has written.
    pub doubtful: AtomicU64,
    /// Panics that were caught, by what has panicked.
    pub panics: Panics,
    /// Tables of `[events]` whose changes are not heard as hooks.toml asks for.
    pub table_problems: AtomicI64,
    /// How often another table was found under the name of a table of `[events]`.
    pub tables_replaced: AtomicU64,
    /// Spans that were dropped, because the collector did not take them or there was no room for them.
    pub spans_dropped: AtomicU64,
    /// Circuit breakers that are not closed at the moment.
    pub breakers_open: AtomicI64,
    /// Requests that are being made at the moment.
    pub in_flight: AtomicI64,
    /// The partitions of a cluster that this process sends for.
    pub partitions: AtomicI64,
    /// What the requests of each hook came to in the last hour.
    pub traffic: traffic::Traffic,
    /// What keeps hooks waiting.
    pub standings: standing::Standings,
    /// Questions before a commit, by what came of them.
    pub questions: Questions,
    /// How long questions took to be answered, while their transactions waited.
    pub held: Histogram,
    took: Histogram,
}

/// Counters of the questions that were asked before a commit.
#[derive(Debug, Default)]
pub struct Questions {
    /// Every hook has answered, and none refused.
    pub allowed: AtomicU64,
    /// A hook refused.
    pub refused: AtomicU64,
    /// A hook did not answer, so silence has decided.
    pub silent: AtomicU64,
}

/// Counters of the answers to one question: may this owner see this row?
#[derive(Debug, Default)]
pub struct Counts {
    /// The owner may see the row.
    pub yes: AtomicU64,
    /// The owner may not see the row.
    pub no: AtomicU64,
    /// It could not be found out.
    pub unknown: AtomicU64,
}

/// Counters of the panics that were caught. Each is a bug.
#[derive(Debug, Default)]
pub struct Panics {
    /// Those of the task that carries the deliveries of a hook.
    pub courier: AtomicU64,
    /// Those of matching an event with hooks, or of rendering it.
    pub event: AtomicU64,
    /// Those of checking a row of the hook table.
    pub hook: AtomicU64,
    /// Those of answering a request.
    pub request: AtomicU64,
    /// Those of anything else that an attached session does.
    pub session: AtomicU64,
}

impl Meters {
    /// Counts an attempt that has ended, accepted or not.
    pub fn attempted(&self, delivered: bool, took: Duration) {
        let counter = if delivered {
            &self.delivered
        } else {
            &self.failed
        };
        counter.fetch_add(1, Relaxed);
        self.took.add(took);
    }

    /// How long attempts took.
    pub fn took(&self) -> &Histogram {
        &self.took
    }

    /// Raises a gauge by one until the returned guard is dropped.
    pub fn going_on(self: &Arc<Self>, gauge: fn(&Self) -> &AtomicI64) -> Going {
        gauge(self).fetch_add(1, Relaxed);
        Going {
            meters: Arc::clone(self),
            gauge,
        }
    }
}

/// Keeps a gauge raised by one until it is dropped.
#[derive(Debug)]
pub struct Going {
    meters: Arc<Meters>,
    gauge: fn(&Meters) -> &AtomicI64,
}

impl Drop for Going {
    fn drop(&mut self) {
        (self.gauge)(&self.meters).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_counted_until_it_ends() {
        let meters = Arc::new(Meters::default());
        let going = meters.going_on(|meters| &meters.in_flight);
        assert_eq!(meters.in_flight.load(Relaxed), 1);
        drop(going);
        assert_eq!(meters.in_flight.load(Relaxed), 0);
    }
}
