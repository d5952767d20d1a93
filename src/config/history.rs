//! `[history]`: what is remembered of attempts, and for how long.

use std::time::Duration;

use super::reader::{Keys, Table, Value};

/// `[history]`: what is remembered of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// So many successes of each hook, the last ones. Default 100; 0 where it is `false`.
    pub successes: u32,
    /// How long failures are remembered. Default `30d`.
    pub failures_for: Duration,
    /// Remember bodies too. Default true.
    pub bodies: bool,
}

pub(super) const KEYS: Keys = Keys {
    known: &["successes", "failures_for", "bodies"],
    later: &[],
};

/// Every default of `[history]`.
impl Default for History {
    fn default() -> Self {
        Self {
            successes: 100,
            failures_for: Duration::from_secs(30 * 24 * 60 * 60),
            bodies: true,
        }
    }
}

pub(super) fn read(section: &Table<'_>) -> History {
    let default = History::default();
    let failures_for = section.find("failures_for").and_then(Value::some_time);
    let bodies = section.find("bodies").and_then(Value::flag);
    History {
        successes: section
            .find("successes")
            .and_then(successes)
            .unwrap_or(default.successes),
        failures_for: failures_for.unwrap_or(default.failures_for),
        bodies: bodies.unwrap_or(default.bodies),
    }
}

/// A number of them, or `false` for none.
fn successes(value: &Value<'_>) -> Option<u32> {
    if value.is_integer() {
        return value.count();
    }
    if value.is_false() {
        return Some(0);
    }
    value.mistyped("a whole number from 1, or false for none");
    None
}
