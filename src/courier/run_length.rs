//! How many requests of deliveries of the table follow one another in a run.
//!
//! What came of a run is written when it ends. A long run takes few writes, but of one that ends early the rest has to
//! be claimed anew. So runs grow while all goes well and quickly, and are short again after the first failure.

use std::time::Duration;

/// The most requests of a run that are claimed.
pub(super) const LONGEST: usize = 32;
/// A run that took longer than this is long enough.
const QUICK: Duration = Duration::from_millis(100);

/// How long the next runs are, in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunLength(usize);

impl Default for RunLength {
    fn default() -> Self {
        Self(1)
    }
}

impl RunLength {
    /// How many requests the next runs have.
    pub(super) fn now(self) -> usize {
        self.0
    }

    /// A run of `requests` has ended: whether it was sent whole and arrived, and how long it took.
    pub(super) fn record(&mut self, requests: usize, arrived: bool, took: Duration) {
        self.0 = match arrived {
            false => 1,
            // Those of another length were claimed before the last change.
            true if took < QUICK && requests >= self.0 => (self.0 * 2).min(LONGEST),
            true if took > 2 * QUICK => (self.0 / 2).max(1),
            true => self.0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_grow_while_all_arrives_quickly_and_are_short_again_after_a_failure() {
        let quick = Duration::from_millis(5);
        let mut length = RunLength::default();
        for (requests, arrived, took, expected) in [
            (1, true, quick, 2),
            (1, true, quick, 2),
            (2, true, quick, 4),
            (4, true, 30 * quick, 4),
            (4, true, 50 * quick, 2),
            (2, false, quick, 1),
        ] {
            length.record(requests, arrived, took);
            assert_eq!(length.now(), expected);
        }
        for _ in 0..9 {
            length.record(LONGEST, true, quick);
        }
        assert_eq!(length.now(), LONGEST);
    }
}
