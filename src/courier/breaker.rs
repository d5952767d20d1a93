//! A circuit breaker: an endpoint that only fails is left alone for a while, and then probed with a single request.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// How many failures in a row open the breaker.
const FAILURES: u32 = 10;
/// How long the breaker stays open before each probe.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// The circuit breaker of one hook. It is closed at first.
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Requests go. The number is that of the failures since the last success.
    Closed { failures: u32 },
    /// No request goes before `until`. `openings` is how often in a row the breaker has opened, this time included.
    Open { until: Instant, openings: u32 },
    /// One request is on its way, and its answer decides.
    Probing { openings: u32 },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl State {
    fn open(now: Instant, openings: u32) -> Self {
        Self::Open {
            until: now + PAUSES.pause(openings),
            openings,
        }
    }
}

impl Breaker {
    /// Whether a request may go now. After a pause, `true` is for one request only: whoever asks has to make it.
    pub fn allows(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until, openings } if until <= now => {
                self.state = State::Probing { openings };
                true
            }
            State::Open { .. } | State::Probing { .. } => false,
        }
    }

    /// Whether requests go freely.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether a single request is on its way whose answer decides if others may follow.
    pub fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    /// When the endpoint may be probed; `None` while requests go freely, or a probe is on its way.
    pub fn opens_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed { .. } | State::Probing { .. } => None,
        }
    }

    /// A request succeeded: the breaker closes.
    pub fn succeeded(&mut self) {
        self.state = State::default();
    }

    /// The probe that was allowed was not made after all: another may go in its place at once.
    pub fn spared(&mut self, now: Instant) {
        if let State::Probing { openings } = self.state {
            self.state = State::Open {
                until: now,
                openings,
            };
        }
    }

    /// A request failed. One that was on its way when the breaker opened changes nothing.
    pub fn failed(&mut self, now: Instant) {
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < FAILURES => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } => State::open(now, 1),
            State::Probing { openings } => State::open(now, openings.saturating_add(1)),
            State::Open { until, openings } => State::Open { until, openings },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(breaker.allows(now));
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            (1..FAILURES).for_each(|_| breaker.failed(now));
            assert!(breaker.allows(now));
            breaker.succeeded();
        }
        let mut breaker = open(now);
        assert!(!breaker.allows(now));
        assert_eq!(breaker.opens_at(), Some(now + PAUSES.pause(1)));
    }

    #[test]
    fn after_the_pause_one_request_goes_and_decides() {
        let now = Instant::now();
        let mut breaker = open(now);
        let later = now + PAUSES.pause(1);
        assert!(breaker.allows(later) && !breaker.allows(later), "one probe");
        breaker.succeeded();
        assert!(breaker.allows(later) && breaker.allows(later));
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_the_longest() {
        let mut now = Instant::now();
        let mut breaker = open(now);
        for pause in [2, 4, 8, 16, 32, 60, 60] {
            now = breaker.opens_at().unwrap();
            assert!(breaker.allows(now));
            breaker.failed(now);
            assert_eq!(breaker.opens_at(), Some(now + Duration::from_secs(pause)));
        }
    }

    #[test]
    fn what_was_on_its_way_when_it_opened_does_not_make_it_longer() {
        let now = Instant::now();
        let mut breaker = open(now);
        breaker.failed(now + Duration::from_millis(500));
        assert_eq!(breaker.opens_at(), Some(now + PAUSES.pause(1)));
    }

    #[test]
    fn a_probe_that_was_not_made_leaves_its_place_to_another() {
        let now = Instant::now();
        let mut breaker = open(now);
        let later = breaker.opens_at().unwrap();
        assert!(breaker.allows(later) && !breaker.allows(later));
        breaker.spared(later);
        assert!(!breaker.is_closed());
        assert!(breaker.allows(later), "another may be made at once");
        breaker.succeeded();
        assert!(breaker.is_closed());
        breaker.spared(later);
        assert!(breaker.is_closed());
    }
}
