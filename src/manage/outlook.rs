//! How it stands with a hook or a delivery, and what happens next: in one sentence, in words for whoever owns the
//! endpoint and knows nothing of how rowhook works.

use std::time::Duration;

use http::StatusCode;

use super::{
    deliveries::{Delivery, State},
    hooks::Hook,
};
use crate::config::DisableAfter;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How it stands with a hook. `next` is when the next of its deliveries is tried again, if that is known.
pub fn of_hook(hook: &Hook, next: Option<&str>, disable_after: DisableAfter) -> String {
    let waiting = deliveries(hook.parked, "waits", "wait");
    if let Some(reason) = &hook.invalid {
        return format!(
            "Nothing is sent to this endpoint, because {reason}; it goes on by itself once that is corrected."
        );
    }
    if !hook.active {
        let why = match (&hook.disabled_at, &hook.disabled_reason) {
            (Some(at), Some(reason)) => format!(" since {} ({reason})", time(at)),
            _ => String::new(),
        };
        let then = match hook.parked {
            0 => "gets what happens from then on".to_owned(),
            1 => "gets the one delivery that waits for it then".to_owned(),
            many => format!("gets the {many} deliveries that wait for it then"),
        };
        return format!(
            "This endpoint is paused{why}: nothing is sent to it until it is resumed, and it {then}."
        );
    }
    let last = hook.last.as_ref().filter(|last| !last.delivered);
    if let Some(since) = &hook.failing_since {
        let why = last.map_or_else(
            || "no request has succeeded".to_owned(),
            |last| cause(&last.answer),
        );
        let then = match (hook.parked, next) {
            (0, _) => "the next event is tried as usual".to_owned(),
            (_, Some(next)) => format!("{waiting} and will be tried again from {} on", time(next)),
            (_, None) => format!("{waiting} and will be tried again"),
        };
        let end = match disable_after {
            DisableAfter::Time(time) => format!("{} without a success", duration(time)),
            DisableAfter::Failures(count) => format!("{count} failures in a row"),
        };
        return format!(
            "Since {} {why}; {then}, and after {end} the endpoint is paused.",
            time(since)
        );
    }
    if hook.dead > 0 {
        return format!(
            "Requests arrive, but {} up earlier; nothing happens with those by itself, and they can be sent again.",
            deliveries(hook.dead, "was given", "were given")
        );
    }
    match (&hook.last, hook.parked) {
        (None, 0) => {
            "Nothing has been sent to this endpoint yet; it gets the next event that it is for."
                .to_owned()
        }
        (_, 0) => "All is well: what happens is sent at once.".to_owned(),
        (_, 1) => "One delivery waits for its turn, and is sent then.".to_owned(),
        (_, many) => format!("{many} deliveries wait for their turn, and are sent then."),
    }
}

/// How it stands with a delivery to `hook`, if that is still there.
pub fn of_delivery(delivery: &Delivery, hook: Option<&Hook>) -> String {
    let why = delivery.reason.as_deref().map(because);
    let why = why.unwrap_or_default();
    match delivery.state {
        State::Delivered => match delivery.attempts {
            ..=1 => format!("The endpoint has accepted it at {}.", time(&delivery.at)),
            many => format!(
                "The endpoint has accepted it at {}, at attempt {many}.",
                time(&delivery.at)
            ),
        },
        State::Dead => format!(
            "It was given up after {}{}; nothing happens by itself, and it can be sent again.",
            attempts(delivery.attempts),
            why
        ),
        State::Parked if delivery.in_flight => "A request is being made just now.".to_owned(),
        State::Parked => {
            if hook.is_some_and(|hook| !hook.active) {
                return format!("It waits until the endpoint is resumed{why}, and is sent then.");
            }
            match &delivery.next_attempt {
                Some(next) if delivery.attempts > 0 => format!(
                    "It is tried again at {}{why}; that is attempt {}.",
                    time(next),
                    delivery.attempts + 1
                ),
                Some(next) => format!("It is sent at {}{why}.", time(next)),
                None => "It waits behind an earlier delivery, which has to arrive first, and is sent by itself then."
                    .to_owned(),
            }
        }
    }
}

/// The reason of a delivery, as a part of a sentence.
fn because(reason: &str) -> String {
    // That it was the last attempt is said by other words.
    let reason = reason
        .rsplit_once(" attempts failed: ")
        .map_or(reason, |(_, answer)| answer);
    match reason.parse::<u16>() {
        Ok(_) => format!(", because {}", cause(reason)),
        Err(_) => format!(" ({reason})"),
    }
}

/// Why a request failed: what the endpoint answered, or that it did not.
fn cause(answer: &str) -> String {
    let status = answer
        .parse()
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok());
    match status {
        Some(status) => match status.canonical_reason() {
            Some(phrase) => format!("the endpoint answers {answer} ({phrase})"),
            None => format!("the endpoint answers {answer}"),
        },
        None => format!("there is no answer that can be used ({answer})"),
    }
}

