//! Warnings before a slot loses WAL: when a danger arises, at intervals while it lasts, and when it is over.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::catalog::Slot;
use crate::postgres::Lsn;

/// How long the confirmed LSN may stand still while much WAL is behind it.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// How many bytes of WAL behind the confirmed LSN count as much.
const MUCH_WAL: i64 = 64 << 20;
/// The interval between two warnings of a danger that lasts.
const REMIND_AFTER: Duration = Duration::from_secs(10 * 60);

/// What may end in the loss of changes if nobody acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Danger {
    /// The next checkpoint may remove WAL that the slot needs.
    Unreserved,
    /// The slot has used more than half of the WAL that it may keep.
    Limit {
        /// Bytes of WAL behind the confirmed LSN.
        lag: i64,
        /// Bytes of WAL that can be written before the slot may be lost.
        left: i64,
    },
    /// Nothing has been confirmed for a long time, although there is much WAL to confirm.
    Stalled {
        /// Bytes of WAL behind the confirmed LSN.
        lag: i64,
        /// How long nothing has been confirmed.
        lasted: Duration,
    },
}

impl fmt::Display for Danger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unreserved => f.write_str(
                "Postgres is about to remove WAL that the slot needs; raise max_slot_wal_keep_size now",
            ),
            Self::Limit { lag, left } => write!(
                f,
                "the slot is {} behind, and lost when another {} have been written; raise max_slot_wal_keep_size, or find out what it waits for",
                human_size(lag),
                human_size(left)
            ),
            Self::Stalled { lag, lasted } => write!(
                f,
                "nothing has been confirmed to the slot for {} s, with {} of WAL behind it",
                lasted.as_secs(),
                human_size(lag)
            ),
        }
    }
}

/// A change in the danger to a slot that a person should see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    /// There is a danger, or it still lasts.
    Danger(Danger),
    /// The danger is over.
    Over,
}

/// Watches the lag of a slot over time.
#[derive(Debug, Default)]
pub struct LagWatch {
    /// The confirmed LSN, and since when it has been the same.
    standing: Option<(Lsn, Instant)>,
    /// The danger of the last warning, and when that was.
    raised: Option<(Danger, Instant)>,
}

impl LagWatch {
    /// Whether nothing is being confirmed although there is much to confirm.
    pub fn is_stalled(&self) -> bool {
        matches!(self.raised, Some((Danger::Stalled { .. }, _)))
    }

    /// Takes the current state of the slot. Returns `None` if there is nothing new to report.
    pub fn look(&mut self, slot: &Slot, now: Instant) -> Option<Alert> {
        let confirmed = slot.confirmed?;
        let since = match self.standing {
            Some((lsn, since)) if lsn == confirmed => since,
            _ => now,
        };
        self.standing = Some((confirmed, since));
        let danger = danger(slot, now - since);
        let raised = self.raised;
        let same_kind = |danger: &Danger| {
            raised.is_some_and(|(raised, at)| {
                std::mem::discriminant(&raised) == std::mem::discriminant(danger)
                    && now - at < REMIND_AFTER
            })
        };
        match danger {
            Some(danger) if same_kind(&danger) => None,
            Some(danger) => {
                self.raised = Some((danger, now));
                Some(Alert::Danger(danger))
            }
            None => self.raised.take().map(|_| Alert::Over),
        }
    }
}

fn danger(slot: &Slot, stood_still: Duration) -> Option<Danger> {
    let lag = slot.lag.unwrap_or_default();
    match (slot.wal_status.as_deref(), slot.safe_wal_size) {
        (Some("unreserved"), _) => Some(Danger::Unreserved),
        (_, Some(left)) if left < lag => Some(Danger::Limit { lag, left }),
        _ if stood_still >= STALLED_AFTER && lag > MUCH_WAL => Some(Danger::Stalled {
            lag,
            lasted: stood_still,
        }),
        _ => None,
    }
}

/// A number of bytes in the largest unit that fits, such as `12 MiB`.
pub(crate) fn human_size(bytes: i64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fitting = units.iter().find(|(bits, _)| bytes >> bits > 0);
    match fitting {
        Some((bits, unit)) => format!("{} {unit}", bytes >> bits),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(wal_status: &str, confirmed: u64, lag: i64, left: Option<i64>) -> Slot {
        Slot {
            kind: "logical".into(),
            plugin: None,
            database: None,
            temporary: false,
            two_phase: false,
            active_pid: None,
            application_name: None,
            wal_status: Some(wal_status.into()),
            invalidation_reason: None,
            confirmed: Some(Lsn(confirmed)),
            safe_wal_size: left,
            lag: Some(lag),
            ..Slot::default()
        }
    }

    #[test]
    fn a_danger_is_told_of_when_it_comes_up_now_and_then_and_when_it_is_over() {
        let (mut watch, start) = (LagWatch::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let near = slot("extended", 1, 600, Some(500));
        let alert = Alert::Danger(Danger::Limit {
            lag: 600,
            left: 500,
        });
        assert_eq!(
            watch.look(&slot("extended", 1, 400, Some(500)), start),
            None
        );
        assert_eq!(watch.look(&near, after(1)), Some(alert));
        assert_eq!(watch.look(&near, after(2)), None);
        assert_eq!(watch.look(&near, after(601)), Some(alert));
        let unreserved = slot("unreserved", 1, 900, Some(-1));
        assert_eq!(
            watch.look(&unreserved, after(602)),
            Some(Alert::Danger(Danger::Unreserved))
        );
        let well = slot("reserved", 9, 0, Some(1100));
        assert_eq!(watch.look(&well, after(603)), Some(Alert::Over));
        assert_eq!(watch.look(&well, after(604)), None);
    }

    #[test]
    fn a_slot_that_stands_still_is_a_danger_only_with_much_behind_it() {
        let (mut watch, start) = (LagWatch::default(), Instant::now());
        let (much, little) = (
            slot("reserved", 1, MUCH_WAL + 1, None),
            slot("reserved", 1, MUCH_WAL, None),
        );
        assert_eq!(watch.look(&much, start), None);
        assert_eq!(watch.look(&little, start + STALLED_AFTER), None);
        let alert = watch.look(&much, start + STALLED_AFTER);
        assert_eq!(
            alert,
            Some(Alert::Danger(Danger::Stalled {
                lag: MUCH_WAL + 1,
                lasted: STALLED_AFTER
            }))
        );
        let moved = slot("reserved", 2, MUCH_WAL + 1, None);
        assert_eq!(
            watch.look(&moved, start + 2 * STALLED_AFTER),
            Some(Alert::Over)
        );
    }
}
