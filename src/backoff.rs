//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// Pauses that double with each failure in a row, up to a longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses of `first`, twice that, four times that, and so on, but none longer than `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The pause after this many failures in a row. Without a failure it is the same as after the first.
    pub fn pause(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1));
        let pause = self.first.saturating_mul(factor.unwrap_or(u32::MAX));
        pause.min(self.longest)
    }
}

/// Spreads a pause by up to `share` of it to either side, so that what failed together is not tried again together.
///
/// `random` is from 0 to 1: at 0 the pause is shortest, at 0.5 as it was, at 1 longest.
pub fn spread(pause: Duration, share: f64, random: f64) -> Duration {
    pause.mul_f64(1.0 + share * (2.0 * random.clamp(0.0, 1.0) - 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pause_doubles_with_each_failure_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let pauses = (0..9).map(|failures| backoff.pause(failures).as_secs());
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.pause(u32::MAX), Duration::from_secs(60));
    }

    proptest! {
        #[test]
        fn a_spread_pause_stays_within_its_share(millis in 0_u64..100_000_000, random in -1.0_f64..2.0) {
            let pause = Duration::from_millis(millis);
            let spread = spread(pause, 0.2, random);
            prop_assert!(spread >= pause.mul_f64(0.8 - 1e-9) && spread <= pause.mul_f64(1.2 + 1e-9));
        }
    }
}
