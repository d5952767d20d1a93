//! One round of a courier: what may go is sent, what may not is parked, what is due is claimed, and what came of it noted.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::{
    AT_ONCE, Courier,
    attempt::{Outcome, Report},
};
use crate::{
    courier::{
        batch::{self, Gathering, Head, Run},
        breaker::Breaker,
        throughput::Pace,
    },
    delivery::{
        Delivery, Unfit,
        lane::{Admission, Lanes, Place, Turn},
        memory_budget as memory,
        memory_budget::{Memory, Taken},
    },
    hook::Hook,
    meters,
    store::{Claimed, Fate, Share, Write},
};

/// A claimed delivery is due again after its hook's time-out and this, should we die over it.
const LEASE_BEYOND_TIMEOUT: Duration = Duration::from_secs(60);
/// So many requests of a run are claimed at most.
const RUN: usize = 32;
/// So much of what goes in requests of its own is claimed at once, but for a single delivery.
const CLAIMED_BYTES: usize = 4 << 20;
/// So long it parks what cannot be sent at once, after others have waited for the memory that it takes.
const YIELDING: Duration = Duration::from_secs(10);
/// How long to wait when the table could not be read.
const CLAIM_AGAIN: Duration = Duration::from_secs(2);

/// Something that has been waited for.
pub(super) enum Done {
    /// A request of deliveries of the stream, the lanes that they hold, and what has not arrived of them.
    Fresh {
        taken: Vec<(Turn, Place)>,
        outcome: Outcome,
        left: Vec<(Delivery, Fate, String)>,
    },
    /// A run of deliveries of the table, which of them were claimed, and how it went.
    Parked(Vec<Head>, Report),
    /// What is due in the table, and the memory that it takes.
    Claimed(anyhow::Result<(Claimed, Taken)>),
}

pub(super) type Going = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What only the task knows.
pub(super) struct Round {
    pub(super) lanes: Lanes<Delivery>,
    pub(super) going: FuturesUnordered<Going>,
    /// How many of `going` are requests, or runs of them.
    pub(super) flying: usize,
    pub(super) claiming: bool,
    /// What was claimed, by runs that are not on their way yet, with the memory that they share.
    pub(super) claimed: VecDeque<(Run, Arc<Taken>)>,
    /// The ids of what was claimed and is not done with, and how many attempts there had been: should a lease end before, it is
    /// not taken twice.
    pub(super) in_hand: HashMap<Arc<str>, u32>,
    /// The lanes of runs that are not done with, and of how many. What stands in one comes along in no other run.
    pub(super) lanes_in_hand: HashMap<u64, usize>,
    pub(super) breaker: Breaker,
    /// Counted while the breaker is open.
    pub(super) open: Option<meters::Going>,
    /// The endpoint has asked for a pause.
    pub(super) not_before: Instant,
    pub(super) pace: Pace,
    /// The endpoint is slower than what is committed for it. What cannot be sent at once is parked, until nothing is.
    pub(super) overwhelmed: bool,
    /// Others have waited for the memory that it takes. Until then, or until nothing is parked, it parks what cannot be sent at
    /// once.
    pub(super) yields_until: Option<Instant>,
}

impl Default for Round {
    fn default() -> Self {
        Self {
            lanes: Lanes::default(),
            going: FuturesUnordered::new(),
            flying: 0,
            claiming: false,
            claimed: VecDeque::new(),
            in_hand: HashMap::new(),
            lanes_in_hand: HashMap::new(),
            breaker: Breaker::default(),
            open: None,
            not_before: Instant::now(),
            pace: Pace::default(),
            overwhelmed: false,
            yields_until: None,
        }
    }
}

impl Round {
    /// Forgets what was claimed and is not on its way. Returns what it was.
    pub(super) fn let_go(&mut self) -> Vec<Arc<str>> {
        let claimed = self.claimed.drain(..);
        let heads: Vec<_> = claimed.flat_map(|(run, _)| run.heads).collect();
        self.let_out_of_hand(&heads);
        heads.into_iter().map(|head| head.id).collect()
    }

