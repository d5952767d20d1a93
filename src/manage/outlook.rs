//! What becomes of a delivery next, and how a hook fares, each in one sentence for people.
//!
//! Plain functions on values: the tables and the running rowhook are asked elsewhere, and the clock is handed in. Page,
//! API and command line all show these sentences, so that they say the same.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::state::State;
use crate::{postgres::time::timestamp, send::answer::PROXY_FAILED};

/// What a delivery waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// The answer to a request that is being made.
    Answer,
    /// The next time of its schedule, or the one that the endpoint has named.
    Schedule,
    /// Its turn: it is due, and goes as soon as there is a free request.
    Turn,
    /// Another delivery, which stands before it in its lane.
    Lane,
    /// Its endpoint, which has only failed of late or has asked for time.
    Endpoint,
    /// The proxy through which requests leave.
    Proxy,
    /// A rate, of its hook, its owner or its host.
    Rate,
    /// The requests that are on their way for other hooks of its owner.
    Quota,
    /// That somebody enables its hook.
    HookDisabled,
    /// That somebody corrects its hook.
    HookInvalid,
    /// Nothing: its hook is gone.
    HookGone,
    /// That somebody resumes rowhook.
    Resume,
    /// A rowhook that is attached to the database.
    Rowhook,
}

/// What becomes of a delivery next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// What it waits for; `None` where it waits for nothing.
    pub waits_for: Option<WaitsFor>,
    /// Why it waits and when it goes, in one sentence.
    pub why: String,
}

/// What is known of a delivery.
#[derive(Debug, Clone)]
pub(super) struct DeliveryFacts<'a> {
    pub(super) state: State,
    pub(super) attempts: i32,
    /// How the last attempt ended, or why it was given up.
    pub(super) reason: Option<&'a str>,
    pub(super) next_attempt: Option<SystemTime>,
    pub(super) in_flight: bool,
    /// The delivery that stands before it in its lane, where that is known.
    pub(super) ahead: Option<&'a str>,
    pub(super) hook: HookState<'a>,
    pub(super) process: &'a Process,
    /// Whether requests leave through a proxy, which may be why an endpoint is not asked.
    pub(super) is_proxied: bool,
    /// For how long the deliveries of hooks that are disabled or gone are kept.
    pub(super) retention: Duration,
    pub(super) now: SystemTime,
}

/// How the hook of a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HookState<'a> {
    /// It can be sent to, at this rate if it has one of its own.
    Good(Option<&'a str>),
    /// It is disabled, for this reason if one is known.
    Disabled(Option<&'a str>),
    /// It cannot be used, for this reason.
    Invalid(&'a str),
    /// There is no such hook.
    Gone,
}

/// What the rowhook that answers knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Process {
    /// Nothing is known: it is not the one that delivers, or none does.
    #[default]
    Unknown,
    /// It is not attached to the database.
    Detached,
    /// Somebody has paused it.
    Paused,
    /// It delivers, and this keeps the hook waiting.
    Attached(Option<Hindrance>),
}

/// What keeps a hook waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// Its endpoint has only failed of late, and is left alone until then.
    LeftAlone(SystemTime),
    /// A single request is on its way, which decides if others may follow.
    Probed,
    /// Its endpoint has asked for time until then.
    Paused(SystemTime),
    Rate,
    Quota,
}

