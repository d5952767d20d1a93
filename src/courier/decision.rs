//! What becomes of the next delivery of the stream: it is sent, parked, or left to wait.
//!
//! A plain decision on values: no lock, no parking, no clock. Parked deliveries cost a write, a claim and a deletion,
//! so a delivery waits in memory while it can. It cannot wait once its time is up, since no endpoint may hold the slot
//! for longer; and it had better not where the hook is slow or others need the memory, which a [`Mode`] remembers.

use std::time::Duration;

use tokio::time::Instant;

use super::fate::AT_ONCE;
use crate::delivery::lane::Turn;

/// For how long what cannot be sent at once is parked after others have waited for the memory that it takes.
const YIELDING: Duration = Duration::from_secs(10);

/// What is done with deliveries that could be sent but for others that are on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    /// They wait in memory.
    #[default]
    Flowing,
    /// They are parked until this time, because others have waited for the memory that they take.
    Yielding { until: Instant },
    /// They are parked until nothing is parked any more, because the endpoint is slower than what is committed for it.
    Overwhelmed,
}

impl Mode {
    /// The mode in which a round begins: `memory_wanted` where others have asked for memory since the last one,
    /// `has_backlog` where something is parked.
    ///
    /// A hook that is overwhelmed need not yield as well: both end as soon as nothing is parked, and until then it
    /// parks anyway.
    pub(super) fn at_begin(self, memory_wanted: bool, has_backlog: bool, now: Instant) -> Self {
        match self {
            Self::Overwhelmed if memory_wanted || has_backlog => Self::Overwhelmed,
            _ if memory_wanted => Self::Yielding {
                until: now + YIELDING,
            },
            _ if !has_backlog => Self::Flowing,
            mode => mode,
        }
    }

    /// The mode once `first` is known to be the next.
    pub(super) fn with_first(self, first: &First, now: Instant) -> Self {
        if first.is_late(now) || first.is_slow {
            Self::Overwhelmed
        } else {
            self
        }
    }

    /// Whether what cannot be sent at once is parked.
    pub(super) fn parks(self, now: Instant) -> bool {
        match self {
            Self::Flowing => false,
            Self::Yielding { until } => until > now,
            Self::Overwhelmed => true,
        }
    }
}

/// The next delivery that may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    /// Until when the slot may keep it; `None` where the hook is disabled.
    pub(super) late_at: Option<Instant>,
    /// Whether it cannot be sent at all, or stands behind something that is parked.
    pub(super) is_blocked: bool,
    /// Whether the hook has taken too few deliveries of late, although more were waiting.
    pub(super) is_slow: bool,
}

impl First {
    /// Whether the slot has kept it for too long.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.late_at.is_some_and(|late_at| late_at <= now)
    }
}

/// How things stand with the hook and its endpoint.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// How many requests may be made beside each other, as far as the hook and the endpoint allow; `None` where the
    /// hook is disabled.
    pub(super) concurrency: Option<usize>,
    /// How many requests, or runs of them, are being made.
    pub(super) in_flight: usize,
    /// For how long nothing may be sent to the endpoint.
    pub(super) pause: Duration,
    /// Whether a request is on its way whose answer decides if others may follow.
    pub(super) is_probing: bool,
    /// Whether the rates that concern the hook, and the quota of its owner, let a request go now. It matters only where
    /// all else does.
    pub(super) has_pass: bool,
    /// When it will be known whether the hook is slow.
    pub(super) slow_at: Option<Instant>,
    /// What could go in the next request; `None` where nothing [may be sent](Self::may_send), or nothing is left to
    /// send.
    pub(super) candidate: Option<Candidate>,
}

impl View {
    /// Whether no request may be made now, because as many are being made as the hook or its rates allow.
    fn is_busy(&self) -> bool {
        let is_full = |concurrency| self.in_flight >= concurrency;
        !self.has_pass || self.concurrency.is_some_and(is_full)
    }

    /// Whether another request may be made now, as far as the hook and its endpoint are concerned.
    pub(super) fn may_send(&self) -> bool {
        self.concurrency.is_some() && !self.is_busy() && self.pause.is_zero()
    }
}

