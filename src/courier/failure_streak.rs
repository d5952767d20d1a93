//! A streak of failures: since when a hook has had no success, and when that is long enough to disable it.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::DisableAfter;

/// The failures of one hook since its last success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailureStreak {
    /// When the first of them was; `None` where the last attempt succeeded, or there was none.
    began: Option<Instant>,
    /// How many there were, one after the other.
    failures: u32,
    /// When the last of those was known.
    counted_at: Option<Instant>,
}

impl FailureStreak {
    /// Goes on with a streak that began before we started.
    pub fn resumed(began: Instant) -> Self {
        Self {
            began: Some(began),
            ..Self::default()
        }
    }

    /// Whether there have been failures since the last success.
    pub fn is_on(&self) -> bool {
        self.began.is_some()
    }

    /// How long the streak has lasted; zero where there is none.
    pub fn lasted(&self, now: Instant) -> Duration {
        let lasted = |began| now.saturating_duration_since(began);
        self.began.map_or(Duration::ZERO, lasted)
    }

    /// An attempt failed that was begun at `begun`. Returns whether a streak begins with it.
    ///
    /// Attempts that failed beside each other are one failure, however many were in flight. Where the endpoint has
    /// asked for time, so that it `counts` not, it is none.
    pub fn failed(&mut self, begun: Instant, now: Instant, counts: bool) -> bool {
        if counts && self.counted_at.is_none_or(|counted_at| begun >= counted_at) {
            self.failures = self.failures.saturating_add(1);
            self.counted_at = Some(now);
        }
        let begins = self.began.is_none();
        self.began.get_or_insert(now);
        begins
    }

    /// An attempt succeeded. Returns whether a streak ends with it.
    pub fn succeeded(&mut self) -> bool {
        std::mem::take(self).is_on()
    }

    /// Why the hook is to be disabled, in words for a person; `None` where it has not failed for long enough.
    pub fn reason_to_disable(&self, limit: DisableAfter, now: Instant) -> Option<String> {
        match limit {
            DisableAfter::Time(limit) if self.is_on() && self.lasted(now) >= limit => {
                let limit = humantime::format_duration(limit);
                Some(format!("it has failed for {limit} without one success"))
            }
            DisableAfter::Failures(limit) if self.failures >= limit => {
                Some(format!("it has failed {limit} times in a row"))
            }
            DisableAfter::Time(_) | DisableAfter::Failures(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn five_days_without_one_success_are_enough_and_a_success_begins_anew() {
        let (limit, now) = (DisableAfter::Time(5 * DAY), Instant::now());
        let mut streak = FailureStreak::default();
        assert!(streak.failed(now, now, true), "it begins");
        assert!(
            !streak.failed(now + 4 * DAY, now + 4 * DAY, true),
            "it goes on"
        );
        assert_eq!(
            streak.reason_to_disable(limit, now + 5 * DAY - Duration::from_secs(1)),
            None
        );
        assert_eq!(
            streak.reason_to_disable(limit, now + 5 * DAY).unwrap(),
            "it has failed for 5days without one success"
        );
        assert!(streak.succeeded() && !streak.succeeded());
        assert_eq!(streak.reason_to_disable(limit, now + 50 * DAY), None);
        streak.failed(now + 50 * DAY, now + 50 * DAY, true);
        assert_eq!(streak.reason_to_disable(limit, now + 54 * DAY), None);
        assert!(streak.reason_to_disable(limit, now + 55 * DAY).is_some());
    }

    #[test]
    fn a_number_of_failures_in_a_row_is_enough_whatever_time_they_take() {
        let (limit, now) = (DisableAfter::Failures(3), Instant::now());
        let mut streak = FailureStreak::default();
        for _ in 0..2 {
            streak.failed(now, now, true);
            streak.failed(now, now, true);
            assert_eq!(streak.reason_to_disable(limit, now + 90 * DAY), None);
            streak.succeeded();
        }
        for _ in 0..3 {
            streak.failed(now, now, true);
        }
        assert_eq!(
            streak.reason_to_disable(limit, now).unwrap(),
            "it has failed 3 times in a row"
        );
    }

    #[test]
    fn failures_beside_each_other_are_one_and_those_that_ask_for_time_are_none() {
        let (limit, start) = (DisableAfter::Failures(2), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut streak = FailureStreak::default();
        for ended in 1..17 {
            streak.failed(start, at(ended), true);
        }
        streak.failed(at(20), at(21), false);
        assert_eq!(streak.reason_to_disable(limit, at(21)), None);
        streak.failed(at(22), at(23), true);
        assert!(streak.reason_to_disable(limit, at(23)).is_some());
    }

    #[test]
    fn one_that_began_before_we_started_goes_on() {
        let now = Instant::now() + 6 * DAY;
        let mut streak = FailureStreak::resumed(now - 5 * DAY);
        assert!(
            streak
                .reason_to_disable(DisableAfter::Time(5 * DAY), now)
                .is_some()
        );
        assert!(!streak.failed(now, now, true));
    }
}
