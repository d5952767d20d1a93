//! Which transactions a query saw.
//!
//! No position in the WAL says that: a commit stands in the WAL a little before other sessions see it, and longer where
//! it waits for a standby. So what a table held is compared with the stream by transaction ids.

use std::str::FromStr;

use thiserror::Error;

/// A snapshot as `pg_current_snapshot()` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// All transactions with ids from here on are invisible.
    end: u64,
    /// The transactions before that which were still running.
    running: Vec<u64>,
}

/// A text that is not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no snapshot; one is such as 100:104:100,102")]
pub struct ParseSnapshotError(String);

impl Snapshot {
    /// The id of a transaction before which all have ended.
    pub fn oldest(&self) -> u64 {
        self.running.iter().copied().fold(self.end, u64::min)
    }

    /// Does the snapshot see the transaction with this 32-bit id, which has been committed?
    pub fn sees(&self, xid: u32) -> bool {
        // Ids go round. All that a stream can still have are less than half a round away.
        let low = u32::try_from(self.end & u64::from(u32::MAX)).unwrap_or_default();
        let before = low.wrapping_sub(xid);
        if before == 0 || before > u32::MAX / 2 {
            return false;
        }
        let whole = self.end.saturating_sub(u64::from(before));
        !self.running.contains(&whole)
    }
}

impl FromStr for Snapshot {
    type Err = ParseSnapshotError;

    fn from_str(text: &str) -> Result<Self, ParseSnapshotError> {
        let parse = || {
            let [_, end, running] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
            let running: &str = running;
            let ids = running.split(',').filter(|id| !id.is_empty());
            Some(Self {
                end: str::parse(end).ok()?,
                running: ids.map(|id| id.parse().ok()).collect::<Option<_>>()?,
            })
        };
        parse().ok_or_else(|| ParseSnapshotError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_before_all_that_run_has_ended() {
        for (snapshot, oldest) in [("100:104:102,101", 101), ("104:104:", 104)] {
            let snapshot: Snapshot = snapshot.parse().unwrap();
            assert_eq!(snapshot.oldest(), oldest);
        }
    }

    #[test]
    fn what_had_ended_is_seen_and_what_was_running_or_came_later_is_not() {
        let round = 1u64 << 32;
        for (snapshot, xid, seen) in [
            ("100:104:100,102".to_owned(), 99, true),
            ("100:104:100,102".to_owned(), 100, false),
            ("100:104:100,102".to_owned(), 101, true),
            ("100:104:100,102".to_owned(), 102, false),
            ("100:104:100,102".to_owned(), 103, true),
            ("100:104:100,102".to_owned(), 104, false),
            ("100:104:100,102".to_owned(), 5000, false),
            ("104:104:".to_owned(), 103, true),
            // Round the corner.
            (format!("{0}:{1}:{0}", round - 3, round + 5), u32::MAX, true),
            (
                format!("{0}:{1}:{0}", round - 3, round + 5),
                u32::MAX - 2,
                false,
            ),
            (format!("{0}:{1}:{0}", round - 3, round + 5), 4, true),
            (format!("{0}:{1}:{0}", round - 3, round + 5), 5, false),
        ] {
            let parsed: Snapshot = snapshot.parse().unwrap();
            assert_eq!(parsed.sees(xid), seen, "{xid} in {snapshot}");
        }
    }

    #[test]
    fn what_is_no_snapshot_is_an_error() {
        for text in ["", "1:2", "a:2:", "1:2:x", "1:b:", "1:2:3:4"] {
            let parsed: Result<Snapshot, _> = text.parse();
            // The first number is not needed.
            assert_eq!(parsed.is_ok(), text == "a:2:", "{text}");
        }
    }
}