/// Deliveries that could go together in the next request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Which they are, in order.
    pub(super) turns: Vec<Turn>,
    /// When they go, even if others could still come along.
    pub(super) goes_at: Instant,
    /// Whether others stand behind them in their lanes, and would have to wait for the answer. It matters only where
    /// the mode [parks](Mode::parks).
    pub(super) is_followed: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Send these together.
    Send(Vec<Turn>),
    /// Park the first behind what is parked.
    ParkBehind,
    /// Park the first, to be attempted after this time.
    ParkFor(Duration),
    /// Do nothing until this time, or until something happens.
    WaitUntil(Option<Instant>),
    /// Let the next request fill up until this time.
    FillUntil(Instant),
}

/// Decides what to do with the first delivery that may go, and in which mode to go on.
///
/// `urgent`: not even others that could come along are waited for.
pub(super) fn decide(
    first: &First,
    view: View,
    mode: Mode,
    urgent: bool,
    now: Instant,
) -> (Next, Mode) {
    let mode = mode.with_first(first, now);
    let (parks, urgent) = (mode.parks(now), urgent || first.is_late(now));
    if view.is_busy() && !parks {
        let wait = [first.late_at, view.slow_at].into_iter().flatten().min();
        let next = match first.is_blocked {
            true => Next::ParkBehind,
            false => Next::WaitUntil(wait),
        };
        return (next, mode);
    }
    if !view.may_send() {
        // Deliveries of a hook that is disabled go at once when it is enabled again.
        let wait = view.concurrency.map_or(AT_ONCE, |_| view.pause);
        return (Next::ParkFor(wait), mode);
    }
    let next = match view.candidate {
        None => Next::WaitUntil(None),
        // Those behind it would have to wait for its answer.
        Some(candidate) if parks && candidate.is_followed => Next::ParkFor(AT_ONCE),
        Some(candidate) if candidate.goes_at > now && !urgent => Next::FillUntil(candidate.goes_at),
        Some(_) if view.is_probing => Next::ParkFor(AT_ONCE),
        Some(candidate) => Next::Send(candidate.turns),
    };
    (next, mode)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::{
        Mode::{Flowing, Overwhelmed, Yielding},
        *,
    };

    const SECOND: Duration = Duration::from_secs(1);

    /// A time that is the same everywhere in these tests.
    fn now() -> Instant {
        static NOW: LazyLock<Instant> = LazyLock::new(|| Instant::now() + 60 * SECOND);
        *NOW
    }

    fn in_time() -> First {
        First {
            late_at: Some(now() + SECOND),
            is_blocked: false,
            is_slow: false,
        }
    }

    fn late() -> First {
        First {
            late_at: Some(now()),
            ..in_time()
        }
    }

    fn slow() -> First {
        First {
            is_slow: true,
            ..in_time()
        }
    }

    /// The endpoint may be asked, and this could go.
    fn ready(candidate: Option<Candidate>) -> View {
        View {
            concurrency: Some(2),
            in_flight: 1,
            pause: Duration::ZERO,
            is_probing: false,
            has_pass: true,
            slow_at: None,
            candidate,
        }
    }

    /// All requests that the hook allows are on their way.
    fn busy() -> View {
        View {
            in_flight: 2,
            ..ready(None)
        }
    }

    /// The next request has to wait for a rate.
    fn early() -> View {
        View {
            has_pass: false,
            ..ready(None)
        }
    }

    fn candidate(goes_at: Instant, is_followed: bool) -> Option<Candidate> {
        Some(Candidate {
            turns: Vec::new(),
            goes_at,
            is_followed,
        })
    }

    fn next(first: First, view: View, mode: Mode) -> (Next, Mode) {
        decide(&first, view, mode, false, now())
    }

    const SEND: Next = Next::Send(Vec::new());
    const PARK: Next = Next::ParkFor(AT_ONCE);

    #[test]
    fn what_may_go_is_sent_as_soon_as_its_request_is_full() {
        let (full, filling) = (candidate(now(), false), candidate(now() + SECOND, false));
        let fill = Next::FillUntil(now() + SECOND);
        for (first, candidate, urgent, expected) in [
            (in_time(), full.clone(), false, (SEND, Flowing)),
            (in_time(), filling.clone(), false, (fill, Flowing)),
            (in_time(), filling.clone(), true, (SEND, Flowing)),
            (late(), filling, false, (SEND, Overwhelmed)),
            (slow(), full, false, (SEND, Overwhelmed)),
            (in_time(), None, false, (Next::WaitUntil(None), Flowing)),
        ] {
            let decided = decide(&first, ready(candidate), Flowing, urgent, now());
            assert_eq!(decided, expected, "{first:?} {urgent}");
        }
    }

    #[test]
    fn while_all_requests_are_on_their_way_it_waits_unless_waiting_does_harm() {
        let (until, half) = (now() + SECOND, now() + SECOND / 2);
        let (yielding, yielded) = (Yielding { until }, Yielding { until: now() });
        let wait = || Next::WaitUntil(Some(now() + SECOND));
        for (name, first, mode, expected) in [
            ("it waits", in_time(), Flowing, (wait(), Flowing)),
            ("it has yielded", in_time(), yielded, (wait(), yielded)),
            ("it yields", in_time(), yielding, (PARK, yielding)),
            ("overwhelmed", in_time(), Overwhelmed, (PARK, Overwhelmed)),
            ("late", late(), Flowing, (PARK, Overwhelmed)),
            ("slow", slow(), yielding, (PARK, Overwhelmed)),
        ] {
            assert_eq!(next(first, busy(), mode), expected, "{name}");
            assert_eq!(next(first, early(), mode), expected, "{name}, for a rate");
        }
        let measured = View {
            slow_at: Some(half),
            ..busy()
        };
        let (decided, _) = next(in_time(), measured, Flowing);
        assert_eq!(decided, Next::WaitUntil(Some(half)));
        let blocked = First {
            is_blocked: true,
            ..in_time()
        };
        let (decided, _) = next(blocked, busy(), Flowing);
        assert_eq!(decided, Next::ParkBehind);
    }

    #[test]
    fn what_may_not_be_sent_now_is_parked_until_it_may() {
        let paused = |view| View {
            pause: SECOND,
            ..view
        };
        let disabled = View {
            concurrency: None,
            ..paused(ready(None))
        };
        let probing = View {
            is_probing: true,
            ..ready(candidate(now(), false))
        };
        let wait = || Next::ParkFor(SECOND);
        for (name, view, mode, expected) in [
            ("paused", paused(ready(None)), Flowing, wait()),
            ("paused and busy", paused(busy()), Overwhelmed, wait()),
            ("disabled", disabled, Flowing, PARK),
            ("a probe decides", probing, Flowing, PARK),
        ] {
            assert_eq!(next(in_time(), view, mode), (expected, mode), "{name}");
        }
    }

    #[test]
    fn what_others_would_have_to_wait_for_is_parked_where_the_mode_parks() {
        let followed = || ready(candidate(now(), true));
        assert_eq!(next(in_time(), followed(), Flowing), (SEND, Flowing));
        let parked = (PARK, Overwhelmed);
        assert_eq!(next(in_time(), followed(), Overwhelmed), parked);
    }

    #[test]
    fn a_round_begins_in_the_mode_that_its_backlog_and_others_want() {
        let now = now();
        let (earlier, until) = (now + SECOND, now + YIELDING);
        for (mode, memory_wanted, has_backlog, expected) in [
            (Flowing, false, false, Flowing),
            (Flowing, false, true, Flowing),
            (Flowing, true, false, Yielding { until }),
            (Flowing, true, true, Yielding { until }),
            (
                Yielding { until: earlier },
                false,
                true,
                Yielding { until: earlier },
            ),
            (Yielding { until: earlier }, true, true, Yielding { until }),
            (Yielding { until: earlier }, false, false, Flowing),
            (Overwhelmed, false, true, Overwhelmed),
            (Overwhelmed, true, false, Overwhelmed),
            (Overwhelmed, false, false, Flowing),
        ] {
            let begun = mode.at_begin(memory_wanted, has_backlog, now);
            assert_eq!(begun, expected, "{mode:?} {memory_wanted} {has_backlog}");
        }
    }

    fn instants(now: Instant) -> impl Strategy<Value = Instant> + Clone {
        (0_u64..4000).prop_map(move |millis| now - 2 * SECOND + Duration::from_millis(millis))
    }

    fn modes(now: Instant) -> impl Strategy<Value = Mode> {
        prop_oneof![
            Just(Mode::Flowing),
            instants(now).prop_map(|until| Mode::Yielding { until }),
            Just(Mode::Overwhelmed),
        ]
    }

    fn firsts(now: Instant) -> impl Strategy<Value = First> {
        let late_at = prop::option::of(instants(now));
        (late_at, any::<bool>(), any::<bool>()).prop_map(|(late_at, is_blocked, is_slow)| First {
            late_at,
            is_blocked,
            is_slow,
        })
    }

    /// Any view in which something is left to send.
    fn views(now: Instant) -> impl Strategy<Value = View> {
        let candidates = (instants(now), any::<bool>());
        let pauses = prop_oneof![Just(Duration::ZERO), Just(SECOND)];
        let concurrency = prop::option::of(1_usize..4);
        let slow_at = prop::option::of(instants(now));
        (
            concurrency,
            0_usize..5,
            pauses,
            (any::<bool>(), any::<bool>()),
            slow_at,
            candidates,
        )
            .prop_map(
                |(
                    concurrency,
                    in_flight,
                    pause,
                    (is_probing, has_pass),
                    slow_at,
                    (goes_at, is_followed),
                )| {
                    let mut view = View {
                        concurrency,
                        in_flight,
                        pause,
                        is_probing,
                        has_pass,
                        slow_at,
                        candidate: None,
                    };
                    if view.may_send() {
                        view.candidate = candidate(goes_at, is_followed);
                    }
                    view
                },
            )
    }

    proptest! {
        #[test]
        fn nothing_is_sent_beyond_the_concurrency_in_a_pause_or_without_a_pass(
            first in firsts(now()), view in views(now()), mode in modes(now()), urgent in any::<bool>(),
        ) {
            let seen = view.clone();
            let (next, _) = decide(&first, view, mode, urgent, now());
            if let Next::Send(_) = next {
                prop_assert!(seen.in_flight < seen.concurrency.unwrap());
                prop_assert!(seen.pause.is_zero() && !seen.is_probing && seen.has_pass);
            }
        }

        #[test]
        fn overwhelmed_ends_only_when_nothing_is_parked(
            first in firsts(now()), view in views(now()), urgent in any::<bool>(),
            memory_wanted in any::<bool>(), has_backlog in any::<bool>(),
        ) {
            let (_, mode) = decide(&first, view, Mode::Overwhelmed, urgent, now());
            prop_assert_eq!(mode, Mode::Overwhelmed);
            let begun = mode.at_begin(memory_wanted, has_backlog, now());
            prop_assert!(begun == Mode::Overwhelmed || !has_backlog);
        }

        #[test]
        fn what_is_late_is_sent_or_parked_and_never_waits(
            first in firsts(now()), view in views(now()), mode in modes(now()), urgent in any::<bool>(),
        ) {
            let late = First { late_at: Some(now()), ..first };
            let (next, mode) = decide(&late, view, mode, urgent, now());
            prop_assert!(!matches!(next, Next::WaitUntil(_) | Next::FillUntil(_)), "{:?}", next);
            prop_assert_eq!(mode, Mode::Overwhelmed);
        }

        #[test]
        fn while_all_requests_are_on_their_way_what_stands_behind_parked_ones_is_parked(
            first in firsts(now()), view in views(now()), mode in modes(now()), urgent in any::<bool>(),
        ) {
            let busy = View { concurrency: Some(1), in_flight: 1, candidate: None, ..view };
            let blocked = First { is_blocked: true, ..first };
            let (next, _) = decide(&blocked, busy, mode, urgent, now());
            prop_assert!(matches!(next, Next::ParkBehind | Next::ParkFor(_)), "{:?}", next);
        }

        #[test]
        fn no_wait_goes_beyond_the_time_at_which_the_first_is_late(
            first in firsts(now()), view in views(now()), mode in modes(now()),
        ) {
            if let (Next::WaitUntil(at), _) = decide(&first, view, mode, false, now()) {
                prop_assert!(first.late_at.is_none_or(|late_at| at.is_some_and(|at| at <= late_at)));
            }
        }
    }
}
