//! How many requests an endpoint gets beside each other and in a time, and how long it is left alone when it asks for
//! time.
//!
//! A plain value: the clock is handed in. Whoever asks for time gets half as many requests at once, down to one, and
//! half of its rate, down to a sixteenth. It earns both back step by step with what it takes: additive increase,
//! multiplicative decrease, as in TCP.

use std::{num::NonZeroUsize, time::Duration};

use tokio::time::Instant;

use super::retry::Signal;
use crate::config::{Delivery, Rate};

/// For how long an endpoint that asks for time is left alone, at least and at most, whatever time it names.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// An endpoint that has asked for this time without taking anything is left alone for one such part of it.
const PARTS: u32 = 20;
/// In how many steps the rate of an endpoint is earned back. It never gets less than one of them.
const RATE_STEPS: u32 = 16;
/// After what it has taken in this time, an endpoint has earned a step of its rate.
const STEP: Duration = Duration::from_secs(1);

/// The pace of the requests to one endpoint.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// How many requests may be in flight; `None`: as many as the hook allows.
    limit: Option<usize>,
    /// How many have been taken since the limit changed.
    taken: usize,
    /// How many steps of its rate it gets; `None`: all of them.
    rate_steps: Option<u32>,
    /// How many have been taken since those steps changed.
    taken_of_rate: u32,
    /// When the limit was last lowered.
    lowered_at: Option<Instant>,
    /// Since when it asks for time and takes nothing.
    asking_since: Option<Instant>,
}

impl Pace {
    /// How many requests may be in flight, of the `most` that the hook allows.
    pub fn allowed(&self, most: NonZeroUsize) -> usize {
        self.limit.map_or(most.get(), |limit| limit.min(most.get()))
    }

    /// The time from one request to the next at this rate, of which the endpoint may have to earn a part.
    pub fn interval(&self, rate: Rate) -> Duration {
        let steps = self.rate_steps.unwrap_or(RATE_STEPS);
        rate.interval() * RATE_STEPS / steps.clamp(1, RATE_STEPS)
    }

    /// Records what a request says that was begun at `begun`. Of `delivery`, the concurrency and the rate count.
    pub fn record(&mut self, signal: Signal, delivery: &Delivery, begun: Instant, now: Instant) {
        let most = delivery.concurrency;
        match signal {
            Signal::Asked { .. } => {
                self.asking_since.get_or_insert(begun);
                // What was on its way already says nothing of the lower limit.
                if self.lowered_at.is_none_or(|lowered_at| begun >= lowered_at) {
                    self.limit = Some((self.allowed(most) / 2).max(1));
                    self.taken = 0;
                    self.rate_steps = Some((self.rate_steps.unwrap_or(RATE_STEPS) / 2).max(1));
                    self.taken_of_rate = 0;
                    self.lowered_at = Some(now);
                }
            }
            Signal::Arrived => {
                self.asking_since = None;
                self.earn(most);
                self.earn_rate(delivery.rate);
            }
            Signal::Failed | Signal::Unreached => {}
        }
    }

    /// After as many successes as may go at once, one more may.
    fn earn(&mut self, most: NonZeroUsize) {
        let Some(limit) = self.limit else { return };
        self.taken += 1;
        if self.taken >= limit {
            self.taken = 0;
            self.limit = Some(limit + 1).filter(|limit| *limit < most.get());
        }
    }

    /// After what goes in a second, or one request where that is longer, another step may go.
    fn earn_rate(&mut self, rate: Option<Rate>) {
        let (Some(steps), Some(rate)) = (self.rate_steps, rate) else {
            self.rate_steps = None;
            return;
        };
        self.taken_of_rate += 1;
        if self.interval(rate) * self.taken_of_rate >= STEP {
            self.taken_of_rate = 0;
            self.rate_steps = Some(steps + 1).filter(|steps| *steps < RATE_STEPS);
        }
    }

