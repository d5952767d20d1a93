//! Leaves an endpoint that only fails alone for a while, and then asks it with a single request.

use std::time::Duration;

use tokio::time::Instant;

/// So many failures in a row open it.
const FAILURES: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The breaker of one hook. Closed at first.
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Requests go.
    Closed { failures: u32 },
    /// None goes before `until`.
    Open { until: Instant, pause: Duration },
    /// One is on its way.
    Probing { pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// May a request go now? A yes after a pause is for one request only: whoever asks has to make it.
    pub fn allows(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until, pause } if until <= now => {
                self.state = State::Probing { pause };
                true
            }
            State::Open { .. } | State::Probing { .. } => false,
        }
    }

    /// Do requests go freely?
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// When it is worth asking again; `None` where requests go, or one is on its way.
    pub fn opens_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed { .. } | State::Probing { .. } => None,
        }
    }

    /// A request was answered well.
    pub fn succeeded(&mut self) {
        self.state = State::default();
    }

    /// The request that was allowed was not made after all: another may go in its place.
    pub fn spared(&mut self, now: Instant) {
        if let State::Probing { pause } = self.state {
            self.state = State::Open { until: now, pause };
        }
    }

    /// A request failed. One that was on its way when the breaker opened changes nothing.
    pub fn failed(&mut self, now: Instant) {
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < FAILURES => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } => State::Open {
                until: now + FIRST_PAUSE,
                pause: FIRST_PAUSE,
            },
            State::Probing { pause } => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                State::Open {
                    until: now + pause,
                    pause,
                }
            }
            State::Open { until, pause } => State::Open { until, pause },
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
        assert_eq!(breaker.opens_at(), Some(now + FIRST_PAUSE));
    }

    #[test]
    fn after_the_pause_one_request_goes_and_decides() {
        let now = Instant::now();
        let mut breaker = open(now);
        let later = now + FIRST_PAUSE;
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
        assert_eq!(breaker.opens_at(), Some(now + FIRST_PAUSE));
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
