//! How fast a hook takes what comes from the stream.

use std::time::Duration;

use tokio::time::Instant;

/// Over which time deliveries are counted.
const WINDOW: Duration = Duration::from_secs(2);
/// With fewer deliveries than this in a window, though more were waiting, a hook is slow: its endpoint is, or it is
/// busy with what was parked before.
const FEWEST: usize = 10;

/// Counts the deliveries of one hook that are sent while others of it wait.
#[derive(Debug, Default)]
pub struct Throughput {
    /// When the window began, and how many deliveries were sent in it; `None` while nothing waits.
    window: Option<(Instant, usize)>,
}

impl Throughput {
    /// Counts deliveries that are being sent.
    pub fn record(&mut self, deliveries: usize) {
        if let Some((_, sent)) = &mut self.window {
            *sent += deliveries;
        }
    }

    /// Stops counting, because nothing waits.
    pub fn reset(&mut self) {
        self.window = None;
    }

    /// Counts from now on, because something waits. Returns whether so few were sent in a window that it would wait for
    /// long; each window is judged once, when it is over.
    pub fn is_slow(&mut self, now: Instant) -> bool {
        let (since, sent) = *self.window.get_or_insert((now, 0));
        if now.saturating_duration_since(since) < WINDOW {
            return false;
        }
        self.window = Some((now, 0));
        sent < FEWEST
    }

    /// When the window is over; `None` while nothing waits.
    pub fn window_ends_at(&self) -> Option<Instant> {
        self.window.map(|(since, _)| since + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_takes_few_while_others_wait_is_slow_and_one_that_takes_some_is_not() {
        let (mut throughput, start) = (Throughput::default(), Instant::now());
        throughput.record(5);
        assert!(!throughput.is_slow(start));
        assert_eq!(throughput.window_ends_at(), Some(start + WINDOW));
        throughput.record(FEWEST);
        assert!(!throughput.is_slow(start + WINDOW));
        throughput.record(FEWEST - 1);
        assert!(!throughput.is_slow(start + WINDOW + WINDOW / 2));
        assert!(throughput.is_slow(start + 2 * WINDOW));
        assert!(!throughput.is_slow(start + 2 * WINDOW));
    }

    #[test]
    fn while_nothing_waits_nothing_is_counted() {
        let (mut throughput, start) = (Throughput::default(), Instant::now());
        assert!(!throughput.is_slow(start));
        throughput.reset();
        assert_eq!(throughput.window_ends_at(), None);
        assert!(!throughput.is_slow(start + 2 * WINDOW));
    }
}
