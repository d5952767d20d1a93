//! Figures of what a running rowhook does, counted where it happens and read by whoever watches it.
//!
//! Counting is a relaxed addition; nobody waits for a reader.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    delivery::{ledger::Ledger, memory_budget::MemoryBudget},
    lock::lock,
    postgres::Lsn,
    setup::catalog::Slot,
};

/// The upper bounds of the histogram of attempts, in seconds.
pub const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0,
];

/// So few bytes of WAL are nothing that waits: where nothing happens, they are not worth a confirmation.
const IDLE: i64 = 64 << 10;

/// All figures.
#[derive(Debug, Default)]
pub struct Meters {
    /// Events that some hook heard.
    pub events: AtomicU64,
    /// Attempts that were accepted.
    pub delivered: AtomicU64,
    /// Attempts that were not, and after which there is another.
    pub failed: AtomicU64,
    /// Deliveries that were given up.
    pub dead: AtomicU64,
    /// Deliveries that were parked.
    pub parked: AtomicU64,
    /// Hooks that were disabled.
    pub disabled: AtomicU64,
    /// Whether owners might see rows, when they were asked about.
    pub permission: Counts,
    /// Messages of SQL that were no events.
    pub misunderstood: AtomicU64,
    /// Spans that were not sent.
    pub spans_dropped: AtomicU64,
    /// Endpoints that are left alone for a while, now.
    pub breakers_open: AtomicI64,
    /// Requests that are being made, now.
    pub in_flight: AtomicI64,
    took: Histogram,
    state: Mutex<State>,
}

/// How often there was which answer, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// May see it.
    pub yes: AtomicU64,
    /// May not.
    pub no: AtomicU64,
    /// Nobody could tell.
    pub unknown: AtomicU64,
}

/// How long attempts took.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    link: Link,
    /// Said of the slot that nothing is confirmed although there is much to confirm.
    stalled: bool,
    slot: Option<Slot>,
    /// Where the WAL ended, and when that was looked at; what is confirmed since is dropped.
    ends: VecDeque<(Lsn, Instant)>,
    life: Option<Life>,
}

/// What lives as long as a server with one past.
#[derive(Debug)]
struct Life {
    ledger: Ledger,
    memory: MemoryBudget,
}

/// How rowhook is connected to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// It has not been yet, or not since something went wrong.
    #[default]
    Down,
    /// Another rowhook has the slot, and we wait for it to be free.
    Standby,
    /// Changes are read.
    Attached,
}

impl Link {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "not attached",
            Self::Standby => "standby",
            Self::Attached => "attached",
        }
    }
}

/// What is true just now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Now {
    /// How rowhook is connected.
    pub link: Link,
    /// Nothing has been confirmed for long.
    pub stalled: bool,
    /// Bytes of WAL that are not confirmed.
    pub lag_bytes: Option<i64>,
    /// For how long the oldest of those have been written.
    pub lag: Duration,
    /// Bytes of WAL that may be written before the slot is lost.
    pub safe_wal_bytes: Option<i64>,
    /// The confirmed LSN.
    pub confirmed: Option<Lsn>,
    /// Deliveries of the stream that are not settled.
    pub unsettled: u64,
    /// Bytes of the memory budget that are taken, and how many there are.
    pub memory: (usize, usize),
}

impl Meters {
    /// An attempt has ended.
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

    /// Counts one more of something that is going on, until what it returns is dropped.
    pub fn going_on(self: &Arc<Self>, gauge: fn(&Self) -> &AtomicI64) -> Going {
        gauge(self).fetch_add(1, Relaxed);
        Going {
            meters: Arc::clone(self),
            gauge,
        }
    }

    /// A new life has begun: this is its ledger, and its memory.
    pub fn live(&self, ledger: &Ledger, memory: MemoryBudget) {
        self.state().life = Some(Life {
            ledger: ledger.clone(),
            memory,
        });
    }

    /// How rowhook is connected, from now on.
    pub fn link(&self, link: Link) {
        self.state().link = link;
    }

