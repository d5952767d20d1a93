//! `[history]`: which attempts are remembered, and for how long.

use std::time::Duration;

use super::reader::{Keys, Table, Value};

/// `[history]`: which attempts are remembered, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The number of successful attempts that are remembered of each hook, the last ones. 0 for `false`. Default 100.
    pub successes: u32,
    /// The time for which failed attempts are remembered. Default `30d`.
    pub failures_for: Duration,
    /// Are bodies remembered too? Default true.
    pub bodies: bool,
    /// Is `rowhook.delivered` fired for successful attempts that are remembered? Default false.
    pub delivered: bool,
}

pub(super) const KEYS: Keys = Keys {
    known: &["successes", "failures_for", "bodies", "delivered"],
    later: &[],
};

/// The defaults of `[history]`.
impl Default for History {
    fn default() -> Self {
        Self {
            successes: 100,
            failures_for: Duration::from_secs(30 * 24 * 60 * 60),
            bodies: true,
            delivered: false,
        }
    }
}

pub(super) fn read(section: &Table<'_>) -> History {
    let default = History::default();
    let failures_for = section
        .find("failures_for")
        .and_then(Value::positive_duration);
    let bodies = section.find("bodies").and_then(Value::flag);
    let delivered = section.find("delivered").and_then(Value::flag);
    History {
        successes: section
            .find("successes")
            .and_then(successes)
            .unwrap_or(default.successes),
        failures_for: failures_for.unwrap_or(default.failures_for),
        bodies: bodies.unwrap_or(default.bodies),
        delivered: delivered.unwrap_or(default.delivered),
    }
}

/// A number, or `false` for none.
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
