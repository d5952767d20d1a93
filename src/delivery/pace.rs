//! How fast an endpoint takes what waits for it.

use std::time::Duration;

use tokio::time::Instant;

/// So long is counted,
const WINDOW: Duration = Duration::from_secs(2);
/// and an endpoint that has taken fewer meanwhile, though others waited for their turn, is slow.
const FEWEST: usize = 10;

/// What of one hook has gone while others waited for their turn.
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

    /// Nobody waits for the endpoint.
    pub fn rest(&mut self) {
        self.counted = None;
    }

    /// Somebody waits. Have so few gone that they would wait for long? Every window is asked about once.
    pub fn is_slow(&mut self, now: Instant) -> bool {
        let (since, sent) = *self.counted.get_or_insert((now, 0));
        if now.saturating_duration_since(since) < WINDOW {
            return false;
        }
        self.counted = Some((now, 0));
        sent < FEWEST
    }

    /// When there will be more to say; `None` while nobody waits.
    pub fn known_at(&self) -> Option<Instant> {
        self.counted.map(|(since, _)| since + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_few_while_others_wait_is_slow_and_who_takes_some_is_not() {
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
    fn while_nobody_waits_nothing_is_counted() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!(!pace.is_slow(start));
        pace.rest();
        assert_eq!(pace.known_at(), None);
        assert!(!pace.is_slow(start + 2 * WINDOW));
    }
}
