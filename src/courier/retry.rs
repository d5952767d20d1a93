//! What follows from an answer. A plain decision: the clock and the random number are handed in.

use std::time::{Duration, SystemTime};

use crate::{backoff::spread, send::answer::Answer};

/// The longest wait that an endpoint can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// By which share of it a pause of the schedule is spread to either side.
const SPREAD: f64 = 0.1;

/// What is to be done with a delivery after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has arrived.
    Delivered,
    /// The hook is to be disabled, and its deliveries kept.
    Disable {
        /// Why, for a person.
        reason: String,
        /// Whether the target itself wants nothing any more.
        gone: bool,
    },
    /// It is to be tried again.
    TryAgain {
        /// The time until the next attempt.
        after: Duration,
        /// Whether the endpoint has asked for this pause, so that all deliveries of the hook keep it.
        throttle: bool,
    },
    /// It is given up.
    Dead {
        /// Why, for a person.
        reason: String,
    },
}

/// Decides what an answer means, after `attempts` requests in all, at `now`.
///
/// `retries` are the pauses of the schedule. Each is spread by up to a tenth to either side, as `jitter` (0 to 1) says.
/// An endpoint that names a time in `Retry-After` gets it, up to 24 hours.
pub fn verdict(
    answer: &Answer,
    attempts: u32,
    retries: &[Duration],
    now: SystemTime,
    jitter: f64,
) -> Verdict {
    let (code, asked) = match answer {
        Answer::Status {
            code: 200..=299, ..
        } => return Verdict::Delivered,
        Answer::Status { code: 410, .. } => {
            return Verdict::Disable {
                reason: "the target answered 410 Gone".into(),
                gone: true,
            };
        }
        Answer::Status {
            code, retry_after, ..
        } => (
            Some(*code),
            retry_after
                .as_deref()
                .and_then(|value| retry_after_wait(value, now)),
        ),
        Answer::Failed(_) => (None, None),
    };
    let made = usize::try_from(attempts).unwrap_or(usize::MAX);
    let Some(pause) = retries.get(made.saturating_sub(1)) else {
        let reason = format!("the last of {attempts} attempts failed: {answer}");
        return Verdict::Dead { reason };
    };
    Verdict::TryAgain {
        after: asked.unwrap_or_else(|| spread(*pause, SPREAD, jitter)),
        throttle: asked.is_some() || matches!(code, Some(429 | 503)),
    }
}

