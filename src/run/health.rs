//! How rowhook is attached: what `/readyz`, `/metrics` and the status page show of the stream and its slot.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    before::asker::Asker,
    delivery::{ledger::Ledger, memory_budget::MemoryBudget},
    hook::HookId,
    postgres::Lsn,
    setup::catalog::Slot,
};

/// Up to this many bytes of unconfirmed WAL are no lag: in an idle database they are not worth a confirmation.
const IDLE: i64 = 64 << 10;

/// How rowhook is attached. A run writes it; the server and the console read it.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    link: Link,
    /// Nothing has been confirmed for long although there is much to confirm.
    stalled: bool,
    /// Why a person must act before this database is followed again.
    set_aside: Option<String>,
    slot: Option<Slot>,
    /// Where the WAL ended each time the slot was read, and when that was. Ends that have been confirmed are dropped.
    ends: VecDeque<(Lsn, Instant)>,
    sources: Option<Sources>,
    asker: Option<Arc<Asker>>,
}

/// What the figures are read from.
#[derive(Debug)]
struct Sources {
    ledger: Ledger,
    memory: MemoryBudget,
}

/// How rowhook is connected to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// It is not connected: it has not been yet, or the last session has ended.
    #[default]
    Down,
    /// Another rowhook holds the slot, and this one waits until it is free.
    Standby,
    /// Changes are read.
    Attached,
    /// It sends for a cluster, and never reads.
    Sending,
}

impl Link {
    /// For people to read: `not attached`, `standby`, `attached` or `sending`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "not attached",
            Self::Standby => "standby",
            Self::Attached => "attached",
            Self::Sending => "sending",
        }
    }
}

/// The state of the attachment at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Now {
    /// How rowhook is connected.
    pub link: Link,
    /// Nothing has been confirmed for long although there is much to confirm.
    pub stalled: bool,
    /// Why a person must act before the database is followed again.
    pub set_aside: Option<String>,
    /// Bytes of WAL that are not confirmed; `None`: not known.
    pub lag_bytes: Option<i64>,
    /// How long ago the oldest WAL was written that is not confirmed.
    pub lag: Duration,
    /// Bytes of WAL that may be written before the slot is lost; `None`: no limit, or not known.
    pub safe_wal_bytes: Option<i64>,
    /// The LSN that the slot has confirmed; `None`: not known.
    pub confirmed: Option<Lsn>,
    /// Deliveries of the stream that are neither delivered nor on record.
    pub unsettled: u64,
    /// The hook of the one that has been unsettled for longest, and for how long; `None` where all are settled.
    pub oldest: Option<(HookId, Duration)>,
    /// Bytes of the memory budget that are taken, and all that there are.
    pub memory: (usize, usize),
}

impl Health {
    /// Reads figures from this ledger and this memory budget from now on.
    pub fn observe(&self, ledger: &Ledger, memory: MemoryBudget) {
        self.state().sources = Some(Sources {
            ledger: ledger.clone(),
            memory,
        });
    }

    /// Shows who asks endpoints before something is done.
    pub fn show_asker(&self, asker: Option<Arc<Asker>>) {
        self.state().asker = asker;
    }

    /// Who asks endpoints before something is done; `None`: no run has begun, or hooks.toml has no such events.
    pub fn asker(&self) -> Option<Arc<Asker>> {
        self.state().asker.clone()
    }

    /// Sets how rowhook is connected.
    pub fn set_link(&self, link: Link) {
        let mut state = self.state();
        state.link = link;
        if link != Link::Down {
            state.set_aside = None;
        }
    }

    /// Records that a person must act before this database is followed again. Over when it is attached, or stands by.
    pub fn set_aside(&self, reason: &str) {
        self.state().set_aside = Some(reason.to_owned());
    }

    /// Whether a person must act before this database is followed again.
    pub fn is_set_aside(&self) -> bool {
        self.state().set_aside.is_some()
    }

    /// Records the state of the slot. `stalled`: nothing has been confirmed for long although there is much to confirm.
    pub fn record_slot(&self, slot: Slot, stalled: bool, now: Instant) {
        let mut state = self.state();
        let unsettled = state
            .sources
            .as_ref()
            .map_or(0, |sources| sources.ledger.unsettled());
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

    /// The state at `now`.
    pub fn now(&self, now: Instant) -> Now {
        let state = self.state();
        let slot = state.slot.as_ref();
        let sources = state.sources.as_ref();
        let oldest = state.ends.front().map(|(_, since)| now - *since);
        Now {
            link: state.link,
            stalled: state.stalled,
            set_aside: state.set_aside.clone(),
            lag_bytes: slot.and_then(|slot| slot.lag),
            lag: oldest.unwrap_or_default(),
            safe_wal_bytes: slot.and_then(|slot| slot.safe_wal_size),
            confirmed: slot.and_then(|slot| slot.confirmed),
            unsettled: sources.map_or(0, |sources| sources.ledger.unsettled()),
            oldest: sources
                .and_then(|sources| sources.ledger.oldest())
                .map(|holding| (holding.hook, now.saturating_duration_since(holding.since))),
            memory: sources.map_or((0, 0), |sources| sources.memory.used()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can panic.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
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
            two_phase: false,
            active_pid: None,
            application_name: None,
            wal_status: None,
            invalidation_reason: None,
            confirmed: Some(Lsn(confirmed)),
            safe_wal_size: None,
            lag: Some(lag),
            ..Slot::default()
        }
    }

    #[test]
    fn the_lag_in_seconds_is_the_age_of_the_oldest_wal_that_is_not_confirmed() {
        let health = Health::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        health.record_slot(slot(100, 0), false, after(0));
        assert_eq!(health.now(after(1)).lag, Duration::ZERO);
        health.record_slot(slot(100, 500_000), false, after(5));
        health.record_slot(slot(100, 900_000), false, after(10));
        assert_eq!(health.now(after(12)).lag, Duration::from_secs(7));
        health.record_slot(slot(500_100, 400_000), false, after(15));
        assert_eq!(health.now(after(15)).lag, Duration::from_secs(5));
        health.record_slot(slot(900_100, 10_000), false, after(20));
        assert_eq!(health.now(after(25)).lag, Duration::ZERO);
    }
}
