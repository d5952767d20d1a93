//! What the filters and templates of an owner may take of the reader's time.
//!
//! One of them is bounded by itself, but an owner may have a thousand. Each owner has steps to spend. They come back
//! with time, so that an owner takes no more than a share of the reader, however many events there are. A few come back
//! with each event, so that what takes little never fails because events come fast. When all are spent, the owner's
//! filters and templates fail, and other owners do not wait for them. Whoever has spent much comes last, so that the
//! others have an event by then.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::expression::filter::STEPS;

/// The most steps that an owner has for evaluations: those of one.
const MOST: u64 = STEPS;
/// The most steps that an owner has for having filters compiled: a second of a core.
const COMPILING: u64 = 20 * STEPS;
/// The time in which [`STEPS`] come back. They are a twentieth of a core.
const REFILL: Duration = Duration::from_secs(1);
/// The steps that come back with an event.
const EVENT: u64 = 5_000;
/// The steps that come back for each hook that is asked about an event: about what it takes to hand on a delivery.
const HOOK: u64 = 200;
/// Who has spent so many steps, and has not got them back, comes last.
const MUCH: u64 = 100_000;
/// Of fewer owners, all are kept.
const FEW: usize = 1024;

/// The steps that owners have left.
#[derive(Debug)]
pub(super) struct Allowances {
    /// What each owner has at most.
    most: u64,
    left: HashMap<Option<Arc<str>>, Left>,
    /// At how many owners those are forgotten that have the most.
    sweep_at: usize,
}

/// What an owner had left at some time.
#[derive(Debug)]
struct Left {
    steps: u64,
    at: Instant,
}

impl Allowances {
    /// For evaluating filters and templates.
    pub(super) fn of_evaluation() -> Self {
        Self::with(MOST)
    }

    /// For compiling filters. An owner may bring along a thousand short ones at once.
    pub(super) fn of_compiling() -> Self {
        Self::with(COMPILING)
    }

    fn with(most: u64) -> Self {
        Self {
            most,
            left: HashMap::new(),
            sweep_at: 0,
        }
    }

    /// Takes steps from the owner, if there are as many left.
    pub(super) fn pay(&mut self, owner: Option<&Arc<str>>, steps: u64, now: Instant) -> bool {
        self.refill(owner, 0, now);
        let left = self.left(owner).checked_sub(steps);
        if let Some(left) = left {
            self.keep(owner, left);
        }
        left.is_some()
    }

    /// Gives the owner what has come back by now, at an event that this many hooks are asked about.
    pub(super) fn refill(&mut self, owner: Option<&Arc<str>>, hooks: u64, now: Instant) {
        if self.left.len() > self.sweep_at.max(FEW) {
            self.left.retain(|_, left| left.after(now) < self.most);
            self.sweep_at = 2 * self.left.len();
        }
        let left = self.left.entry(owner.cloned()).or_insert(Left {
            steps: self.most,
            at: now,
        });
        let steps = left.after(now).saturating_add(EVENT + HOOK * hooks);
        left.steps = steps.min(self.most);
        left.at = now;
    }

    /// What the owner has left since the last refill.
    pub(super) fn left(&self, owner: Option<&Arc<str>>) -> u64 {
        let left = self.left.get(&owner.cloned());
        left.map_or(self.most, |left| left.steps)
    }

    /// Notes what the owner has left now.
    pub(super) fn keep(&mut self, owner: Option<&Arc<str>>, steps: u64) {
        if let Some(left) = self.left.get_mut(&owner.cloned()) {
            left.steps = steps;
        }
    }

    /// Has the owner spent so much lately that others come first?
    pub(super) fn has_spent_much(&self, owner: Option<&Arc<str>>, now: Instant) -> bool {
        let left = self.left.get(&owner.cloned());
        left.is_some_and(|left| left.after(now) < self.most - MUCH)
    }
}

impl Left {
    /// What it is at this time.
    fn after(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.at);
        self.steps.saturating_add(refilled(passed))
    }
}