    /// For how long an endpoint is left alone at least that asks for time now.
    pub fn patience(&self, now: Instant) -> Duration {
        let asking = |since| now.saturating_duration_since(since) / PARTS;
        let patience = self.asking_since.map_or(SHORTEST, asking);
        patience.clamp(SHORTEST, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);
    const ASKED: Signal = Signal::Asked { expressly: true };

    /// A hook with this concurrency and rate.
    fn delivery(concurrency: NonZeroUsize, rate: Option<&str>) -> Delivery {
        Delivery {
            concurrency,
            rate: rate.map(|rate| Rate::parse(rate).unwrap()),
            ..Delivery::default()
        }
    }

    #[test]
    fn the_rate_halves_too_and_is_earned_back_in_steps() {
        for (rate, successes_in_a_second) in [("160/s", [80, 91, 100]), ("30/m", [1, 1, 1])] {
            let hook = delivery(NonZeroUsize::MIN, Some(rate));
            let interval = Rate::parse(rate).unwrap().interval();
            let (mut pace, start) = (Pace::default(), Instant::now());
            let at = |seconds| start + Duration::from_secs(seconds);
            assert_eq!(pace.interval(hook.rate.unwrap()), interval);
            let interval_of = |steps: u32| interval * 16 / steps;
            pace.record(ASKED, &hook, start, at(1));
            pace.record(ASKED, &hook, start, at(1));
            let mut steps = 8;
            assert_eq!(pace.interval(hook.rate.unwrap()), interval_of(steps));
            for successes in successes_in_a_second {
                for _ in 0..successes {
                    assert_eq!(pace.interval(hook.rate.unwrap()), interval_of(steps));
                    pace.record(Signal::Arrived, &hook, at(2), at(2));
                }
                steps += 1;
                assert_eq!(pace.interval(hook.rate.unwrap()), interval_of(steps));
            }
            for second in 3..20 {
                pace.record(ASKED, &hook, at(second), at(second));
            }
            assert_eq!(pace.interval(hook.rate.unwrap()), interval_of(1));
            for _ in 0..2000 {
                pace.record(Signal::Arrived, &hook, at(30), at(30));
            }
            assert_eq!(pace.interval(hook.rate.unwrap()), interval);
        }
    }

    #[test]
    fn it_halves_once_for_what_was_in_flight_together_and_is_earned_back_one_by_one() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let hook = delivery(MOST, None);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(pace.allowed(MOST), 16);
        for _ in 0..16 {
            pace.record(ASKED, &hook, start, at(1));
        }
        assert_eq!(pace.allowed(MOST), 8);
        for (round, allowed) in [(2, 4), (3, 2), (4, 1), (5, 1)] {
            pace.record(ASKED, &hook, at(round), at(round));
            assert_eq!(pace.allowed(MOST), allowed);
        }
        for (taken, allowed) in [(1, 2), (2, 3), (3, 4), (4, 5)] {
            for _ in 0..taken {
                assert_eq!(pace.allowed(MOST), allowed - 1);
                pace.record(Signal::Arrived, &hook, at(6), at(6));
            }
            assert_eq!(pace.allowed(MOST), allowed);
        }
        for _ in 0..200 {
            pace.record(Signal::Arrived, &hook, at(7), at(7));
        }
        assert_eq!((pace.allowed(MOST), pace.limit), (16, None));
    }

    #[test]
    fn whoever_asks_for_long_is_left_alone_for_longer_until_it_takes_something() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let hook = delivery(MOST, None);
        let at = |seconds| start + Duration::from_secs(seconds);
        for (seconds, patience) in [
            (0, 100),
            (1, 100),
            (100, 5000),
            (1200, 60_000),
            (90_000, 60_000),
        ] {
            pace.record(ASKED, &hook, at(seconds), at(seconds));
            assert_eq!(pace.patience(at(seconds)), Duration::from_millis(patience));
        }
        pace.record(Signal::Arrived, &hook, at(90_001), at(90_001));
        assert_eq!(pace.patience(at(90_002)), SHORTEST);
    }

    proptest! {
        #[test]
        fn something_may_always_go_and_never_more_than_the_hook_allows(
            said in prop::collection::vec((0_u8..3, 0_u64..5), 0..200), most in 1_usize..40,
        ) {
            let (mut pace, mut now) = (Pace::default(), Instant::now());
            let most = NonZeroUsize::new(most).unwrap();
            let hook = delivery(most, Some("100/s"));
            for (signal, seconds) in said {
                let signal = [Signal::Arrived, ASKED, Signal::Failed][usize::from(signal)];
                let begun = now;
                now += Duration::from_secs(seconds);
                pace.record(signal, &hook, begun, now);
                prop_assert!((1..=most.get()).contains(&pace.allowed(most)));
                let interval = pace.interval(hook.rate.unwrap()).as_millis();
                prop_assert!((10..=160).contains(&interval));
            }
        }
    }
}