/// How long a `Retry-After` asks us to wait; `None` where it names no time in the future.
fn retry_after_wait(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a number can hold are more than we wait for.
        value.parse().map_or(LONGEST_WAIT, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value)
            .ok()?
            .duration_since(now)
            .ok()?
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{config::Delivery, courier::failure_streak::FailureStreak, send::answer::Failure};

    const RETRIES: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(100)];

    fn status(code: u16, retry_after: Option<&str>) -> Answer {
        Answer::Status {
            code,
            retry_after: retry_after.map(str::to_owned),
            headers: http::header::HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    fn now() -> SystemTime {
        httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap()
    }

    fn again(seconds: u64, throttle: bool) -> Verdict {
        Verdict::TryAgain {
            after: Duration::from_secs(seconds),
            throttle,
        }
    }

    #[test]
    fn each_answer_has_its_verdict() {
        let dead = |reason: &str| Verdict::Dead {
            reason: reason.into(),
        };
        for (answer, attempts, expected) in [
            (status(200, None), 1, Verdict::Delivered),
            (status(204, Some("60")), 9, Verdict::Delivered),
            (
                status(410, None),
                1,
                Verdict::Disable {
                    reason: "the target answered 410 Gone".into(),
                    gone: true,
                },
            ),
            (status(500, None), 1, again(10, false)),
            (status(302, None), 1, again(10, false)),
            (status(404, None), 2, again(100, false)),
            (status(503, None), 1, again(10, true)),
            (status(429, None), 2, again(100, true)),
            (Answer::Failed(Failure::Closed), 1, again(10, false)),
            (
                status(500, None),
                3,
                dead("the last of 3 attempts failed: 500"),
            ),
            (
                Answer::Failed(Failure::TimedOut(Duration::from_secs(15))),
                3,
                dead("the last of 3 attempts failed: timed out after 15s"),
            ),
        ] {
            assert_eq!(
                verdict(&answer, attempts, &RETRIES, now(), 0.5),
                expected,
                "{answer:?}"
            );
        }
        assert_eq!(
            verdict(&status(500, None), 1, &[], now(), 0.5),
            dead("the last of 1 attempts failed: 500")
        );
    }

    /// The default schedule on a clock that jumps, with the worst jitter to either side.
    #[tokio::test(start_paused = true)]
    async fn the_default_schedule_lasts_three_days_and_ends_dead() {
        let rules = Delivery::default();
        for (jitter, hours) in [(0.0, 68.0), (0.5, 75.6), (1.0, 83.2)] {
            let begun = tokio::time::Instant::now();
            let (mut streak, mut attempts, mut at) = (FailureStreak::default(), 0, Vec::new());
            let reason = loop {
                attempts += 1;
                at.push(begun.elapsed().as_secs());
                streak.failed(tokio::time::Instant::now());
                assert_eq!(
                    streak.reason_to_disable(rules.disable_after, tokio::time::Instant::now()),
                    None,
                    "one delivery alone is no reason to disable a hook"
                );
                match verdict(&status(500, None), attempts, &rules.retries, now(), jitter) {
                    Verdict::TryAgain { after, .. } => tokio::time::sleep(after).await,
                    Verdict::Dead { reason } => break reason,
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(reason, "the last of 10 attempts failed: 500");
            let lasted = begun.elapsed().as_secs_f64() / 3600.0;
            assert!((lasted - hours).abs() < 0.1, "{lasted} h");
            if jitter == 0.5 {
                let expected = [
                    0, 5, 305, 2105, 9305, 27_305, 63_305, 113_705, 185_705, 272_105,
                ];
                assert_eq!(at, expected);
            }
        }
    }

    /// An endpoint that is asked every hour and never succeeds is left after five days.
    #[tokio::test(start_paused = true)]
    async fn five_days_of_failures_disable_at_the_first_attempt_after_them() {
        let limit = Delivery::default().disable_after;
        let (mut streak, mut hours) = (FailureStreak::default(), 0);
        streak.failed(tokio::time::Instant::now());
        while streak
            .reason_to_disable(limit, tokio::time::Instant::now())
            .is_none()
        {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            hours += 1;
            streak.failed(tokio::time::Instant::now());
        }
        assert_eq!(hours, 5 * 24);
    }

    #[test]
    fn retry_after_is_followed_within_reason() {
        for (value, expected) in [
            ("120", again(120, true)),
            ("0", again(0, true)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", again(60, true)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", again(60, true)),
            ("315360000", again(86400, true)),
            ("99999999999999999999999", again(86400, true)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", again(86400, true)),
            // In the past, negative, or nothing at all: the schedule.
            ("Sun, 06 Nov 1994 08:00:00 GMT", again(10, false)),
            ("-5", again(10, false)),
            ("+5", again(10, false)),
            ("soon", again(10, false)),
            ("", again(10, false)),
        ] {
            assert_eq!(
                verdict(&status(500, Some(value)), 1, &RETRIES, now(), 0.5),
                expected,
                "{value:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_pause_never_leaves_its_bounds(millis in 0_u64..100_000_000, jitter in -1.0_f64..2.0) {
            let pause = Duration::from_millis(millis);
            let Verdict::TryAgain { after, throttle: false } = verdict(&status(500, None), 1, &[pause], now(), jitter) else {
                panic!("it is tried again");
            };
            prop_assert!(after >= pause.mul_f64(0.9 - 1e-9) && after <= pause.mul_f64(1.1 + 1e-9));
        }

        #[test]
        fn no_retry_after_panics_or_waits_for_more_than_a_day(value in ".*") {
            let wait = retry_after_wait(&value, now());
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_WAIT));
        }
    }
}
