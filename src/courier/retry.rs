//! What follows from an answer. A plain decision: the clock and the random number are handed in.

use std::time::{Duration, SystemTime};

use crate::{
    backoff::spread,
    send::answer::{Answer, Failure},
};

/// The longest wait that an endpoint can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest one. An endpoint that asks to be called again at once could be asked without end.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// For how long at least an endpoint is left alone that asks for time and names none.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// By which share of it a pause of the schedule is spread to either side.
const SPREAD: f64 = 0.1;
/// How long to wait for a proxy that cannot be used.
const PROXY_PAUSE: Duration = Duration::from_secs(5);
/// How far apart two attempts of the schedule are at least, so that a pause of nothing is one of its pauses too.
const TICK: Duration = Duration::from_millis(1);

/// What an answer says of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It has taken what was sent.
    Arrived,
    /// It asks for time. `expressly`: by a 429 or a `Retry-After`, which nobody sends who is simply broken.
    Asked {
        /// Whether it has said so, or its status only suggests it.
        expressly: bool,
    },
    /// It has failed.
    Failed,
    /// Nothing: the request has not got beyond our own proxy.
    Unreached,
}

impl Signal {
    /// Reads an answer that came at `now`.
    pub fn of(answer: &Answer, now: SystemTime) -> Self {
        let code = match answer {
            Answer::Status { code, .. } => code,
            Answer::Failed(Failure::Proxy(_)) => return Self::Unreached,
            Answer::Failed(_) => return Self::Failed,
        };
        match code {
            200..=299 => Self::Arrived,
            410 => Self::Failed,
            429 => Self::Asked { expressly: true },
            _ if named_wait(answer, now).is_some() => Self::Asked { expressly: true },
            // The statuses at which Standard Webhooks suggests to slow down.
            502..=504 => Self::Asked { expressly: false },
            _ => Self::Failed,
        }
    }
}

/// What has been done about a delivery so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// How many requests have been made, the last one included.
    pub attempts: u32,
    /// How much of the schedule's time was over before that one; `None`: only the number of attempts is known.
    pub waited: Option<Duration>,
}

impl Past {
    /// How much of the schedule's time is over.
    fn waited(self, retries: &[Duration]) -> Duration {
        let pauses = usize::try_from(self.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let of_attempts = || points(retries).take(pauses).last().unwrap_or_default();
        self.waited.unwrap_or_else(of_attempts)
    }
}

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
        /// How much of the schedule's time is over then.
        waited: Duration,
        /// For how long nothing at all is to be sent to the endpoint, where it has asked for time.
        pause: Option<Duration>,
    },
    /// It is given up.
    Dead {
        /// Why, for a person.
        reason: String,
    },
}

/// Decides what an answer means for a delivery with this past, at `now`.
///
/// The schedule is time: `retries` are the pauses between its attempts, and a delivery whose attempt fails when their
/// sum is over is dead. An attempt that fails earlier is followed by the next one of the schedule. The pause before
/// that is spread by up to a tenth to either side, as `jitter` (0 to 1) says. An endpoint that names a time in
/// `Retry-After` gets it, up to 24 hours, and not less than `patience`. So being asked to wait is no step towards
/// death, however often it happens. The last attempt may be later than that of the schedule, but never earlier. While
/// our own proxy cannot be used, the schedule stands still.
pub fn verdict(
    answer: &Answer,
    past: Past,
    retries: &[Duration],
    patience: Duration,
    now: SystemTime,
    jitter: f64,
) -> Verdict {
    let signal = Signal::of(answer, now);
    if signal == Signal::Arrived {
        return Verdict::Delivered;
    }
    if let Answer::Status { code: 410, .. } = answer {
        return Verdict::Disable {
            reason: "the target answered 410 Gone".into(),
            gone: true,
        };
    }
    let waited = past.waited(retries);
    if signal == Signal::Unreached {
        let after = spread(PROXY_PAUSE, SPREAD, jitter);
        return Verdict::TryAgain {
            after,
            waited,
            pause: Some(after),
        };
    }
    let Some(next) = points(retries).find(|point| *point > waited) else {
        let reason = format!("the last of {} attempts failed: {answer}", past.attempts);
        return Verdict::Dead { reason };
    };
    if let Some(named) = named_wait(answer, now) {
        let after = named.max(patience).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        return Verdict::TryAgain {
            after,
            waited: waited + after,
            pause: Some(after),
        };
    }
    let after = spread(next - waited, SPREAD, jitter);
    Verdict::TryAgain {
        after,
        waited: next,
        // One delivery may have hours to wait by now. That is no reason for others.
        pause: matches!(signal, Signal::Asked { .. })
            .then(|| patience.max(SHORTEST_PAUSE).min(after)),
    }
}

