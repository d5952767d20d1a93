//! `retries`: the pauses between attempts, as a list, as a rule that makes a list, or `false`.

use std::time::Duration;

use super::reader::{Keys, Value};

const RULE: Keys = Keys {
    known: &["max_tries", "max_time", "first"],
    later: &[],
};
/// The longest pause that a rule makes.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
/// The first pause of a rule that names none.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The most attempts of a rule. More, with pauses of a day, would take years.
const MOST_TRIES: u32 = 1000;

/// Reads the pauses between attempts; none where there is only one attempt.
pub(crate) fn read(value: &Value<'_>) -> Option<Vec<Duration>> {
    if value.is_false() {
        return Some(Vec::new());
    }
    if value.is_table() {
        return rule(value);
    }
    let remedy = "a list such as [\"5s\", \"5m\"], a table such as { max_tries = 10 }, or false for one attempt";
    let pauses = value.list_of(remedy, Value::duration)?;
    if pauses.is_empty() {
        value.wrong(format!(
            "{} is empty; write false for one attempt",
            value.key
        ));
    }
    Some(pauses)
}

fn rule(value: &Value<'_>) -> Option<Vec<Duration>> {
    let table = value.table(&RULE)?;
    let max_tries = table.find("max_tries").map(|value| {
        let tries = value.count()?;
        if tries > MOST_TRIES {
            value.wrong(format!(
                "{} is {tries}; write a whole number from 1 to {MOST_TRIES}",
                value.key
            ));
        }
        Some(tries.min(MOST_TRIES))
    });
    let max_time = table.find("max_time").map(Value::positive_duration);
    let first = table.find("first").map(Value::positive_duration);
    if max_tries.is_none() && max_time.is_none() {
        value.wrong(format!(
            "{} has no end; write max_tries = 10, max_time = \"1h\", or both",
            value.key
        ));
        return None;
    }
    // The outer `None` is an absent key, the inner one a mistake that was recorded.
    let known = |key: Option<Option<_>>| key.map_or(Some(None), |value| value.map(Some));
    let max_tries = max_tries.map_or(Some(None), |value| value.map(Some))?;
    Some(doubling(
        known(first)?.unwrap_or(FIRST_PAUSE),
        max_tries.unwrap_or(MOST_TRIES),
        known(max_time)?,
    ))
}

/// Pauses that double from `first` up to a day, for `max_tries` attempts in all, and with a sum of at most `max_time`.
fn doubling(first: Duration, max_tries: u32, max_time: Option<Duration>) -> Vec<Duration> {
    let (mut pauses, mut together) = (Vec::new(), Duration::ZERO);
    let mut pause = first.min(LONGEST_PAUSE);
    for _ in 1..max_tries {
        together += pause;
        if max_time.is_some_and(|limit| together > limit) {
            break;
        }
        pauses.push(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    pauses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_so_many_tries_or_so_much_time() {
        let seconds =
            |pauses: Vec<Duration>| -> Vec<u64> { pauses.iter().map(Duration::as_secs).collect() };
        let after = |first, tries, time: Option<u64>| {
            let time = time.map(Duration::from_secs);
            seconds(doubling(Duration::from_secs(first), tries, time))
        };
        assert_eq!(after(1, 5, None), [1, 2, 4, 8]);
        assert_eq!(after(5, 1, None), [0; 0]);
        assert_eq!(after(1, 100, Some(7)), [1, 2, 4]);
        assert_eq!(after(1, 100, Some(6)), [1, 2]);
        assert_eq!(after(10, 100, Some(9)), [0; 0]);
        assert_eq!(after(50_000, 4, None), [50_000, 86_400, 86_400]);
        assert_eq!(after(200_000, 3, None), [86_400, 86_400]);
    }
}
