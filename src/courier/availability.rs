//! Whether an endpoint may be asked now.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::breaker::Breaker;
use crate::meters::{Going, Meters, standing::Standing};

/// What a request says of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has taken what was sent.
    Arrived,
    /// It has not taken it, and may have asked for a pause of all of the hook's deliveries.
    Failed { pause: Option<Duration> },
    /// Nothing, because no request was made.
    Silent,
}

/// Whether an endpoint may be asked now: it has not asked for a pause, and has not only failed.
pub(super) struct Availability {
    breaker: Breaker,
    /// The end of the pause that the endpoint has asked for, or a time in the past.
    not_before: Instant,
    /// Counts this breaker among the open ones.
    open: Option<Going>,
}

impl Default for Availability {
    fn default() -> Self {
        Self {
            breaker: Breaker::default(),
            not_before: Instant::now(),
            open: None,
        }
    }
}

impl Availability {
    /// For how long nothing is to be sent.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        self.not_before(now).saturating_duration_since(now)
    }

    /// The first time from `at` on at which something may be sent.
    pub(super) fn not_before(&self, at: Instant) -> Instant {
        let opens_at = self.breaker.opens_at().unwrap_or(at);
        at.max(self.not_before).max(opens_at)
    }

    /// Why nothing is sent; `None` where something may be.
    pub(super) fn standing(&self, now: Instant) -> Option<Standing> {
        if self.breaker.is_probing() {
            return Some(Standing::Probed);
        }
        // Not later than now where that is over, so that it says the same until something happens.
        let opens_at = self.breaker.opens_at();
        let until = opens_at.map_or(self.not_before, |at| at.max(self.not_before));
        if !self.breaker.is_closed() {
            return Some(Standing::LeftAlone { until });
        }
        (until > now).then_some(Standing::Paused { until })
    }

    /// The breaker of the endpoint.
    pub(super) fn breaker(&mut self) -> &mut Breaker {
        &mut self.breaker
    }

    /// Records what a request says of the endpoint.
    pub(super) fn record(&mut self, outcome: Outcome, now: Instant, meters: &Arc<Meters>) {
        match outcome {
            Outcome::Arrived => self.breaker.succeeded(),
            Outcome::Failed { pause } => {
                if let Some(pause) = pause {
                    self.not_before = self.not_before.max(now + pause);
                }
                // Who asks for time is there. The pause is enough, unless only this answer was waited for.
                if pause.is_none() || !self.breaker.is_closed() {
                    self.breaker.failed(now);
                }
            }
            Outcome::Silent => self.breaker.spared(now),
        }
        self.open = match (self.breaker.is_closed(), self.open.take()) {
            (true, _) => None,
            (false, Some(open)) => Some(open),
            (false, None) => Some(meters.going_on(|meters| &meters.breakers_open)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_why_nothing_is_sent_and_until_when() {
        let (meters, second) = (Arc::new(Meters::default()), Duration::from_secs(1));
        let mut availability = Availability::default();
        let now = Instant::now();
        assert_eq!(availability.standing(now), None);
        let asked = Outcome::Failed {
            pause: Some(second),
        };
        availability.record(asked, now, &meters);
        let until = now + second;
        assert_eq!(availability.standing(now), Some(Standing::Paused { until }));
        assert_eq!(availability.standing(until), None);
        let mut availability = Availability::default();
        while availability.breaker().is_closed() {
            availability.record(Outcome::Failed { pause: None }, now, &meters);
        }
        let now = Instant::now();
        let until = availability.not_before(now);
        let left_alone = Some(Standing::LeftAlone { until });
        assert_eq!(availability.standing(now), left_alone);
        assert!(availability.breaker().allows(until));
        assert_eq!(availability.standing(until), Some(Standing::Probed));
        availability.record(Outcome::Arrived, until, &meters);
        assert_eq!(availability.standing(until), None);
    }
}
