//! Waiting for facts.

use std::time::Duration;

use tokio::time::Instant;

/// The time within which everything happens, even on a machine that is busy with other work.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Calls `met` every 20 ms until it returns true.
///
/// # Panics
/// When `met` has not returned true within `deadline`. The message contains `fact`.
pub async fn until_within(deadline: Duration, fact: &str, mut met: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + deadline;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while !met().await {
        assert!(Instant::now() < end, "never came true: {fact}");
        ticks.tick().await;
    }
}
