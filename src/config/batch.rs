//! `batch`: how several deliveries are gathered into one request.

use std::{num::NonZeroUsize, time::Duration};

use super::reader::{Keys, Value};

/// How several deliveries are gathered into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// The most deliveries of a request, from 1 to 200. Default 100.
    pub max: NonZeroUsize,
    /// The most bytes of an array of several, from 1 KiB to 20 MiB. Default 1 MiB.
    pub max_bytes: usize,
    /// The longest time that a delivery waits for others, up to a minute. Default 1 s.
    pub wait: Duration,
}

const KEYS: Keys = Keys {
    known: &["max", "max_bytes", "wait"],
    later: &[],
};
/// The most deliveries of a request. Their ids fit into a header of 8 KiB, which common servers allow.
const MOST: usize = 200;
/// The default of `max_bytes`, which common servers take.
const USUAL_BYTES: usize = 1 << 20;
/// The bounds of `max_bytes`.
const FEWEST_BYTES: usize = 1 << 10;
const MOST_BYTES: usize = 20 << 20;
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
        max_bytes: USUAL_BYTES,
        wait: Duration::from_secs(1),
    };
    let max = table
        .find("max")
        .map_or(Some(default.max), |value| max(value));
    let wait = table
        .find("wait")
        .map_or(Some(default.wait), |value| wait(value));
    let max_bytes = table
        .find("max_bytes")
        .map_or(Some(default.max_bytes), |value| max_bytes(value));
    Some(Some(Batch {
        max: max?,
        max_bytes: max_bytes?,
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

fn max_bytes(value: &Value<'_>) -> Option<usize> {
    let bytes = value.size(FEWEST_BYTES, "1KiB")?;
    if bytes > MOST_BYTES {
        value.wrong(format!(
            "{} is more than 20 MiB; write \"20MiB\" or less",
            value.key
        ));
        return None;
    }
    Some(bytes)
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
