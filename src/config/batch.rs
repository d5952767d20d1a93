//! `batch`: how several deliveries are gathered into one request.

use std::{num::NonZeroUsize, time::Duration};

use super::reader::{Keys, Value};

/// How several deliveries are gathered into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// The most deliveries of a request, from 1 to 200. Default 100.
    pub max: NonZeroUsize,
    /// The longest time that a delivery waits for others, up to a minute. Default 1 s.
    pub wait: Duration,
}

const KEYS: Keys = Keys {
    known: &["max", "wait"],
    later: &[],
};
/// The most deliveries of a request. Their ids fit into a header of 8 KiB, which common servers allow.
const MOST: usize = 200;
/// The longest `wait`. While deliveries wait, the slot cannot advance.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Reads `batch`. `Some(None)` stands for `false`: each delivery is sent alone. `None`: there was a mistake.
pub(super) fn read(value: &Value<'_>) -> Option<Option<Batch>> {
    if value.is_false() {
        return Some(None);
    }
    if !value.is_table() {
        value.mistyped("a table such as { max = 100, wait = \"1s\" }, or false to send each alone");
        return None;
    }
    let table = value.table(&KEYS)?;
    let default = Batch {
        max: NonZeroUsize::MIN.saturating_add(99),
        wait: Duration::from_secs(1),
    };
    let max = table
        .find("max")
        .map_or(Some(default.max), |value| max(value));
    let wait = table
        .find("wait")
        .map_or(Some(default.wait), |value| wait(value));
    Some(Some(Batch {
        max: max?,
        wait: wait?,
    }))
}

fn max(value: &Value<'_>) -> Option<NonZeroUsize> {
    let count = usize::try_from(value.count()?).unwrap_or(usize::MAX);
    if count > MOST {
        value.wrong(format!(
            "{} is {count}; write a whole number from 1 to {MOST}",
            value.key
        ));
        return None;
    }
    NonZeroUsize::new(count)
}

fn wait(value: &Value<'_>) -> Option<Duration> {
    let wait = value.duration()?;
    if wait > LONGEST_WAIT {
        value.wrong(format!(
            "{} is longer than a minute, and what waits keeps WAL; write \"60s\" or less",
            value.key
        ));
        return None;
    }
    Some(wait)
}
