//! Sends what comes from the stream, as far as it may go, and parks what may not.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Courier,
    batch::Gathering,
    decision::{Candidate, First, Next, View, decide},
    fate::AT_ONCE,
    pass::Pass,
    quota::hold,
    round::{Done, Round},
};
use crate::{
    delivery::{
        Delivery,
        lane::{Admission, Turn},
    },
    hook::Hook,
    store::Fate,
};

impl Courier {
    /// Sends what may go, and parks what may not. Returns when to come back even if nothing happens: what could go may
    /// wait for others to come along, or for its turn until it is late.
    pub(super) fn send_or_park(
        self: &Arc<Self>,
        round: &mut Round,
        hook: Option<&Arc<Hook>>,
    ) -> Option<Instant> {
        let now = Instant::now();
        let mut again_at = None;
        let mut urgent = self.begin(round, now);
        while let Some(first) = self.first(round, hook, now) {
            let view = self.view(round, hook, &first, urgent, now);
            let (next, mode) = decide(&first, view, round.mode, urgent, now);
            round.mode = mode;
            // Where one is late, none behind it waits for others to come along.
            urgent |= first.is_late(now);
            match next {
                Next::Send(turns) => {
                    let Some(hook) = hook else { break };
                    // The decision has seen that the breaker lets it through. Where that is open, this is the probe.
                    round.availability.breaker().allows(now);
                    self.send(round, hook, turns);
                }
                Next::ParkBehind => self.park_first(round, Fate::Behind),
                Next::ParkFor(wait) => self.park_first(round, Fate::Retry(wait)),
                Next::WaitUntil(at) => {
                    again_at = at;
                    break;
                }
                Next::FillUntil(at) => {
                    round.throughput.reset();
                    again_at = Some(at);
                    break;
                }
            }
        }
        if round.lanes.is_empty() {
            round.throughput.reset();
        }
        self.state().waiting = round.lanes.waiting();
        again_at
    }

    /// Begins a round in its mode. Returns whether others have asked for memory since the last one.
    fn begin(&self, round: &mut Round, now: Instant) -> bool {
        let mut state = self.state();
        let memory_wanted = std::mem::take(&mut state.memory_wanted);
        let has_backlog = !state.backlog.is_empty();
        round.mode = round.mode.at_begin(memory_wanted, has_backlog, now);
        memory_wanted
    }

    /// The next delivery that may go, as far as a decision depends on it.
    fn first(&self, round: &mut Round, hook: Option<&Arc<Hook>>, now: Instant) -> Option<First> {
        let first = round.lanes.first()?;
        Some(First {
            late_at: hook.and_then(|hook| late_at(first, hook)),
            is_blocked: first.unfit.is_some() || self.state().backlog.blocks(first.place),
            is_slow: round.throughput.is_slow(now),
        })
    }

    /// How things stand, and what could go in the next request.
    fn view(
        self: &Arc<Self>,
        round: &mut Round,
        hook: Option<&Arc<Hook>>,
        first: &First,
        urgent: bool,
        now: Instant,
    ) -> View {
        let mut view = View {
            concurrency: hook.map(|hook| self.allowed(hook)),
            in_flight: round.in_flight,
            pause: round.availability.pause(now),
            is_probing: round.availability.breaker().is_probing(),
            slow_at: round.throughput.window_ends_at(),
            has_pass: true,
            candidate: None,
        };
        if let Some(hook) = hook.filter(|_| view.may_send()) {
            view.has_pass = self.has_fresh_pass(round, hook);
        }
        if let Some(hook) = hook.filter(|_| view.may_send()) {
            let (turns, gathering) = self.gather(round, hook);
            let parks = round.mode.with_first(first, now).parks(now);
            view.candidate = gathering.goes_at().map(|goes_at| Candidate {
                goes_at,
                is_followed: parks && round.lanes.is_followed(&turns),
                turns,
            });
            let urgent = urgent || first.is_late(now);
            let goes = |candidate: &Candidate| urgent || candidate.goes_at <= now;
            if view.candidate.as_ref().is_some_and(goes)
                && !self.has_seat(round, hook, gathering.bytes())
            {
                // That is no fault of the endpoint.
                round.throughput.reset();
                view = View {
                    has_pass: false,
                    slow_at: None,
                    candidate: None,
                    ..view
                };
            }
        }
        view
    }

    /// Chooses what goes in the next request. On the way it parks what could go if nothing before it were parked, and
    /// what cannot be sent at all.
    fn gather(self: &Arc<Self>, round: &mut Round, hook: &Hook) -> (Vec<Turn>, Gathering) {
        loop {
            let (mut gathering, mut stopped) = (Gathering::new(hook.delivery.batch), Vec::new());
            let turns = {
                let state = self.state();
                round.lanes.run(|turn, place, delivery, is_first| {
                    if delivery.unfit.is_some() || state.backlog.blocks(place) {
                        if is_first {
                            stopped.push(turn);
                        }
                        Admission::Skip
                    } else if gathering.admit(delivery) {
                        Admission::Take
                    } else {
                        Admission::Stop
                    }
                })
            };
            if stopped.is_empty() {
                return (turns, gathering);
            }
            for turn in stopped {
                if let Some((place, delivery)) = round.lanes.pick(turn) {
                    self.park_unsent(delivery, Fate::Behind);
                    round.lanes.leave(turn, place);
                }
            }
        }
    }

    fn send(self: &Arc<Self>, round: &mut Round, hook: &Arc<Hook>, turns: Vec<Turn>) {
        let (mut taken, mut deliveries) = (Vec::new(), Vec::new());
        for turn in turns {
            if let Some((place, delivery)) = round.lanes.pick(turn) {
                taken.push((turn, place));
                deliveries.push(delivery);
            }
        }
        round.pass = Pass::None;
        let seat = round.seating.take();
        round.in_flight += 1;
        round.throughput.record(deliveries.len());
        // Its first attempt goes where the hook pointed then, whatever has been changed since.
        let held = deliveries.first().and_then(|first| first.held.as_ref());
        let then = held.and_then(|held| held.hook.as_ref());
        let (courier, hook) = (Arc::clone(self), Arc::clone(then.unwrap_or(hook)));
        round.tasks.push(Box::pin(async move {
            let (outcome, left) = hold(seat, courier.try_fresh(&hook, deliveries)).await;
            Done::Fresh {
                taken,
                outcome,
                left,
            }
        }));
    }

    /// Parks the next delivery that may go.
    fn park_first(self: &Arc<Self>, round: &mut Round, fate: Fate) {
        let Some((turn, place, delivery)) = round.lanes.take() else {
            return;
        };
        self.park_unsent(delivery, fate);
        round.lanes.leave(turn, place);
    }
}

/// Until when the slot may keep a delivery: for the hook's time-out, beside the time that it waits for others to come
/// along.
fn late_at(delivery: &Delivery, hook: &Hook) -> Option<Instant> {
    let patience = hook.delivery.timeout + hook.delivery.batch.map_or(AT_ONCE, |rule| rule.wait);
    let held = delivery.held.as_ref()?;
    held.since.checked_add(patience)
}