    /// For so long nothing is to be sent.
    fn pause(&self, now: Instant) -> Duration {
        let opens_at = self.breaker.opens_at().unwrap_or(now);
        let until = self.not_before.max(opens_at);
        until.saturating_duration_since(now)
    }

    fn take_in_hand(&mut self, heads: &[Head]) {
        for head in heads {
            self.in_hand.insert(Arc::clone(&head.id), head.attempts);
            for lane in head.place.lanes() {
                *self.lanes_in_hand.entry(lane).or_default() += 1;
            }
        }
    }

    /// These are done with, unless they have been claimed again since then.
    fn let_out_of_hand(&mut self, heads: &[Head]) {
        for head in heads {
            if self.in_hand.get(&head.id) == Some(&head.attempts) {
                self.in_hand.remove(&head.id);
            }
            for lane in head.place.lanes() {
                if let Some(runs) = self.lanes_in_hand.get_mut(&lane) {
                    *runs -= 1;
                    if *runs == 0 {
                        self.lanes_in_hand.remove(&lane);
                    }
                }
            }
        }
    }
}

impl Courier {
    /// Sends what may go, and parks what may not. Returns when to look again, be there news or not: what could go may wait for
    /// others to go along, or for its turn until it is late.
    pub(super) fn send_or_park(
        self: &Arc<Self>,
        round: &mut Round,
        hook: Option<&Arc<Hook>>,
    ) -> Option<Instant> {
        let now = Instant::now();
        let mut again_at = None;
        // Whether not even others that could go along are waited for, and whether what cannot go is parked.
        let mut urgent = self.take_pressure(round, now);
        let mut shed = round.overwhelmed || round.yields_until.is_some_and(|until| until > now);
        while let Some(first) = round.lanes.first() {
            let limit = hook.map_or(usize::MAX, |hook| hook.delivery.concurrency.get());
            let busy = round.flying >= limit;
            let late_at = hook.and_then(|hook| late_at(first, hook));
            let (place, is_unfit) = (first.place, first.unfit.is_some());
            if late_at.is_some_and(|late_at| late_at <= now) {
                // The slot is held by no endpoint for longer than its time-out, be it ever so alive.
                (urgent, shed, round.overwhelmed) = (true, true, true);
            }
            if round.pace.is_slow(now) {
                (shed, round.overwhelmed) = (true, true);
            }
            if busy && !shed {
                if is_unfit || self.state().backlog.blocks(place) {
                    self.park_first(round, Fate::Behind);
                    continue;
                }
                again_at = [late_at, round.pace.known_at()].into_iter().flatten().min();
                break;
            }
            let pause = round.pause(now);
            let Some(hook) = hook.filter(|_| !busy && pause.is_zero()) else {
                // That of a hook which is disabled goes at once when it is enabled again.
                let wait = hook.map_or(AT_ONCE, |_| pause);
                self.park_first(round, Fate::Tried(wait));
                continue;
            };
            let (run, gathering) = self.gather(round, hook);
            let Some(at) = gathering.goes_at() else {
                break;
            };
            if shed && round.lanes.is_followed(&run) {
                // Those behind it would have to wait for its answer.
                self.park_first(round, Fate::Tried(AT_ONCE));
                continue;
            }
            if at > now && !urgent {
                round.pace.rest();
                again_at = Some(at);
                break;
            }
            if round.breaker.allows(now) {
                self.send(round, hook, run);
            } else {
                self.park_first(round, Fate::Tried(pause));
            }
        }
        if round.lanes.is_empty() {
            round.pace.rest();
        }
        self.state().waiting = round.lanes.waiting();
        again_at
    }

    /// Have others asked for the memory since the last round? Where nothing is parked any more, earlier pressure is over.
    fn take_pressure(&self, round: &mut Round, now: Instant) -> bool {
        let mut state = self.state();
        let asked = std::mem::take(&mut state.shed);
        if asked {
            round.yields_until = Some(now + YIELDING);
        } else if state.backlog.is_empty() {
            (round.overwhelmed, round.yields_until) = (false, None);
        }
        asked
    }