/// What becomes of a delivery next.
pub(super) fn of_delivery(facts: &DeliveryFacts<'_>) -> Outlook {
    let waits = |waits_for, why: String| Outlook {
        waits_for: Some(waits_for),
        why,
    };
    let ends = |why: String| Outlook {
        waits_for: None,
        why,
    };
    let reason = facts.reason.unwrap_or("no reason is on record");
    match facts.state {
        State::Delivered if facts.attempts > 1 => {
            return ends(format!("It arrived with attempt {}.", facts.attempts));
        }
        State::Delivered => return ends("It arrived at the first attempt.".to_owned()),
        State::Dead => {
            return ends(format!(
                "It was given up, because {}; it is sent again only when somebody retries it.",
                because(reason)
            ));
        }
        State::Parked => {}
    }
    let kept = human(facts.retention);
    match facts.hook {
        HookState::Gone => {
            return waits(
                WaitsFor::HookGone,
                format!("Its hook is gone, so it is not sent; it is kept for {kept}."),
            );
        }
        HookState::Invalid(reason) => {
            return waits(
                WaitsFor::HookInvalid,
                format!("Its hook cannot be used, and it goes when that is corrected: {reason}."),
            );
        }
        HookState::Disabled(reason) => {
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            return waits(
                WaitsFor::HookDisabled,
                format!(
                    "Its hook is disabled{reason}; it goes when that is enabled again, and is kept for {kept}."
                ),
            );
        }
        HookState::Good(_) => {}
    }
    match facts.process {
        Process::Detached => {
            return waits(
                WaitsFor::Rowhook,
                "Nothing is sent while the database cannot be followed; it goes when that is over."
                    .to_owned(),
            );
        }
        Process::Paused => {
            return waits(
                WaitsFor::Resume,
                "Sending is paused; it goes when that is over; RESUME in the console ends it."
                    .to_owned(),
            );
        }
        Process::Unknown | Process::Attached(_) => {}
    }
    if facts.in_flight {
        return waits(
            WaitsFor::Answer,
            "A request with it is being made just now.".to_owned(),
        );
    }
    let Some(at) = facts.next_attempt else {
        let ahead = match facts.ahead {
            Some(ahead) => format!("behind {ahead}, which is earlier"),
            None => "behind an earlier one".to_owned(),
        };
        return waits(
            WaitsFor::Lane,
            format!("It waits {ahead} in its lane; it goes when that has arrived or is given up."),
        );
    };
    let hindrance = match facts.process {
        Process::Attached(hindrance) => *hindrance,
        Process::Unknown | Process::Detached | Process::Paused => None,
    };
    let failed = failed(facts.attempts, facts.reason);
    // Where the proxy fails, the endpoint is left alone too.
    if facts
        .reason
        .is_some_and(|reason| reason.starts_with(PROXY_FAILED))
    {
        return waits(
            WaitsFor::Proxy,
            format!(
                "It waits for our own way out, because {reason}; it is tried again {}, and its schedule stands still \
                 until then.",
                moment(at, facts.now)
            ),
        );
    }
    match hindrance {
        Some(Hindrance::LeftAlone(until)) if until.max(facts.now) >= at => {
            return waits(
                WaitsFor::Endpoint,
                format!(
                    "Its endpoint has only failed of late and is left alone; a single request tries it {}, and this \
                     one goes then or after that.",
                    moment(until, facts.now)
                ),
            );
        }
        Some(Hindrance::Probed) if at <= facts.now => {
            return waits(
                WaitsFor::Endpoint,
                "Its endpoint has only failed of late; a single request is on its way, and this one goes when that is \
                 taken."
                    .to_owned(),
            );
        }
        Some(Hindrance::Paused(until)) if until > facts.now && until >= at => {
            return waits(
                WaitsFor::Endpoint,
                format!(
                    "Its endpoint has asked for time{}; requests go on {}.",
                    if facts.is_proxied {
                        ", or the proxy cannot be used"
                    } else {
                        ""
                    },
                    moment(until, facts.now)
                ),
            );
        }
        _ => {}
    }
    if at > facts.now {
        let what = match failed {
            Some(failed) => format!("{failed}; it is tried again"),
            None => "It has not been tried yet; it is sent".to_owned(),
        };
        return waits(
            WaitsFor::Schedule,
            format!("{what} {}.", moment(at, facts.now)),
        );
    }
    match hindrance {
        Some(Hindrance::Rate) => {
            let own = match facts.hook {
                HookState::Good(Some(rate)) => format!(" (its hook has {rate})"),
                _ => String::new(),
            };
            waits(
                WaitsFor::Rate,
                format!(
                    "It is due, and goes when the rate of its hook, owner or host lets it pass{own}."
                ),
            )
        }
        Some(Hindrance::Quota) => waits(
            WaitsFor::Quota,
            "It is due, and goes when the hooks of its owner have fewer requests on their way."
                .to_owned(),
        ),
        _ => waits(
            WaitsFor::Turn,
            "It is due, and goes as soon as its hook has a free request.".to_owned(),
        ),
    }
}

