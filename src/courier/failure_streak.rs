//! A spell of failures: since when a hook has had no success, and when that is long enough to disable it.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::DisableAfter;

/// Failures of one hook without a success between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spell {
    /// When the first of them was; `None` where the last attempt succeeded, or there was none.
    began: Option<Instant>,
    failures: u32,
}

impl Spell {
    /// One that began before we started.
    pub fn resumed(began: Instant) -> Self {
        Self {
            began: Some(began),
            failures: 0,
        }
    }

    /// Is it going on?
    pub fn is_on(&self) -> bool {
        self.began.is_some()
    }

    /// How long it has been going on.
    pub fn lasted(&self, now: Instant) -> Duration {
        let lasted = |began| now.saturating_duration_since(began);
        self.began.map_or(Duration::ZERO, lasted)
    }

    /// An attempt failed. Returns whether a spell begins with it.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let begins = self.began.is_none();
        self.began.get_or_insert(now);
        begins
    }

    /// An attempt succeeded. Returns whether a spell ends with it.
    pub fn succeeded(&mut self) -> bool {
        std::mem::take(self).is_on()
    }

    /// Why the hook is to be disabled, if it has failed for long enough.
    pub fn verdict(&self, limit: DisableAfter, now: Instant) -> Option<String> {
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
        let mut spell = Spell::default();
        assert!(spell.failed(now), "it begins");
        assert!(!spell.failed(now + 4 * DAY), "it goes on");
        assert_eq!(
            spell.verdict(limit, now + 5 * DAY - Duration::from_secs(1)),
            None
        );
        assert_eq!(
            spell.verdict(limit, now + 5 * DAY).unwrap(),
            "it has failed for 5days without one success"
        );
        assert!(spell.succeeded() && !spell.succeeded());
        assert_eq!(spell.verdict(limit, now + 50 * DAY), None);
        spell.failed(now + 50 * DAY);
        assert_eq!(spell.verdict(limit, now + 54 * DAY), None);
        assert!(spell.verdict(limit, now + 55 * DAY).is_some());
    }

    #[test]
    fn a_number_of_failures_in_a_row_is_enough_whatever_time_they_take() {
        let (limit, now) = (DisableAfter::Failures(3), Instant::now());
        let mut spell = Spell::default();
        for _ in 0..2 {
            spell.failed(now);
            spell.failed(now);
            assert_eq!(spell.verdict(limit, now + 90 * DAY), None);
            spell.succeeded();
        }
        for _ in 0..3 {
            spell.failed(now);
        }
        assert_eq!(
            spell.verdict(limit, now).unwrap(),
            "it has failed 3 times in a row"
        );
    }

    #[test]
    fn one_that_began_before_we_started_goes_on() {
        let now = Instant::now() + 6 * DAY;
        let mut spell = Spell::resumed(now - 5 * DAY);
        assert!(spell.verdict(DisableAfter::Time(5 * DAY), now).is_some());
        assert!(!spell.failed(now));
    }
}