    /// Who goes in the next request. Those are parked on the way that could go, if nothing before them were parked, and those
    /// that cannot be sent at all.
    fn gather(self: &Arc<Self>, round: &mut Round, hook: &Hook) -> (Vec<Turn>, Gathering) {
        loop {
            let (mut gathering, mut stopped) = (Gathering::new(hook.delivery.batch), Vec::new());
            let run = {
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
                return (run, gathering);
            }
            for turn in stopped {
                if let Some((place, delivery)) = round.lanes.pick(turn) {
                    self.park_unsent(delivery, Fate::Behind);
                    round.lanes.leave(turn, place);
                }
            }
        }
    }

    fn send(self: &Arc<Self>, round: &mut Round, hook: &Arc<Hook>, run: Vec<Turn>) {
        let (mut taken, mut deliveries) = (Vec::new(), Vec::new());
        for turn in run {
            if let Some((place, delivery)) = round.lanes.pick(turn) {
                taken.push((turn, place));
                deliveries.push(delivery);
            }
        }
        round.flying += 1;
        round.pace.send(deliveries.len());
        let (courier, hook) = (Arc::clone(self), Arc::clone(hook));
        round.going.push(Box::pin(async move {
            let (outcome, left) = courier.try_fresh(&hook, deliveries).await;
            Done::Fresh {
                taken,
                outcome,
                left,
            }
        }));
    }

    /// Parks the next that may go. Behind what is parked already, it has no time of its own.
    fn park_first(self: &Arc<Self>, round: &mut Round, fate: Fate) {
        let Some((turn, place, delivery)) = round.lanes.take() else {
            return;
        };
        self.park_unsent(delivery, fate);
        round.lanes.leave(turn, place);
    }

    /// Sends what was claimed, as far as the hook allows.
    pub(super) fn send_claimed(self: &Arc<Self>, round: &mut Round) {
        let Some(hook) = self.hook_if_active() else {
            self.give_back(round);
            return;
        };
        let now = Instant::now();
        while round.flying < hook.delivery.concurrency.get() && !round.claimed.is_empty() {
            if !round.breaker.allows(now) {
                if round.breaker.opens_at().is_some() {
                    self.give_back(round);
                }
                // Otherwise a probe is out, and its answer decides.
                return;
            }
            let Some((run, memory)) = round.claimed.pop_front() else {
                return;
            };
            round.flying += 1;
            let (courier, hook) = (Arc::clone(self), Arc::clone(&hook));
            let heads = run.heads.clone();
            round.going.push(Box::pin(async move {
                let report = courier.try_parked(&hook, run).await;
                drop(memory);
                Done::Parked(heads, report)
            }));
        }
    }

    /// Makes due again what was claimed and is not on its way.
    fn give_back(self: &Arc<Self>, round: &mut Round) {
        let (ids, courier) = (round.let_go(), Arc::clone(self));
        if !ids.is_empty() {
            self.desk.store.put(Write::LetGo { ids, courier });
        }
    }