/// Whether the endpoint has refused what the request carries, so that a part of it may fare better.
pub fn is_of_content(answer: &Answer) -> bool {
    match answer {
        Answer::Status { code, .. } => matches!(
            code,
            400 | 406 | 409 | 411 | 413 | 414 | 415 | 416 | 417 | 422 | 431
        ),
        Answer::Failed(_) => false,
    }
}

/// When the attempts of the schedule are, counted from the first.
fn points(retries: &[Duration]) -> impl Iterator<Item = Duration> {
    retries.iter().scan(Duration::ZERO, |at, pause| {
        *at = at.saturating_add((*pause).max(TICK));
        Some(*at)
    })
}

/// How long an answer asks us to wait, if it names a time.
fn named_wait(answer: &Answer, now: SystemTime) -> Option<Duration> {
    match answer {
        Answer::Status { retry_after, .. } => retry_after_wait(retry_after.as_deref()?, now),
        Answer::Failed(_) => None,
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
    use crate::{config::Delivery, courier::failure_streak::FailureStreak};

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

    const PATIENCE: Duration = Duration::from_secs(3);

    fn past(attempts: u32, waited: u64) -> Past {
        Past {
            attempts,
            waited: Some(Duration::from_secs(waited)),
        }
    }

    fn judge(answer: &Answer, past: Past) -> Verdict {
        verdict(answer, past, &RETRIES, PATIENCE, now(), 0.5)
    }

    fn again(after: u64, waited: u64, pause: Option<u64>) -> Verdict {
        let seconds = Duration::from_secs;
        Verdict::TryAgain {
            after: seconds(after),
            waited: seconds(waited),
            pause: pause.map(seconds),
        }
    }

    fn dead(reason: &str) -> Verdict {
        Verdict::Dead {
            reason: reason.into(),
        }
    }

    #[test]
    fn each_answer_has_its_verdict() {
        let timed_out = Answer::Failed(Failure::TimedOut(Duration::from_secs(15)));
        let gone = Verdict::Disable {
            reason: "the target answered 410 Gone".into(),
            gone: true,
        };
        for (answer, past, expected) in [
            (status(200, None), past(1, 0), Verdict::Delivered),
            (status(204, Some("60")), past(9, 0), Verdict::Delivered),
            (status(410, None), past(1, 0), gone.clone()),
            (status(410, Some("60")), past(1, 0), gone),
            (status(500, None), past(1, 0), again(10, 10, None)),
            (status(302, None), past(1, 0), again(10, 10, None)),
            (status(404, None), past(2, 10), again(100, 110, None)),
            (status(503, None), past(1, 0), again(10, 10, Some(3))),
            (status(502, None), past(1, 0), again(10, 10, Some(3))),
            (status(504, None), past(1, 0), again(10, 10, Some(3))),
            (status(429, None), past(2, 10), again(100, 110, Some(3))),
            // It was asked to wait before, and goes on where the schedule is by now.
            (status(500, None), past(7, 4), again(6, 10, None)),
            (status(500, None), past(7, 60), again(50, 110, None)),
            (
                Answer::Failed(Failure::Closed),
                past(1, 0),
                again(10, 10, None),
            ),
            (
                Answer::Failed(Failure::Proxy("no connection".into())),
                past(90, 110),
                again(5, 110, Some(5)),
            ),
            (
                status(500, None),
                past(3, 110),
                dead("the last of 3 attempts failed: 500"),
            ),
            (
                timed_out,
                past(3, 110),
                dead("the last of 3 attempts failed: timed out after 15s"),
            ),
            (
                status(429, Some("1")),
                past(9, 112),
                dead("the last of 9 attempts failed: 429"),
            ),
        ] {
            assert_eq!(judge(&answer, past), expected, "{answer:?} {past:?}");
        }
        assert_eq!(
            verdict(&status(500, None), past(1, 0), &[], PATIENCE, now(), 0.5),
            dead("the last of 1 attempts failed: 500")
        );
    }

    #[test]
    fn where_only_the_number_of_attempts_is_known_they_were_those_of_the_schedule() {
        let unknown = |attempts| Past {
            attempts,
            waited: None,
        };
        let failed = status(500, None);
        assert_eq!(judge(&failed, unknown(1)), again(10, 10, None));
        assert_eq!(judge(&failed, unknown(2)), again(100, 110, None));
        assert_eq!(
            judge(&failed, unknown(3)),
            dead("the last of 3 attempts failed: 500")
        );
    }

    #[test]
    fn what_an_answer_says_of_the_endpoint() {
        let asked = |expressly| Signal::Asked { expressly };
        for (answer, signal) in [
            (status(202, None), Signal::Arrived),
            (status(429, None), asked(true)),
            (status(500, Some("3")), asked(true)),
            (status(503, Some("soon")), asked(false)),
            (status(502, None), asked(false)),
            (status(504, None), asked(false)),
            (status(410, Some("3")), Signal::Failed),
            (status(500, None), Signal::Failed),
            (Answer::Failed(Failure::Closed), Signal::Failed),
            (
                Answer::Failed(Failure::Proxy("no connection".into())),
                Signal::Unreached,
            ),
        ] {
            assert_eq!(Signal::of(&answer, now()), signal, "{answer:?}");
        }
    }

    #[test]
    fn pauses_of_nothing_are_attempts_too() {
        let retries = [Duration::ZERO; 3];
        let (mut past, mut attempts) = (past(1, 0), 0);
        while let Verdict::TryAgain { waited, .. } =
            verdict(&status(500, None), past, &retries, PATIENCE, now(), 0.5)
        {
            attempts += 1;
            past.waited = Some(waited);
        }
        assert_eq!(attempts, 3);
    }

    /// The default schedule on a clock that jumps, with the worst jitter to either side.
    #[tokio::test(start_paused = true)]
    async fn the_default_schedule_lasts_three_days_and_ends_dead() {
        let rules = Delivery::default();
        for (jitter, hours) in [(0.0, 68.0), (0.5, 75.6), (1.0, 83.2)] {
            let begun = tokio::time::Instant::now();
            let (mut streak, mut past, mut at) = (FailureStreak::default(), past(0, 0), Vec::new());
            let reason = loop {
                past.attempts += 1;
                at.push(begun.elapsed().as_secs());
                let now_ = tokio::time::Instant::now();
                streak.failed(now_, now_, true);
                assert_eq!(
                    streak.reason_to_disable(rules.disable_after, tokio::time::Instant::now()),
                    None,
                    "one delivery alone is no reason to disable a hook"
                );
                let answer = status(500, None);
                match verdict(&answer, past, &rules.retries, PATIENCE, now(), jitter) {
                    Verdict::TryAgain { after, waited, .. } => {
                        past.waited = Some(waited);
                        tokio::time::sleep(after).await;
                    }
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
        let fail = |streak: &mut FailureStreak| {
            let now = tokio::time::Instant::now();
            streak.failed(now, now, true);
        };
        fail(&mut streak);
        while streak
            .reason_to_disable(limit, tokio::time::Instant::now())
            .is_none()
        {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            hours += 1;
            fail(&mut streak);
        }
        assert_eq!(hours, 5 * 24);
    }

    #[test]
    fn retry_after_is_followed_within_reason() {
        let asked = |seconds| again(seconds, seconds, Some(seconds));
        for (value, expected) in [
            ("120", asked(120)),
            // Whoever has asked for long is left alone for longer.
            ("0", asked(3)),
            ("1", asked(3)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", asked(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", asked(60)),
            ("315360000", asked(86400)),
            ("99999999999999999999999", asked(86400)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", asked(86400)),
            // In the past, negative, or nothing at all: the schedule.
            ("Sun, 06 Nov 1994 08:00:00 GMT", again(10, 10, None)),
            ("-5", again(10, 10, None)),
            ("+5", again(10, 10, None)),
            ("soon", again(10, 10, None)),
            ("", again(10, 10, None)),
        ] {
            assert_eq!(
                judge(&status(500, Some(value)), past(1, 0)),
                expected,
                "{value:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_pause_never_leaves_its_bounds(millis in 1_u64..100_000_000, jitter in -1.0_f64..2.0) {
            let pause = Duration::from_millis(millis);
            let answer = status(500, None);
            let Verdict::TryAgain { after, pause: None, .. } =
                verdict(&answer, past(1, 0), &[pause], PATIENCE, now(), jitter)
            else {
                panic!("it is tried again");
            };
            prop_assert!(after >= pause.mul_f64(0.9 - 1e-9) && after <= pause.mul_f64(1.1 + 1e-9));
        }

        #[test]
        fn it_dies_when_the_time_of_its_schedule_is_over_and_not_before(
            retries in prop::collection::vec(0_u64..100, 0..6),
            asked in prop::collection::vec(prop::option::of(0_u64..200), 1..300),
        ) {
            let retries: Vec<Duration> = retries.into_iter().map(Duration::from_secs).collect();
            let whole: Duration = retries.iter().sum();
            let (mut at, mut state, mut dead_at) = (Duration::ZERO, past(0, 0), None);
            for asked in asked.into_iter().chain([None; 6]) {
                state.attempts += 1;
                let value = asked.map(|seconds| seconds.to_string());
                let answer = status(503, value.as_deref());
                match verdict(&answer, state, &retries, SHORTEST_WAIT, now(), 0.5) {
                    Verdict::TryAgain { after, waited, .. } => {
                        prop_assert!(at < whole + 6 * TICK);
                        at += after;
                        prop_assert_eq!(at, waited);
                        state.waited = Some(waited);
                    }
                    Verdict::Dead { .. } => {
                        dead_at = Some(at);
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
            prop_assert!(dead_at.is_some_and(|at| at >= whole));
        }

        #[test]
        fn no_retry_after_panics_or_waits_for_more_than_a_day(value in ".*") {
            let wait = retry_after_wait(&value, now());
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_WAIT));
        }
    }
}
