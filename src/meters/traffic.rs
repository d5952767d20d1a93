//! What the requests of each hook came to in the last hour, for charts.
//!
//! It is kept in memory, because the tables cannot tell: history has all failures, but of successes only the last ones
//! of each hook. It is bounded: a hook that had no request takes nothing, and when all hooks together take too much,
//! those are forgotten whose last request is the oldest.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use tokio::time::Instant;

use super::histogram::{CELLS, cell};
use crate::lock::lock;

/// How long a slot is.
pub const SLOT: Duration = Duration::from_secs(20);
/// How many slots an hour has.
pub const SLOTS: u32 = 180;
/// How many slots there are at most, of all hooks together. With what they stand in, that is less than 8 MiB.
const MOST: usize = 20_000;

/// The requests of each hook.
#[derive(Debug)]
pub struct Traffic {
    /// Where slots begin to be counted.
    epoch: Instant,
    hooks: Mutex<Hooks>,
}

#[derive(Debug, Default)]
struct Hooks {
    by_id: HashMap<Box<str>, VecDeque<Slot>>,
    /// How many slots there are.
    slots: usize,
}

/// The requests of a hook in one slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slot {
    /// Which one it is, from the start of the process.
    number: u32,
    /// How many were accepted.
    pub delivered: u32,
    /// How many were not.
    pub failed: u32,
    /// How long they took, by the buckets of [`super::BUCKETS`].
    pub took: [u32; CELLS],
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            hooks: Mutex::default(),
        }
    }
}

impl Traffic {
    /// Counts a request of a hook that has ended.
    pub fn record(&self, hook: &str, delivered: bool, took: Duration, now: Instant) {
        let number = self.number(now);
        lock(&self.hooks).record(hook, number, delivered, took);
    }

    /// The slots of the last hour in which a hook had requests, oldest first, each with how many slots ago it was.
    pub fn of(&self, hook: &str, now: Instant) -> Vec<(u32, Slot)> {
        let now = self.number(now);
        let hooks = lock(&self.hooks);
        let slots = hooks.by_id.get(hook).into_iter().flatten();
        let aged = slots.map(|slot| (now.saturating_sub(slot.number), *slot));
        aged.filter(|(age, _)| *age < SLOTS).collect()
    }

    /// Forgets the requests of a hook, which another owner has now.
    pub fn forget(&self, hook: &str) {
        let mut hooks = lock(&self.hooks);
        let gone = hooks.by_id.remove(hook);
        hooks.slots -= gone.map_or(0, |slots| slots.len());
    }

    fn number(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.epoch).as_secs() / SLOT.as_secs();
        u32::try_from(passed).unwrap_or(u32::MAX)
    }
}

impl Hooks {
    fn record(&mut self, hook: &str, number: u32, delivered: bool, took: Duration) {
        if self.slots >= MOST {
            self.sweep(number);
        }
        let slots = match self.by_id.get_mut(hook) {
            Some(slots) => slots,
            None => self
                .by_id
                .entry(hook.into())
                .or_insert_with(|| VecDeque::with_capacity(1)),
        };
        let is_over = |slot: &Slot| number.saturating_sub(slot.number) >= SLOTS;
        while slots.front().is_some_and(is_over) {
            slots.pop_front();
            self.slots -= 1;
        }
        if slots.back().is_none_or(|last| last.number < number) {
            slots.push_back(Slot {
                number,
                ..Slot::default()
            });
            self.slots += 1;
        }
        if let Some(slot) = slots.back_mut() {
            let count = if delivered {
                &mut slot.delivered
            } else {
                &mut slot.failed
            };
            *count = count.saturating_add(1);
            if let Some(count) = slot.took.get_mut(cell(took)) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// Makes room: what is older than an hour goes, and then those hooks whose last request is the oldest, until there
    /// is room for as much again. So this happens seldom, however many hooks there are.
    fn sweep(&mut self, now: u32) {
        let newest = |slots: &VecDeque<Slot>| slots.back().map_or(0, |slot| slot.number);
        self.by_id
            .retain(|_, slots| now.saturating_sub(newest(slots)) < SLOTS);
        let mut ages: Vec<(u32, usize)> = self
            .by_id
            .values()
            .map(|slots| (newest(slots), slots.len()))
            .collect();
        ages.sort_unstable_by(|one, other| other.cmp(one));
        let mut kept = 0;
        let beyond = ages.iter().find(|(_, slots)| {
            kept += slots;
            kept > MOST / 2
        });
        if let Some((last, _)) = beyond.copied() {
            self.by_id.retain(|_, slots| newest(slots) > last);
        }
        self.slots = self.by_id.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_hook_has_what_it_did_in_the_last_hour_and_no_other_does() {
        let traffic = Traffic::default();
        let start = traffic.epoch;
        traffic.record("1", true, MS, start);
        traffic.record("1", false, 30 * MS, start);
        traffic.record("1", true, MS, start + 3 * SLOT);
        let shown = traffic.of("1", start + 4 * SLOT);
        let counts: Vec<_> = shown
            .iter()
            .map(|(age, slot)| (*age, slot.delivered, slot.failed))
            .collect();
        assert_eq!(counts, [(4, 1, 1), (1, 1, 0)]);
        assert_eq!(shown[0].1.took[cell(30 * MS)], 1);
        assert!(traffic.of("2", start).is_empty());
        let shown = traffic.of("1", start + SLOTS * SLOT);
        assert_eq!(shown.len(), 1, "what is an hour old is not shown");
        traffic.record("1", true, MS, start + 2 * SLOTS * SLOT);
        assert_eq!(lock(&traffic.hooks).slots, 1, "nor is it kept");
        traffic.forget("1");
        assert!(traffic.of("1", start + 2 * SLOTS * SLOT).is_empty());
        assert_eq!(lock(&traffic.hooks).slots, 0);
    }

    #[test]
    fn a_million_hooks_take_no_more_than_there_is_room_for() {
        let traffic = Traffic::default();
        let mut now = traffic.epoch;
        for hook in 0..1_000_000 {
            if hook % 1000 == 0 {
                now += SLOT;
            }
            traffic.record(&hook.to_string(), true, MS, now);
        }
        let hooks = lock(&traffic.hooks);
        let slots: usize = hooks.by_id.values().map(VecDeque::len).sum();
        assert_eq!(slots, hooks.slots);
        assert!(slots <= MOST, "{slots}");
        drop(hooks);
        assert_eq!(traffic.of("999999", now).len(), 1, "the newest are kept");
    }

    #[test]
    fn where_all_are_equally_new_there_is_room_all_the_same() {
        let traffic = Traffic::default();
        for hook in 0..3 * MOST {
            traffic.record(&hook.to_string(), true, MS, traffic.epoch);
        }
        assert!(lock(&traffic.hooks).slots <= MOST);
    }
}
