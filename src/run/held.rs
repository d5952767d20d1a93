//! Tells people of a delivery that has been unsettled for long, and so keeps the slot where it is.
//!
//! A delivery is settled within its hook's time-out: it has arrived, or it is parked. One that takes much longer waits
//! for the tables or for memory, or was lost by a bug. Then Postgres keeps its WAL, which is worth a word long before
//! the disk is full.

use std::{convert::Infallible, time::Duration};

use tokio::time::Instant;

use super::context::SessionContext;
use crate::delivery::ledger::Holding;

/// The interval between looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// This long is long: more than the time-out of nearly any hook.
const LONG: Duration = Duration::from_secs(300);

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// The oldest is held for so long.
    Held(Holding, Duration),
    /// None is held for long any more.
    Over,
}

/// What was said last.
#[derive(Debug, Default)]
struct Said {
    /// The delivery that was told of, and for how long it was held then.
    held: Option<(Holding, Duration)>,
}

impl Said {
    /// Looks at the oldest unsettled delivery. The same one is told of again each time it is twice as old.
    fn look(&mut self, oldest: Option<Holding>, now: Instant) -> Option<News> {
        let age = |holding: &Holding| now.saturating_duration_since(holding.since);
        let Some(holding) = oldest.filter(|holding| age(holding) >= LONG) else {
            return self.held.take().map(|_| News::Over);
        };
        let lasted = age(&holding);
        let is_known = |(told, when): &(Holding, Duration)| *told == holding && lasted < *when * 2;
        if self.held.as_ref().is_some_and(is_known) {
            return None;
        }
        self.held = Some((holding.clone(), lasted));
        Some(News::Held(holding, lasted))
    }
}

/// Tells of what is held for long, in the log and in the table of the progress, for as long as it is polled.
pub(super) async fn watch_held(context: &SessionContext<'_>) -> Infallible {
    let mut said = Said::default();
    // Beside what the table says of an earlier session.
    let mut news = Some(News::Over);
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let latest = said.look(context.ledger.oldest(), Instant::now());
        match &latest {
            Some(News::Held(Holding { hook, .. }, lasted)) => tracing::warn!(
                slot = context.slot(),
                %hook,
                held_for_seconds = lasted.as_secs(),
                unsettled = context.ledger.unsettled(),
                "a delivery is neither made nor parked, and keeps the slot where it is; see what could not be written, or restart rowhook and report it"
            ),
            Some(News::Over) => {
                tracing::info!(
                    slot = context.slot(),
                    "no delivery is held for long any more"
                );
            }
            None => {}
        }
        news = latest.or(news);
        let held = match &news {
            None => continue,
            Some(News::Over) => None,
            Some(News::Held(Holding { hook, .. }, lasted)) => Some((hook, *lasted)),
        };
        match context.store.note_held(context.slot(), held).await {
            Ok(true) => news = None,
            // Before the first checkpoint, there is no place for it.
            Ok(false) => {}
            Err(error) => tracing::debug!(error = format!("{error:#}"), "not noted; tried again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::HookId;

    #[test]
    fn what_is_held_for_long_is_told_at_doubling_ages_and_its_end_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let of = |id: &str, since| {
            Some(Holding {
                hook: HookId::new(id, true),
                since: at(since),
            })
        };
        let mut said = Said::default();
        let mut told = |oldest, now| match said.look(oldest, at(now)) {
            None => "nothing".to_owned(),
            Some(News::Over) => "over".to_owned(),
            Some(News::Held(holding, lasted)) => format!("{} {lasted:?}", holding.hook),
        };
        assert_eq!(told(None, 0), "nothing");
        assert_eq!(told(of("1", 0), 299), "nothing");
        assert_eq!(told(of("1", 0), 300), "1 300s");
        assert_eq!(told(of("1", 0), 599), "nothing");
        assert_eq!(told(of("1", 0), 600), "1 600s");
        assert_eq!(told(of("2", 310), 610), "2 300s");
        assert_eq!(told(of("3", 500), 611), "over");
        assert_eq!(told(None, 612), "nothing");
    }
}