/// How an attempt failed; `None` where none was made.
fn failed(attempts: i32, reason: Option<&str>) -> Option<String> {
    let reason = reason.filter(|_| attempts > 0)?;
    Some(format!(
        "Attempt {attempts} failed, because {}",
        because(reason)
    ))
}

/// What is known of a hook, beside how it is.
#[derive(Debug, Clone)]
pub(super) struct HookFacts<'a> {
    pub(super) state: HookState<'a>,
    pub(super) disabled_at: Option<&'a str>,
    pub(super) failing_since: Option<&'a str>,
    /// The answer to its last request, and whether that was accepted.
    pub(super) last: Option<(&'a str, bool)>,
    pub(super) parked: i64,
    pub(super) dead: i64,
    /// When the first of its deliveries is due, if one is.
    pub(super) next_attempt: Option<SystemTime>,
    /// How the last attempt of that delivery ended.
    pub(super) due_reason: Option<&'a str>,
    pub(super) process: &'a Process,
    pub(super) now: SystemTime,
}

/// How a hook fares.
pub(super) fn of_hook(facts: &HookFacts<'_>) -> String {
    let waiting = match facts.parked {
        0 => "nothing waits for it".to_owned(),
        1 => "one delivery waits".to_owned(),
        some => format!("{some} deliveries wait"),
    };
    match facts.state {
        HookState::Gone => return "It is gone.".to_owned(),
        HookState::Invalid(reason) => {
            return format!("It cannot be used until this is corrected ({waiting}): {reason}.");
        }
        HookState::Disabled(reason) => {
            let at = facts.disabled_at;
            let at = at.map_or_else(String::new, |at| format!(" since {}", brief(at)));
            let reason = reason.map_or_else(String::new, |reason| {
                format!(", because {}", because(reason))
            });
            return format!(
                "It has been disabled{at}{reason}; {waiting} until it is enabled again."
            );
        }
        HookState::Good(_) => {}
    }
    match facts.process {
        Process::Detached => {
            return format!("Nothing is sent while the database cannot be followed; {waiting}.");
        }
        Process::Paused => {
            return format!("Sending is paused; {waiting}; RESUME in the console ends it.");
        }
        Process::Unknown | Process::Attached(_) => {}
    }
    let dead = match facts.dead {
        0 => String::new(),
        1 => ", and one was given up".to_owned(),
        some => format!(", and {some} were given up"),
    };
    let failing = facts
        .failing_since
        .or_else(|| facts.last.filter(|(_, taken)| !taken).map(|_| ""));
    if let Some(since) = failing {
        let since = match since {
            "" => "Its last request failed".to_owned(),
            since => format!("It has failed since {}", brief(since)),
        };
        // History is written a moment later, or not at all where nobody wants it.
        let answer = facts.last.filter(|(_, taken)| !taken);
        let answer = answer.map(|(answer, _)| answer).or(facts.due_reason);
        let answer = answer.map_or_else(String::new, |answer| {
            format!(", because {}", because(answer))
        });
        let next = match (facts.process, facts.next_attempt) {
            (Process::Attached(Some(Hindrance::LeftAlone(until))), _) if facts.parked > 0 => {
                format!(
                    "; it is left alone, and tried {}",
                    moment(*until, facts.now)
                )
            }
            (_, Some(at)) => format!("; it is tried again {}", moment(at, facts.now)),
            (_, None) => String::new(),
        };
        return format!("{since}{answer}; {waiting}{dead}{next}.");
    }
    let taken = match facts.last {
        Some((answer, _)) => {
            format!("Its endpoint takes what it is sent (the last answer was {answer})")
        }
        None => "Nothing has been sent to it yet".to_owned(),
    };
    format!("{taken}; {waiting}{dead}.")
}

