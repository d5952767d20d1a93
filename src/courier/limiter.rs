//! When the next request may go, so that they keep a rate. A plain value: the clock is handed in.
//!
//! This is the generic cell rate algorithm: each request moves the time on at which the next one is due. Requests are
//! spread evenly, and those that a timer or a busy machine has made late are caught up with.

use std::time::Duration;

use tokio::time::Instant;

/// How much earlier than it is due a request may go. So in any time, no more go than at the rate in that time and this
/// one. Whoever comes later than this after their turn has lost it.
pub const SLACK: Duration = Duration::from_millis(50);

/// What is known of the requests that have gone at a rate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limiter {
    /// When the next request is due; `None` before the first one.
    due: Option<Instant>,
}

impl Limiter {
    /// When the next request may go, `now` or later.
    pub fn opens_at(&self, now: Instant) -> Instant {
        let opens_at = self.due.and_then(|due| due.checked_sub(SLACK));
        opens_at.map_or(now, |opens_at| opens_at.max(now))
    }

    /// Counts what goes now: the next one is due after this `interval`. It may go although it is not due; then others
    /// wait for longer.
    pub fn take(&mut self, interval: Duration, now: Instant) {
        let begun = self.due.map_or(now, |due| due.max(now));
        self.due = Some(begun.checked_add(interval).unwrap_or(begun));
    }

    /// Whether nothing that has gone counts any more.
    pub fn is_rested(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Rate;

    const MINUTE: Duration = Duration::from_secs(60);

    /// When requests go that always want to, each by this much later than it may.
    fn greedy(rate: Rate, late: impl Fn(usize) -> Duration, until: Duration) -> Vec<Duration> {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        let (mut now, mut gone) = (start, Vec::new());
        loop {
            let opens_at = limiter.opens_at(now);
            if opens_at > now {
                now = opens_at + late(gone.len());
            }
            if now - start > until {
                return gone;
            }
            limiter.take(rate.interval(), now);
            gone.push(now - start);
        }
    }

    #[test]
    fn the_first_goes_at_once_and_the_others_evenly() {
        let rate = Rate::parse("2/s").unwrap();
        let gone = greedy(rate, |_| Duration::ZERO, Duration::from_secs(2));
        let gone: Vec<u128> = gone.iter().map(Duration::as_millis).collect();
        assert_eq!(gone, [0, 450, 950, 1450, 1950]);
    }

    #[test]
    fn what_has_gone_undue_is_waited_for() {
        let (mut limiter, now) = (Limiter::default(), Instant::now());
        assert!(limiter.is_rested(now));
        (0..10).for_each(|_| limiter.take(Duration::from_secs(1), now));
        let rested_at = now + Duration::from_secs(10);
        assert_eq!(limiter.opens_at(now), rested_at - SLACK);
        assert!(!limiter.is_rested(now) && limiter.is_rested(rested_at));
        assert_eq!(limiter.opens_at(rested_at), rested_at);
    }

    proptest! {
        /// In the minute after the first, however late the timers are.
        #[test]
        fn a_minute_has_the_rate_within_a_twentieth(
            count in 1_u32..2000, per_minute: bool, late in prop::collection::vec(0_u64..45, 1..20),
        ) {
            let per = if per_minute { "m" } else { "s" };
            let rate = Rate::parse(&format!("{count}/{per}")).unwrap();
            let late = |number: usize| Duration::from_millis(late[number % late.len()]);
            let gone = greedy(rate, late, 2 * MINUTE);
            let second = gone.iter().filter(|at| **at >= MINUTE).count();
            let expected = MINUTE.as_secs_f64() / rate.interval().as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "there are few")]
            let second = second as f64;
            // One more or less, because a minute begins and ends between two of them.
            prop_assert!((second - expected).abs() <= expected / 20.0 + 1.0, "{second} of {expected}");
        }

        #[test]
        fn no_time_has_more_than_the_rate_in_it_and_the_slack(
            count in 1_u32..500, asked in prop::collection::vec(0_u64..200, 1..300), from in 0_usize..300, over in 1_usize..300,
        ) {
            let rate = Rate::parse(&format!("{count}/s")).unwrap();
            let (mut limiter, mut now, mut gone) = (Limiter::default(), Instant::now(), Vec::new());
            for milliseconds in asked {
                now += Duration::from_millis(milliseconds);
                while limiter.opens_at(now) <= now {
                    limiter.take(rate.interval(), now);
                    gone.push(now);
                }
            }
            let from = from % gone.len();
            let to = (from + over).min(gone.len() - 1);
            let time = gone[to] - gone[from] + SLACK;
            #[expect(clippy::cast_precision_loss, reason = "there are few")]
            let went = (to - from) as f64;
            prop_assert!(went <= time.as_secs_f64() / rate.interval().as_secs_f64() + 1e-6);
        }
    }
}
