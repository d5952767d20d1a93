//! How long an endpoint is waited for that is asked before a transaction commits, and what its silence means.

use std::time::Duration;

use super::reader::{Table, Value};

/// The longest that a transaction may wait for an endpoint, with all its locks.
const LONGEST: Duration = Duration::from_secs(10);

/// How long an endpoint may take where the file does not say.
const USUAL: Duration = Duration::from_secs(2);

/// The keys beside `before`.
pub(super) const WITH_BEFORE: [&str; 2] = ["timeout", "silence"];

/// What it means when there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Silence {
    /// The transaction goes on.
    #[default]
    Allow,
    /// The transaction is refused.
    Refuse,
}

/// Reads `timeout` and `silence` of an event.
pub(super) fn read(table: &Table<'_>) -> (Duration, Silence) {
    let timeout = table.find("timeout");
    let wait = timeout.and_then(Value::positive_duration);
    if let (Some(value), Some(wait)) = (timeout, wait)
        && wait > LONGEST
    {
        value.wrong(format!(
            "{} is more than 10s, for which the transaction would keep its locks; write 10s or less",
            value.key
        ));
    }
    let silence = table
        .find("silence")
        .and_then(|value| value.choice(&[("allow", Silence::Allow), ("refuse", Silence::Refuse)]));
    (wait.unwrap_or(USUAL), silence.unwrap_or_default())
}