/// A reason as the rest of a sentence: a status in words, and other reasons as they are.
fn because(reason: &str) -> String {
    let status = reason
        .parse()
        .ok()
        .and_then(|code: u16| StatusCode::from_u16(code).ok());
    match status {
        Some(status) => format!("the endpoint answered {}", in_words(status)),
        None => {
            // `the last of 3 attempts failed: 500`
            let last = reason.rsplit_once(": ").filter(|(_, code)| code.len() == 3);
            match last.and_then(|(told, code)| Some((told, code.parse::<u16>().ok()?))) {
                Some((told, code)) => {
                    let status = StatusCode::from_u16(code).map(in_words);
                    format!("{told}: {}", status.unwrap_or_else(|_| code.to_string()))
                }
                None => reason.trim_end_matches('.').to_owned(),
            }
        }
    }
}

fn in_words(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(words) => format!("{} ({words})", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// A time, and how far away it is.
fn moment(at: SystemTime, now: SystemTime) -> String {
    match at.duration_since(now) {
        Ok(left) if left >= Duration::from_secs(1) => {
            format!("at {}, in {}", brief(&timestamp(at)), human(left))
        }
        _ => "now".to_owned(),
    }
}

/// `2026-01-31T12:00:00.123456Z` as `2026-01-31 12:00:00 UTC`.
fn brief(time: &str) -> String {
    let whole = time.split('.').next().unwrap_or(time);
    format!("{} UTC", whole.trim_end_matches('Z').replace('T', " "))
}

/// A duration in its two largest units.
fn human(duration: Duration) -> String {
    let whole = Duration::from_secs(duration.as_secs());
    let text = humantime::format_duration(whole).to_string();
    let parts: Vec<&str> = text.split(' ').take(2).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_860_800)
    }

    fn parked() -> DeliveryFacts<'static> {
        DeliveryFacts {
            state: State::Parked,
            attempts: 2,
            reason: Some("500"),
            next_attempt: Some(now() + 5 * MINUTE),
            in_flight: false,
            ahead: None,
            hook: HookState::Good(None),
            process: &Process::Unknown,
            is_proxied: false,
            retention: 30 * 24 * 60 * MINUTE,
            now: now(),
        }
    }

    #[test]
    fn a_delivery_says_why_it_waits_and_when_it_goes() {
        use WaitsFor::*;
        let due = || DeliveryFacts {
            next_attempt: Some(now()),
            ..parked()
        };
        let behind = || DeliveryFacts {
            next_attempt: None,
            ..parked()
        };
        let of_hook = |hook| DeliveryFacts { hook, ..parked() };
        let held = |process| DeliveryFacts {
            process,
            ..parked()
        };
        let soon = now() + MINUTE;
        let later = now() + 10 * MINUTE;
        const NOTHING: Process = Process::Attached(None);
        let left_alone = Process::Attached(Some(Hindrance::LeftAlone(later)));
        let tried_soon = Process::Attached(Some(Hindrance::LeftAlone(soon)));
        let tried_now = Process::Attached(Some(Hindrance::LeftAlone(now() - MINUTE)));
        let paused = Process::Attached(Some(Hindrance::Paused(later)));
        let probed = Process::Attached(Some(Hindrance::Probed));
        let rate = Process::Attached(Some(Hindrance::Rate));
        let quota = Process::Attached(Some(Hindrance::Quota));
        let on_schedule = "Attempt 2 failed, because the endpoint answered 500 (Internal Server Error); it is tried \
                           again at 2026-01-31 12:05:00 UTC, in 5m.";
        let cases = [
            (parked(), Some(Schedule), on_schedule),
            (held(&NOTHING), Some(Schedule), on_schedule),
            (held(&rate), Some(Schedule), on_schedule),
            (held(&tried_soon), Some(Schedule), on_schedule),
            (
                DeliveryFacts {
                    reason: Some("no connection: refused"),
                    ..parked()
                },
                Some(Schedule),
                "Attempt 2 failed, because no connection: refused; it is tried again at 2026-01-31 12:05:00 UTC, in \
                 5m.",
            ),
            (
                DeliveryFacts {
                    attempts: 0,
                    reason: None,
                    ..parked()
                },
                Some(Schedule),
                "It has not been tried yet; it is sent at 2026-01-31 12:05:00 UTC, in 5m.",
            ),
            (
                DeliveryFacts {
                    in_flight: true,
                    next_attempt: None,
                    ..parked()
                },
                Some(Answer),
                "A request with it is being made just now.",
            ),
            (
                behind(),
                Some(Lane),
                "It waits behind an earlier one in its lane; it goes when that has arrived or is given up.",
            ),
            (
                DeliveryFacts {
                    ahead: Some("msg_1"),
                    ..behind()
                },
                Some(Lane),
                "It waits behind msg_1, which is earlier in its lane; it goes when that has arrived or is given up.",
            ),
            (
                held(&left_alone),
                Some(Endpoint),
                "Its endpoint has only failed of late and is left alone; a single request tries it at 2026-01-31 \
                 12:10:00 UTC, in 10m, and this one goes then or after that.",
            ),
            (
                DeliveryFacts {
                    process: &tried_now,
                    ..due()
                },
                Some(Endpoint),
                "Its endpoint has only failed of late and is left alone; a single request tries it now, and this one \
                 goes then or after that.",
            ),
            (
                DeliveryFacts {
                    process: &probed,
                    ..due()
                },
                Some(Endpoint),
                "Its endpoint has only failed of late; a single request is on its way, and this one goes when that is \
                 taken.",
            ),
            (
                held(&paused),
                Some(Endpoint),
                "Its endpoint has asked for time; requests go on at 2026-01-31 12:10:00 UTC, in 10m.",
            ),
            (
                DeliveryFacts {
                    attempts: 0,
                    reason: None,
                    is_proxied: true,
                    ..held(&paused)
                },
                Some(Endpoint),
                "Its endpoint has asked for time, or the proxy cannot be used; requests go on at 2026-01-31 12:10:00 \
                 UTC, in 10m.",
            ),
            (
                DeliveryFacts {
                    reason: Some("the proxy cannot be used: no connection"),
                    next_attempt: Some(now() + 5 * MINUTE / 60),
                    ..held(&paused)
                },
                Some(Proxy),
                "It waits for our own way out, because the proxy cannot be used: no connection; it is tried again at \
                 2026-01-31 12:00:05 UTC, in 5s, and its schedule stands still until then.",
            ),
            (
                DeliveryFacts {
                    process: &rate,
                    hook: HookState::Good(Some("20/m")),
                    ..due()
                },
                Some(Rate),
                "It is due, and goes when the rate of its hook, owner or host lets it pass (its hook has 20/m).",
            ),
            (
                DeliveryFacts {
                    process: &quota,
                    ..due()
                },
                Some(Quota),
                "It is due, and goes when the hooks of its owner have fewer requests on their way.",
            ),
            (
                due(),
                Some(Turn),
                "It is due, and goes as soon as its hook has a free request.",
            ),
            (
                of_hook(HookState::Gone),
                Some(HookGone),
                "Its hook is gone, so it is not sent; it is kept for 30days.",
            ),
            (
                of_hook(HookState::Invalid("the filter is none")),
                Some(HookInvalid),
                "Its hook cannot be used, and it goes when that is corrected: the filter is none.",
            ),
            (
                of_hook(HookState::Disabled(Some("its owner exists no more"))),
                Some(HookDisabled),
                "Its hook is disabled (its owner exists no more); it goes when that is enabled again, and is kept for \
                 30days.",
            ),
            (
                of_hook(HookState::Disabled(None)),
                Some(HookDisabled),
                "Its hook is disabled; it goes when that is enabled again, and is kept for 30days.",
            ),
            (
                held(&Process::Detached),
                Some(Rowhook),
                "Nothing is sent while the database cannot be followed; it goes when that is over.",
            ),
            (
                held(&Process::Paused),
                Some(Resume),
                "Sending is paused; it goes when that is over; RESUME in the console ends it.",
            ),
            (
                DeliveryFacts {
                    state: State::Dead,
                    reason: Some("the last of 10 attempts failed: 503"),
                    next_attempt: None,
                    ..parked()
                },
                None,
                "It was given up, because the last of 10 attempts failed: 503 (Service Unavailable); it is sent again \
                 only when somebody retries it.",
            ),
            (
                DeliveryFacts {
                    state: State::Delivered,
                    next_attempt: None,
                    ..parked()
                },
                None,
                "It arrived with attempt 2.",
            ),
            (
                DeliveryFacts {
                    state: State::Delivered,
                    attempts: 1,
                    next_attempt: None,
                    ..parked()
                },
                None,
                "It arrived at the first attempt.",
            ),
        ];
        for (facts, waits_for, why) in cases {
            let outlook = of_delivery(&facts);
            assert_eq!((outlook.waits_for, outlook.why.as_str()), (waits_for, why));
        }
    }

    #[test]
    fn a_hook_says_how_it_fares() {
        let good = || HookFacts {
            state: HookState::Good(None),
            disabled_at: None,
            failing_since: None,
            last: Some(("200", true)),
            parked: 0,
            dead: 0,
            next_attempt: None,
            due_reason: None,
            process: &Process::Unknown,
            now: now(),
        };
        let failing = || HookFacts {
            failing_since: Some("2026-01-31T11:50:00.123Z"),
            last: Some(("404", false)),
            parked: 3,
            dead: 1,
            next_attempt: Some(now() + MINUTE),
            ..good()
        };
        let left_alone = Process::Attached(Some(Hindrance::LeftAlone(now() + 2 * MINUTE)));
        let cases = [
            (
                good(),
                "Its endpoint takes what it is sent (the last answer was 200); nothing waits for it.",
            ),
            (
                HookFacts {
                    last: None,
                    ..good()
                },
                "Nothing has been sent to it yet; nothing waits for it.",
            ),
            (
                failing(),
                "It has failed since 2026-01-31 11:50:00 UTC, because the endpoint answered 404 (Not Found); 3 \
                 deliveries wait, and one was given up; it is tried again at 2026-01-31 12:01:00 UTC, in 1m.",
            ),
            (
                HookFacts {
                    process: &left_alone,
                    dead: 0,
                    ..failing()
                },
                "It has failed since 2026-01-31 11:50:00 UTC, because the endpoint answered 404 (Not Found); 3 \
                 deliveries wait; it is left alone, and tried at 2026-01-31 12:02:00 UTC, in 2m.",
            ),
            (
                HookFacts {
                    failing_since: None,
                    parked: 1,
                    dead: 0,
                    next_attempt: None,
                    ..failing()
                },
                "Its last request failed, because the endpoint answered 404 (Not Found); one delivery waits.",
            ),
            (
                HookFacts {
                    last: None,
                    due_reason: Some("timed out after 15s"),
                    ..failing()
                },
                "It has failed since 2026-01-31 11:50:00 UTC, because timed out after 15s; 3 deliveries wait, and one \
                 was given up; it is tried again at 2026-01-31 12:01:00 UTC, in 1m.",
            ),
            (
                HookFacts {
                    state: HookState::Disabled(Some("the target answered 410 Gone")),
                    disabled_at: Some("2026-01-31T11:50:00Z"),
                    ..failing()
                },
                "It has been disabled since 2026-01-31 11:50:00 UTC, because the target answered 410 Gone; 3 \
                 deliveries wait until it is enabled again.",
            ),
            (
                HookFacts {
                    state: HookState::Invalid("there is no event x"),
                    ..good()
                },
                "It cannot be used until this is corrected (nothing waits for it): there is no event x.",
            ),
            (
                HookFacts {
                    process: &Process::Detached,
                    ..failing()
                },
                "Nothing is sent while the database cannot be followed; 3 deliveries wait.",
            ),
            (
                HookFacts {
                    process: &Process::Paused,
                    ..good()
                },
                "Sending is paused; nothing waits for it; RESUME in the console ends it.",
            ),
        ];
        for (facts, expected) in cases {
            assert_eq!(of_hook(&facts), expected);
        }
    }
}
