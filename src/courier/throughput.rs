//! How fast a hook takes what comes from the stream.

use std::time::Duration;

use tokio::time::Instant;

/// So long is counted,
const WINDOW: Duration = Duration::from_secs(2);
/// and a hook of which fewer deliveries of the stream were sent meanwhile, though others waited, is slow: its endpoint is, or it has
/// its hands full with what was parked before.
const FEWEST: usize = 10;

/// What of one hook has gone while more of it waited.
#[derive(Debug, Default)]
pub struct Pace {
    /// Since when it is counted, and how many deliveries have gone.
    counted: Option<(Instant, usize)>,
}

impl Pace {
    /// So many deliveries go.
    pub fn send(&mut self, deliveries: usize) {
        if let Some((_, sent)) = &mut self.counted {
            *sent += deliveries;
        }
    }

    /// Nothing waits.
    pub fn rest(&mut self) {
        self.counted = None;
    }

    /// Something waits. Have so few gone that it would wait for long? Of every window that is said once.
    pub fn is_slow(&mut self, now: Instant) -> bool {
        let (since, sent) = *self.counted.get_or_insert((now, 0));
        if now.saturating_duration_since(since) < WINDOW {
            return false;
        }
        self.counted = Some((now, 0));
        sent < FEWEST
    }

    /// When there will be more to say; `None` while nothing waits.
    pub fn known_at(&self) -> Option<Instant> {
        self.counted.map(|(since, _)| since + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_takes_few_while_others_wait_is_slow_and_one_that_takes_some_is_not() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.send(5);
        assert!(!pace.is_slow(start));
        assert_eq!(pace.known_at(), Some(start + WINDOW));
        pace.send(FEWEST);
        assert!(!pace.is_slow(start + WINDOW));
        pace.send(FEWEST - 1);
        assert!(!pace.is_slow(start + WINDOW + WINDOW / 2));
        assert!(pace.is_slow(start + 2 * WINDOW));
        assert!(!pace.is_slow(start + 2 * WINDOW));
    }

    #[test]
    fn while_nothing_waits_nothing_is_counted() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!(!pace.is_slow(start));
        pace.rest();
        assert_eq!(pace.known_at(), None);
        assert!(!pace.is_slow(start + 2 * WINDOW));
    }
}