    /// Claims what is due, or says when to look again.
    pub(super) fn look_into_table(
        self: &Arc<Self>,
        round: &mut Round,
        hook: &Arc<Hook>,
        stopping: bool,
    ) -> Option<Instant> {
        let mut state = self.state();
        let busy = round.claiming || !round.claimed.is_empty();
        if stopping || !state.active || busy || state.backlog.is_empty() {
            return None;
        }
        let look_at = state.look_at?.max(round.not_before);
        let look_at = round
            .breaker
            .opens_at()
            .map_or(look_at, |opens_at| look_at.max(opens_at));
        if look_at > Instant::now() {
            return Some(look_at);
        }
        // As many as can be on their way wait for their turn. While a probe is out, its answer decides whether more is claimed.
        let runs = match (round.breaker.is_closed(), round.breaker.opens_at()) {
            (true, _) => (hook.delivery.concurrency.get() * 2).saturating_sub(round.flying),
            (false, Some(_)) => 1,
            (false, None) => return None,
        };
        if runs == 0 {
            return None;
        }
        let share = match hook.delivery.batch {
            None => Share {
                lanes: runs,
                behind: runs * RUN,
                of_lane: RUN,
                bytes: CLAIMED_BYTES,
            },
            // Of batches one run is claimed at a time.
            Some(rule) => Share {
                lanes: rule.max.get(),
                behind: rule.max.get().saturating_mul(RUN),
                of_lane: usize::MAX,
                bytes: batch::LARGEST,
            },
        };
        state.look_at = None;
        round.claiming = true;
        let (courier, lease) = (
            Arc::clone(self),
            hook.delivery.timeout + LEASE_BEYOND_TIMEOUT,
        );
        round.going.push(Box::pin(async move {
            Done::Claimed(courier.claim(share, lease).await)
        }));
        None
    }

    /// Claims what is due, once there is memory for it. A single delivery that is larger than what is claimed at once has a purse
    /// of its own, so that the others need not wait for it.
    async fn claim(&self, mut share: Share, lease: Duration) -> anyhow::Result<(Claimed, Taken)> {
        let Memory { table, large, .. } = &self.desk.memory;
        // Others want to claim too.
        share.bytes = share.bytes.min(table.bytes() / 4);
        let mut taken = table.take(share.bytes).await;
        loop {
            let claimed = self.desk.store.claim(&self.id, share, lease).await?;
            let Some(bytes) = claimed.too_large else {
                let all = claimed.deliveries.iter().chain(&claimed.behind);
                taken.shrink(all.map(|one| one.body.len() + memory::DELIVERY).sum());
                return Ok((claimed, taken));
            };
            drop(taken);
            taken = large.take(bytes).await;
            share = Share {
                lanes: 1,
                behind: 0,
                of_lane: 0,
                bytes,
            };
        }
    }

    pub(super) fn note(self: &Arc<Self>, round: &mut Round, done: Done) {
        match done {
            Done::Claimed(claimed) => {
                round.claiming = false;
                self.note_claimed(round, claimed);
            }
            Done::Fresh {
                taken,
                outcome,
                left,
            } => {
                round.flying -= 1;
                self.judge(round, outcome);
                for (delivery, fate, reason) in left {
                    self.park(delivery, fate, Some(reason));
                }
                for (turn, place) in taken {
                    round.lanes.leave(turn, place);
                }
            }
            Done::Parked(heads, report) => {
                round.flying -= 1;
                for outcome in report.outcomes {
                    self.judge(round, outcome);
                }
                round.let_out_of_hand(&heads);
                let mut state = self.state();
                for place in report.gone {
                    state.backlog.remove(place);
                }
                state.look_by(Instant::now() + report.look_after);
            }
        }
    }

    fn note_claimed(&self, round: &mut Round, claimed: anyhow::Result<(Claimed, Taken)>) {
        let mut state = self.state();
        match claimed {
            Ok((claimed, memory)) => {
                let Claimed {
                    mut deliveries,
                    mut behind,
                    next,
                    ..
                } = claimed;
                // With more attempts it is not in hand any more: how it went is on record, but has not been told here yet.
                deliveries.retain(|delivery| {
                    let in_hand = round.in_hand.get(&delivery.id);
                    in_hand.is_none_or(|attempts| delivery.attempts > *attempts)
                });
                let in_hand = |lane| round.lanes_in_hand.contains_key(&lane);
                behind.retain(|delivery| !delivery.place.lanes().any(in_hand));
                if let Some(next) = next {
                    state.look_by(Instant::now() + next);
                }
                let rule = state.hook.as_ref().and_then(|hook| hook.delivery.batch);
                let runs = batch::divide(rule, deliveries, behind);
                for run in &runs {
                    round.take_in_hand(&run.heads);
                }
                let memory = Arc::new(memory);
                let runs = runs.into_iter().map(|run| (run, Arc::clone(&memory)));
                round.claimed.extend(runs);
            }
            Err(error) => {
                tracing::warn!(hook = %self.id, error = format!("{error:#}"), retry_in = ?CLAIM_AGAIN, "could not look for due deliveries");
                state.look_by(Instant::now() + CLAIM_AGAIN);
            }
        }
    }