/// The steps that have come back after this time.
fn refilled(passed: Duration) -> u64 {
    let steps = passed.as_micros() * u128::from(STEPS) / REFILL.as_micros();
    u64::try_from(steps).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an owner has at an event, and then spends but for `kept`.
    fn take(
        allowances: &mut Allowances,
        owner: Option<&Arc<str>>,
        hooks: u64,
        now: Instant,
        kept: u64,
    ) -> u64 {
        allowances.refill(owner, hooks, now);
        let left = allowances.left(owner);
        allowances.keep(owner, kept);
        left
    }

    #[test]
    fn what_is_spent_comes_back_with_time_and_events_and_other_owners_have_their_own() {
        let mut allowances = Allowances::of_evaluation();
        let anna = Arc::from("anna");
        let (anna, nobody) = (Some(&anna), None);
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        for (owner, hooks, now, kept, expected) in [
            (anna, 1, start, 0, MOST),
            (anna, 10, start, 0, EVENT + 10 * HOOK),
            (nobody, 10, start, MOST, MOST),
            (anna, 1, after(100), MOST - 1, MOST / 10 + EVENT + HOOK),
            (anna, 1, after(100), 0, MOST),
            (anna, 1, after(86_400_000), 0, MOST),
            // Of a clock that was read before, nothing comes back.
            (anna, 0, start, 0, EVENT),
        ] {
            let left = take(&mut allowances, owner, hooks, now, kept);
            assert_eq!(left, expected, "{owner:?} {hooks}");
        }
    }

    #[test]
    fn who_has_spent_much_comes_last_until_it_has_come_back() {
        let mut allowances = Allowances::of_evaluation();
        let anna = Arc::from("anna");
        let start = Instant::now();
        assert!(!allowances.has_spent_much(Some(&anna), start));
        take(&mut allowances, Some(&anna), 1, start, MOST / 2);
        for (millis, expected) in [(0, true), (390, true), (410, false)] {
            let now = start + Duration::from_millis(millis);
            let much = allowances.has_spent_much(Some(&anna), now);
            assert_eq!(much, expected, "{millis}");
        }
        assert!(!allowances.has_spent_much(None, start));
    }

    #[test]
    fn filters_are_compiled_at_once_up_to_a_bound_and_then_as_time_comes_back() {
        let mut allowances = Allowances::of_compiling();
        let start = Instant::now();
        assert!(allowances.pay(None, COMPILING, start));
        assert!(!allowances.pay(None, STEPS, start));
        let later = start + Duration::from_secs(1);
        assert!(allowances.pay(None, STEPS, later));
        assert!(!allowances.pay(None, STEPS, later));
        let much_later = start + Duration::from_secs(1000);
        assert!(allowances.pay(None, COMPILING, much_later));
        assert!(!allowances.pay(None, STEPS, much_later));
    }

    #[test]
    fn owners_who_have_everything_back_are_forgotten() {
        let mut allowances = Allowances::of_evaluation();
        let start = Instant::now();
        for owner in 0..10 * FEW {
            let owner: Arc<str> = owner.to_string().into();
            take(&mut allowances, Some(&owner), 1, start, 0);
        }
        let later = start + 2 * REFILL;
        for owner in 0..FEW {
            let owner: Arc<str> = format!("later {owner}").into();
            take(&mut allowances, Some(&owner), 1, later, 0);
        }
        allowances.sweep_at = 0;
        allowances.refill(None, 1, later);
        assert_eq!(allowances.left.len(), FEW + 1);
    }

    #[test]
    fn an_owner_takes_no_more_than_a_share_of_the_time() {
        let mut allowances = Allowances::of_evaluation();
        let start = Instant::now();
        let mut spent = 0;
        // Fifty events a second for ten seconds, and hooks that take whatever they get.
        for event in 0..500 {
            let now = start + Duration::from_millis(20 * event);
            spent += take(&mut allowances, None, 25, now, 0);
        }
        assert!(
            spent <= MOST + 10 * MOST + 500 * (EVENT + 25 * HOOK),
            "{spent}"
        );
    }
}