    /// The slot has been looked at. `stalled`: it does not move although it should.
    pub fn looked(&self, slot: Slot, stalled: bool, now: Instant) {
        let mut state = self.state();
        let unsettled = state
            .life
            .as_ref()
            .map_or(0, |life| life.ledger.unsettled());
        if slot.lag.is_some_and(|lag| lag <= IDLE) && unsettled == 0 {
            state.ends.clear();
        } else if let (Some(confirmed), Some(lag)) = (slot.confirmed, slot.lag) {
            let end = Lsn(confirmed.0.saturating_add_signed(lag));
            state.ends.retain(|(end, _)| *end > confirmed);
            if end > confirmed && state.ends.back().is_none_or(|(last, _)| *last < end) {
                state.ends.push_back((end, now));
            }
        }
        state.stalled = stalled;
        state.slot = Some(slot);
    }

    /// What is true just now.
    pub fn now(&self, now: Instant) -> Now {
        let state = self.state();
        let slot = state.slot.as_ref();
        let life = state.life.as_ref();
        let oldest = state.ends.front().map(|(_, since)| now - *since);
        Now {
            link: state.link,
            stalled: state.stalled,
            lag_bytes: slot.and_then(|slot| slot.lag),
            lag: oldest.unwrap_or_default(),
            safe_wal_bytes: slot.and_then(|slot| slot.safe_wal_size),
            confirmed: slot.and_then(|slot| slot.confirmed),
            unsettled: life.map_or(0, |life| life.ledger.unsettled()),
            memory: life.map_or((0, 0), |life| life.memory.used()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Something that goes on until this is dropped.
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

impl Histogram {
    fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BUCKETS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = self.counts.get(at.unwrap_or(BUCKETS.len())) {
            count.fetch_add(1, Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// For each bound, how many took no longer; then how many there were, and how many seconds in all.
    pub fn cumulated(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut sum = 0;
        let bounds = BUCKETS.iter().zip(&self.counts).map(|(bound, count)| {
            sum += count.load(Relaxed);
            (*bound, sum)
        });
        let bounds: Vec<(f64, u64)> = bounds.collect();
        let beyond = self.counts[BUCKETS.len()].load(Relaxed);
        let seconds = self.micros.load(Relaxed) as f64 / 1e6;
        (bounds, sum + beyond, seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(confirmed: u64, lag: i64) -> Slot {
        Slot {
            kind: "logical".into(),
            plugin: None,
            database: None,
            temporary: false,
            active_pid: None,
            application_name: None,
            wal_status: None,
            invalidation_reason: None,
            confirmed: Some(Lsn(confirmed)),
            safe_wal_size: None,
            lag: Some(lag),
        }
    }

    #[test]
    fn the_lag_in_seconds_is_the_age_of_the_oldest_wal_that_is_not_confirmed() {
        let meters = Meters::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        meters.looked(slot(100, 0), false, after(0));
        assert_eq!(meters.now(after(1)).lag, Duration::ZERO);
        meters.looked(slot(100, 500_000), false, after(5));
        meters.looked(slot(100, 900_000), false, after(10));
        assert_eq!(meters.now(after(12)).lag, Duration::from_secs(7));
        meters.looked(slot(500_100, 400_000), false, after(15));
        assert_eq!(meters.now(after(15)).lag, Duration::from_secs(5));
        meters.looked(slot(900_100, 10_000), false, after(20));
        assert_eq!(meters.now(after(25)).lag, Duration::ZERO);
    }

    #[test]
    fn a_histogram_cumulates_and_what_goes_on_is_counted_until_it_ends() {
        let meters = Arc::new(Meters::default());
        meters.attempted(true, Duration::from_micros(500));
        meters.attempted(false, Duration::from_millis(30));
        meters.attempted(false, Duration::from_secs(60));
        let (bounds, count, seconds) = meters.took().cumulated();
        assert_eq!(
            (bounds[0], bounds[4], bounds[5]),
            ((0.001, 1), (0.025, 1), (0.05, 2))
        );
        assert_eq!((bounds[11].1, count), (2, 3));
        assert!((seconds - 60.0305).abs() < 1e-6);
        let going = meters.going_on(|meters| &meters.in_flight);
        assert_eq!(meters.in_flight.load(Relaxed), 1);
        drop(going);
        assert_eq!(meters.in_flight.load(Relaxed), 0);
    }
}