    /// A request is done, and says this of the endpoint.
    fn judge(&self, round: &mut Round, outcome: Outcome) {
        let now = Instant::now();
        match outcome {
            Outcome::Arrived => round.breaker.succeeded(),
            Outcome::Failed { pause } => {
                if let Some(pause) = pause {
                    round.not_before = round.not_before.max(now + pause);
                }
                round.breaker.failed(now);
            }
            Outcome::Silent => round.breaker.spared(now),
        }
        round.open = match (round.breaker.is_closed(), round.open.take()) {
            (true, _) => None,
            (false, Some(open)) => Some(open),
            (false, None) => Some(self.desk.meters.going_on(|meters| &meters.breakers_open)),
        };
    }

    /// Parks a delivery without an attempt: with this fate, unless something of its lane is parked already, or it cannot be sent
    /// at all.
    fn park_unsent(self: &Arc<Self>, mut delivery: Delivery, fate: Fate) {
        let (fate, reason) = match delivery.unfit.clone() {
            None => (fate, None),
            Some(Unfit::Flawed(flaw)) => {
                self.lament(&delivery, &flaw);
                (Fate::Dead, Some(flaw))
            }
            Some(Unfit::Doubtful(reason)) => {
                delivery.attempts += 1;
                let hook = self.state().hook.clone();
                let fate = hook.map_or(fate, |hook| self.doubt(&delivery, &hook, &reason));
                (fate, Some(reason))
            }
        };
        let blocked = fate != Fate::Dead && self.state().backlog.blocks(delivery.place);
        let reason = reason.map(|reason| reason.replace('\0', "�"));
        self.park(delivery, if blocked { Fate::Behind } else { fate }, reason);
    }

    /// Hands a delivery over to the table. Its lane is blocked from now on.
    fn park(self: &Arc<Self>, delivery: Delivery, fate: Fate, reason: Option<String>) {
        if fate != Fate::Dead {
            self.state().backlog.add(delivery.place, 1);
            self.desk.meters.parked.fetch_add(1, Relaxed);
        }
        let (hook, courier) = (self.id.clone(), Arc::clone(self));
        self.desk.store.put(Write::Keep {
            hook,
            delivery: Box::new(delivery),
            fate,
            reason,
            courier,
        });
    }
}

/// Until when the slot may keep it: for the hook's time-out, beside the time that it waits for others to go along.
fn late_at(delivery: &Delivery, hook: &Hook) -> Option<Instant> {
    let patience = hook.delivery.timeout + hook.delivery.batch.map_or(AT_ONCE, |rule| rule.wait);
    let held = delivery.held.as_ref()?;
    held.since.checked_add(patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: &str, lane: u64, attempts: u32) -> Head {
        Head {
            id: id.into(),
            place: Place::One(lane),
            attempts,
        }
    }

    #[test]
    fn what_was_claimed_again_stays_in_hand_when_its_earlier_run_ends() {
        let mut round = Round::default();
        let (first, again) = ([head("a", 1, 0), head("b", 2, 0)], [head("a", 1, 1)]);
        round.take_in_hand(&first);
        round.take_in_hand(&again);
        assert_eq!(round.lanes_in_hand, HashMap::from([(1, 2), (2, 1)]));
        round.let_out_of_hand(&first);
        assert_eq!(round.in_hand, HashMap::from([("a".into(), 1)]));
        assert_eq!(round.lanes_in_hand, HashMap::from([(1, 1)]));
        round.let_out_of_hand(&again);
        assert!(round.in_hand.is_empty() && round.lanes_in_hand.is_empty());
    }
}