fn deliveries(count: i64, one: &str, many: &str) -> String {
    match count {
        1 => format!("one delivery {one}"),
        _ => format!("{count} deliveries {many}"),
    }
}

fn attempts(count: i32) -> String {
    match count {
        1 => "one attempt".to_owned(),
        _ => format!("{count} attempts"),
    }
}

/// A time as people read it.
fn time(time: &str) -> String {
    let time = time.split('.').next().unwrap_or(time);
    let time = time.trim_end_matches('Z').replace('T', " ");
    format!("{time} UTC")
}

fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")];
    let whole = units
        .into_iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    match whole {
        Some((unit, name)) if seconds == unit => format!("one {name}"),
        Some((unit, name)) => format!("{} {name}s", seconds / unit),
        None => format!("{time:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::hooks::LastAnswer;

    const AT: &str = "2026-01-31T12:00:00.123456Z";
    const LATER: &str = "2026-01-31T12:05:00.000000Z";
    const FIVE_DAYS: DisableAfter = DisableAfter::Time(Duration::from_secs(5 * DAY));

    fn last(answer: &str) -> Option<LastAnswer> {
        Some(LastAnswer {
            at: AT.to_owned(),
            delivered: answer == "200",
            answer: answer.to_owned(),
        })
    }

    fn active() -> Hook {
        Hook {
            active: true,
            ..Hook::default()
        }
    }

    #[test]
    fn a_sentence_says_how_it_stands_with_a_hook_and_what_happens_next() {
        for (hook, expected) in [
            (
                active(),
                "Nothing has been sent to this endpoint yet; it gets the next event that it is for.",
            ),
            (
                Hook {
                    last: last("200"),
                    ..active()
                },
                "All is well: what happens is sent at once.",
            ),
            (
                Hook {
                    last: last("200"),
                    parked: 1,
                    ..active()
                },
                "One delivery waits for its turn, and is sent then.",
            ),
            (
                Hook {
                    last: last("200"),
                    dead: 2,
                    ..active()
                },
                "Requests arrive, but 2 deliveries were given up earlier; nothing happens with those by itself, and \
                 they can be sent again.",
            ),
            (
                Hook {
                    last: last("503"),
                    failing_since: Some(AT.to_owned()),
                    parked: 3,
                    ..active()
                },
                "Since 2026-01-31 12:00:00 UTC the endpoint answers 503 (Service Unavailable); 3 deliveries wait and \
                 will be tried again from 2026-01-31 12:05:00 UTC on, and after 5 days without a success the endpoint \
                 is paused.",
            ),
            (
                Hook {
                    disabled_at: Some(AT.to_owned()),
                    disabled_reason: Some("the target answered 410".to_owned()),
                    parked: 1,
                    ..Hook::default()
                },
                "This endpoint is paused since 2026-01-31 12:00:00 UTC (the target answered 410): nothing is sent to \
                 it until it is resumed, and it gets the one delivery that waits for it then.",
            ),
            (
                Hook {
                    invalid: Some("its filter is no expression".to_owned()),
                    ..active()
                },
                "Nothing is sent to this endpoint, because its filter is no expression; it goes on by itself once that \
                 is corrected.",
            ),
        ] {
            assert_eq!(of_hook(&hook, Some(LATER), FIVE_DAYS), expected);
        }
    }

    #[test]
    fn a_sentence_says_how_it_stands_with_a_delivery_and_what_happens_next() {
        let parked = || Delivery {
            attempts: 2,
            reason: Some("500".to_owned()),
            next_attempt: Some(LATER.to_owned()),
            ..Delivery::sample()
        };
        for (delivery, is_active, expected) in [
            (
                parked(),
                true,
                "It is tried again at 2026-01-31 12:05:00 UTC, because the endpoint answers 500 (Internal Server \
                 Error); that is attempt 3.",
            ),
            (
                Delivery {
                    in_flight: true,
                    ..parked()
                },
                true,
                "A request is being made just now.",
            ),
            (
                Delivery {
                    next_attempt: None,
                    attempts: 0,
                    reason: None,
                    ..parked()
                },
                true,
                "It waits behind an earlier delivery, which has to arrive first, and is sent by itself then.",
            ),
            (
                parked(),
                false,
                "It waits until the endpoint is resumed, because the endpoint answers 500 (Internal Server Error), \
                 and is sent then.",
            ),
            (
                Delivery {
                    state: State::Dead,
                    reason: Some("the last of 1 attempts failed: timed out after 15s".to_owned()),
                    attempts: 1,
                    ..parked()
                },
                true,
                "It was given up after one attempt (timed out after 15s); nothing happens by itself, and it can be \
                 sent again.",
            ),
            (
                Delivery {
                    state: State::Delivered,
                    ..parked()
                },
                true,
                "The endpoint has accepted it at 2026-01-31 12:00:00 UTC, at attempt 2.",
            ),
        ] {
            let hook = Hook {
                active: is_active,
                ..Hook::default()
            };
            assert_eq!(of_delivery(&delivery, Some(&hook)), expected);
        }
    }
}
