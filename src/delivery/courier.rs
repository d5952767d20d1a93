//! Carries the deliveries of one hook: in order, beside each other as far as the hook allows, and again when they fail.
//!
//! Each hook has its own courier, so that endpoints are strangers to each other. A delivery of the stream gets one attempt;
//! if that fails, or cannot be made now, it is parked in the table, and the slot is free of it. Nothing overtakes what is
//! parked: whatever comes later in its lane is parked behind it. What is due is claimed back from the table.
//!
//! The task lives only while there is something to carry. What decides (lanes, backlog, breaker, verdict) are plain
//! values; the loop only asks them.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::Notify, time::Instant};

use super::{
    Delivery, Desk,
    backlog::Backlog,
    breaker::Breaker,
    lane::{Lanes, Place, Turn},
    retry::{self, Verdict},
    send::Request,
    spell::Spell,
};
use crate::{
    history::Attempt,
    hook::{Hook, HookId},
    journal::Entry,
    store::{Claimed, Disabling, Fate, Write},
};

/// A claimed delivery is due again after its hook's time-out and this, should we die over it.
const LEASE_BEYOND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait when the table could not be read.
const CLAIM_AGAIN: Duration = Duration::from_secs(2);
/// How long a delivery that got a 410 waits, once its hook is enabled again.
const AT_ONCE: Duration = Duration::ZERO;

/// The courier of one hook.
pub struct Courier {
    id: HookId,
    desk: Arc<Desk>,
    state: Mutex<State>,
    /// Rings when the state of a running task has changed.
    bell: Notify,
}

struct State {
    /// Where to send; `None` where the target has said that it is gone, or the hook has not been seen.
    hook: Option<Arc<Hook>>,
    /// Is the hook neither disabled nor removed? When it is, what is parked stays so; but what it heard before that, and was
    /// handed over, still gets its attempt.
    active: bool,
    /// What the stream has handed over.
    arrived: Vec<Delivery>,
    /// Deliveries in the task's hands that are not being sent.
    waiting: usize,
    /// What of this hook is in the table, or on its way into it.
    backlog: Backlog,
    /// When to look into the table; `None` where nothing in it has a time.
    look_at: Option<Instant>,
    /// Failures without a success between them.
    spell: Spell,
    /// Park what is not being sent: others need the memory.
    shed: bool,
    /// Is there a task that will see all this?
    running: bool,
}

/// Something that has been waited for.
enum Done {
    /// An attempt of a delivery of the stream.
    Fresh(Turn, Place, Outcome),
    /// An attempt of a delivery of the table, and the record of its end.
    Parked(Place, Outcome),
    /// What is due in the table.
    Claimed(anyhow::Result<Claimed>),
}

enum Outcome {
    /// Delivered.
    Arrived,
    /// Given up, and on record.
    Dead,
    /// To be tried again. A delivery of the table has been postponed there already.
    Again {
        delivery: Box<Delivery>,
        after: Duration,
        whole_hook: bool,
        reason: String,
    },
}

type Going = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What only the task knows.
struct Round {
    lanes: Lanes<Delivery>,
    going: FuturesUnordered<Going>,
    /// How many of `going` are requests.
    flying: usize,
    claiming: bool,
    breaker: Breaker,
    /// The endpoint has asked for a pause.
    not_before: Instant,
    /// The endpoint is slower than what is committed for it. What cannot be sent at once is parked, until nothing is.
    overwhelmed: bool,
}

impl Courier {
    /// A courier at rest.
    pub fn new(desk: Arc<Desk>, id: HookId, hook: Option<Arc<Hook>>) -> Arc<Self> {
        let state = State {
            active: hook.is_some(),
            hook,
            arrived: Vec::new(),
            waiting: 0,
            backlog: Backlog::default(),
            look_at: None,
            spell: Spell::default(),
            shed: false,
            running: false,
        };
        Arc::new(Self {
            id,
            desk,
            state: Mutex::new(state),
            bell: Notify::new(),
        })
    }

    /// Takes a delivery of the stream over. From here on the courier owes its settlement.
    pub fn hand(self: &Arc<Self>, delivery: Delivery) {
        self.change(|state| state.arrived.push(delivery));
    }

    /// Something in the table may be due.
    pub fn look(self: &Arc<Self>) {
        self.change(|state| state.look_at = Some(Instant::now()));
    }

    /// So much is parked that was not counted yet.
    pub fn resume(self: &Arc<Self>, parked: Backlog) {
        self.change(|state| {
            state.backlog.extend(parked);
            state.look_at = Some(Instant::now());
        });
    }

    /// The hook has had no success for so long, from before we started.
    pub fn remember(&self, failing_for: Duration) {
        if let Some(began) = Instant::now().checked_sub(failing_for) {
            self.state().spell = Spell::resumed(began);
        }
    }

    /// The hook has been made, changed or enabled. What waits goes where it points now.
    pub fn follow(self: &Arc<Self>, hook: Arc<Hook>) {
        self.change(|state| {
            state.hook = Some(hook);
            state.active = true;
            state.look_at = Some(Instant::now());
        });
    }

    /// The hook has been disabled or removed. What was handed over before gets its attempt, and no other.
    pub fn halt(self: &Arc<Self>) {
        self.change(|state| state.active = false);
    }

    /// Others need the memory: what waits is to be parked.
    pub fn shed(self: &Arc<Self>) {
        self.change(|state| state.shed = true);
    }

    /// A delivery has been parked durably; or it was in the table before, and is counted already.
    pub fn kept(self: &Arc<Self>, place: Place, is_new: bool) {
        self.change(|state| {
            if !is_new {
                state.backlog.remove(place);
            }
            // It may have become the first of its lane while it was being written.
            state.look_at = Some(Instant::now());
        });
    }

    /// A parked delivery has been deleted.
    pub fn forget(&self, place: Place) {
        self.state().backlog.remove(place);
    }

    /// Has it something in the table that nobody will send, because the hook is disabled or removed?
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        !state.active && !state.running && !state.backlog.is_empty()
    }

    /// How many deliveries wait in memory.
    pub fn waiting(&self) -> usize {
        let state = self.state();
        state.waiting + state.arrived.len()
    }

    /// Has it nothing to do, and knows of nothing in the table?
    pub fn expects_nothing(&self) -> bool {
        let state = self.state();
        !state.running && state.backlog.is_empty()
    }

    /// Has it nothing to do, and nothing to remember?
    pub fn is_at_rest(&self) -> bool {
        self.expects_nothing() && !self.state().spell.is_on()
    }

    fn change(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let idle = state.arrived.is_empty() && (state.backlog.is_empty() || !state.active);
        if state.running {
            self.bell.notify_one();
        } else if !idle {
            state.running = true;
            self.desk.tasks.spawn(Arc::clone(self).run());
        }
    }

    async fn run(self: Arc<Self>) {
        let mut round = Round {
            lanes: Lanes::default(),
            going: FuturesUnordered::new(),
            flying: 0,
            claiming: false,
            breaker: Breaker::default(),
            not_before: Instant::now(),
            overwhelmed: false,
        };
        loop {
            let stopping = self.desk.stop.is_cancelled();
            let hook = self.collect(&mut round);
            if !stopping {
                self.send_or_park(&mut round, hook.as_ref());
            }
            let look_at = hook
                .as_ref()
                .and_then(|hook| self.look_into_table(&mut round, hook, stopping));
            if round.going.is_empty() && self.rest(&round, stopping) {
                return;
            }
            tokio::select! {
                Some(done) = round.going.next() => self.note(&mut round, done),
                () = self.bell.notified() => {}
                () = until(look_at) => {}
                () = self.desk.stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// Puts what has arrived into its lanes.
    fn collect(&self, round: &mut Round) -> Option<Arc<Hook>> {
        let mut state = self.state();
        for delivery in state.arrived.drain(..) {
            round.lanes.push(delivery.place, delivery);
        }
        state.hook.clone()
    }

    /// Sends what may go, and parks what may not.
    fn send_or_park(self: &Arc<Self>, round: &mut Round, hook: Option<&Arc<Hook>>) {
        let now = Instant::now();
        let mut shed = {
            let mut state = self.state();
            round.overwhelmed &= !state.backlog.is_empty();
            std::mem::take(&mut state.shed) || round.overwhelmed
        };
        loop {
            let limit = hook.map_or(usize::MAX, |hook| hook.delivery.concurrency.get());
            if round.flying >= limit && !shed {
                break;
            }
            let Some((turn, place, delivery)) = round.lanes.take() else {
                break;
            };
            if let Some(flaw) = delivery.flaw.clone() {
                self.lament(&delivery, &flaw);
                self.park(delivery, Fate::Dead, Some(flaw.replace('\0', "�")));
                round.lanes.leave(turn, place);
                continue;
            }
            if let (Some(held), Some(hook)) = (&delivery.held, hook)
                && now - held.since > hook.delivery.timeout
            {
                // The slot is held by no endpoint for longer than its time-out, be it ever so alive.
                (shed, round.overwhelmed) = (true, true);
            }
            let pause = round
                .not_before
                .max(round.breaker.opens_at().unwrap_or(now))
                .saturating_duration_since(now);
            let fate = if self.state().backlog.blocks(place) {
                Some(Fate::Behind)
            } else if hook.is_none() || shed && round.flying >= limit {
                Some(Fate::Tried(AT_ONCE))
            } else if !pause.is_zero() || !round.breaker.allows(now) {
                Some(Fate::Tried(pause))
            } else {
                None
            };
            match (fate, hook) {
                (None, Some(hook)) => {
                    round.flying += 1;
                    let (courier, hook) = (Arc::clone(self), Arc::clone(hook));
                    round.going.push(Box::pin(async move {
                        Done::Fresh(turn, place, courier.try_fresh(&hook, delivery).await)
                    }));
                }
                (fate, _) => {
                    self.park(delivery, fate.unwrap_or(Fate::Behind), None);
                    round.lanes.leave(turn, place);
                }
            }
        }
        self.state().waiting = round.lanes.waiting();
    }

    /// Claims what is due, or says when to look again.
    fn look_into_table(
        self: &Arc<Self>,
        round: &mut Round,
        hook: &Arc<Hook>,
        stopping: bool,
    ) -> Option<Instant> {
        let mut state = self.state();
        let free = hook.delivery.concurrency.get().saturating_sub(round.flying);
        if stopping || !state.active || round.claiming || free == 0 || state.backlog.is_empty() {
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
        // While a probe is out, the answer decides whether more is claimed.
        let limit = match (round.breaker.is_closed(), round.breaker.opens_at()) {
            (true, _) => free,
            (false, Some(_)) => 1,
            (false, None) => return None,
        };
        state.look_at = None;
        round.claiming = true;
        let (courier, lease) = (
            Arc::clone(self),
            hook.delivery.timeout + LEASE_BEYOND_TIMEOUT,
        );
        round.going.push(Box::pin(async move {
            Done::Claimed(courier.desk.store.claim(&courier.id, limit, lease).await)
        }));
        None
    }

    fn note(self: &Arc<Self>, round: &mut Round, done: Done) {
        match done {
            Done::Claimed(claimed) => {
                round.claiming = false;
                self.note_claimed(round, claimed);
            }
            Done::Fresh(turn, place, outcome) => {
                round.flying -= 1;
                if let Outcome::Again {
                    delivery,
                    after,
                    reason,
                    ..
                } = self.judge(round, outcome)
                {
                    self.park(*delivery, Fate::Tried(after), Some(reason));
                }
                round.lanes.leave(turn, place);
            }
            Done::Parked(place, outcome) => {
                round.flying -= 1;
                let outcome = self.judge(round, outcome);
                let mut state = self.state();
                let look_at = match outcome {
                    Outcome::Again { after, .. } => Instant::now() + after,
                    Outcome::Arrived | Outcome::Dead => {
                        state.backlog.remove(place);
                        Instant::now()
                    }
                };
                state.look_at = Some(
                    state
                        .look_at
                        .map_or(look_at, |earlier| earlier.min(look_at)),
                );
            }
        }
    }

    fn note_claimed(self: &Arc<Self>, round: &mut Round, claimed: anyhow::Result<Claimed>) {
        let now = Instant::now();
        let (deliveries, next) = match claimed {
            Ok(Claimed { deliveries, next }) => (deliveries, next),
            Err(error) => {
                tracing::warn!(hook = %self.id, error = format!("{error:#}"), retry_in = ?CLAIM_AGAIN, "could not look for due deliveries");
                (Vec::new(), Some(CLAIM_AGAIN))
            }
        };
        let mut state = self.state();
        if let Some(next) = next {
            let next = now + next;
            state.look_at = Some(state.look_at.map_or(next, |earlier| earlier.min(next)));
        }
        // A hook that has been halted meanwhile gets them when the lease is over.
        let Some(hook) = state.hook.clone().filter(|_| state.active) else {
            return;
        };
        drop(state);
        for delivery in deliveries {
            if !round.breaker.allows(now) && round.breaker.opens_at().is_some() {
                break;
            }
            round.flying += 1;
            let (courier, hook, place) = (Arc::clone(self), Arc::clone(&hook), delivery.place);
            round.going.push(Box::pin(async move {
                Done::Parked(place, courier.try_parked(&hook, delivery).await)
            }));
        }
    }

    /// What an outcome says of the endpoint.
    fn judge(&self, round: &mut Round, outcome: Outcome) -> Outcome {
        let now = Instant::now();
        match &outcome {
            Outcome::Arrived => round.breaker.succeeded(),
            Outcome::Again {
                after, whole_hook, ..
            } => {
                if *whole_hook {
                    round.not_before = round.not_before.max(now + *after);
                }
                round.breaker.failed(now);
            }
            Outcome::Dead => round.breaker.failed(now),
        }
        outcome
    }

    /// One attempt of a delivery that the slot still keeps.
    async fn try_fresh(self: &Arc<Self>, hook: &Arc<Hook>, mut delivery: Delivery) -> Outcome {
        let (verdict, answer) = self.attempt(hook, &mut delivery).await;
        match verdict {
            Verdict::Delivered => {
                delivery.settle();
                Outcome::Arrived
            }
            Verdict::TryAgain { after, throttle } => Outcome::Again {
                delivery: Box::new(delivery),
                after,
                whole_hook: throttle,
                reason: answer,
            },
            Verdict::Disable { reason, gone } => {
                self.disable(hook, &reason, gone, &answer).await;
                Outcome::Again {
                    delivery: Box::new(delivery),
                    after: AT_ONCE,
                    whole_hook: false,
                    reason: answer,
                }
            }
            Verdict::Dead { reason } => {
                self.lament(&delivery, &reason);
                // It holds the LSN until it is on record, and nothing later of its lane can overtake that: what a crash
                // brings back comes back in order.
                self.park(delivery, Fate::Dead, Some(reason));
                Outcome::Dead
            }
        }
    }

    /// One attempt of a delivery of the table, and the record of how it ended.
    async fn try_parked(&self, hook: &Arc<Hook>, mut delivery: Delivery) -> Outcome {
        let (verdict, answer) = self.attempt(hook, &mut delivery).await;
        let (id, place, attempts) = (Arc::clone(&delivery.id), delivery.place, delivery.attempts);
        let failed = |fate, reason: String| {
            let (hook, id) = (self.id.clone(), Arc::clone(&id));
            self.desk.store.done(move |done| Write::Failed {
                hook,
                id,
                place,
                attempts,
                fate,
                reason,
                done,
            })
        };
        match verdict {
            Verdict::Delivered => {
                let (hook, id) = (self.id.clone(), Arc::clone(&id));
                self.desk
                    .store
                    .done(move |done| Write::Delivered {
                        hook,
                        id,
                        place,
                        done,
                    })
                    .await;
                Outcome::Arrived
            }
            Verdict::TryAgain { after, throttle } => {
                failed(Fate::Tried(after), answer.clone()).await;
                Outcome::Again {
                    delivery: Box::new(delivery),
                    after,
                    whole_hook: throttle,
                    reason: answer,
                }
            }
            Verdict::Disable { reason, gone } => {
                self.disable(hook, &reason, gone, &answer).await;
                failed(Fate::Tried(AT_ONCE), answer.clone()).await;
                Outcome::Again {
                    delivery: Box::new(delivery),
                    after: AT_ONCE,
                    whole_hook: false,
                    reason: answer,
                }
            }
            Verdict::Dead { reason } => {
                self.lament(&delivery, &reason);
                failed(Fate::Dead, reason).await;
                Outcome::Dead
            }
        }
    }

    async fn attempt(&self, hook: &Arc<Hook>, delivery: &mut Delivery) -> (Verdict, String) {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let request = Request {
            target: &hook.target,
            id: &delivery.id,
            body: delivery.body.clone(),
            content_type: &delivery.content_type,
            at: started_at,
            timeout: hook.delivery.timeout,
        };
        let answer = self.desk.sender.send(request).await;
        delivery.attempts += 1;
        let jitter = rand::random_range(0.0..1.0);
        let verdict = retry::verdict(
            &answer,
            delivery.attempts,
            &hook.delivery.retries,
            SystemTime::now(),
            jitter,
        );
        let verdict = self.weigh(hook, verdict);
        if let Verdict::TryAgain { after, .. } = &verdict {
            tracing::warn!(hook = %hook.id, event = %delivery.event, id = %delivery.id, attempt = delivery.attempts, retry_in = ?after, answer = %answer, "an attempt failed");
        }
        self.desk.journal.tell(|| Entry::Attempted {
            id: Arc::clone(&delivery.id),
            event: Arc::clone(&delivery.event),
            hook: hook.id.clone(),
            target: hook.target.display().into(),
            answer: answer.to_string(),
            delivered: verdict == Verdict::Delivered,
            took: started.elapsed(),
            commit_time: delivery.commit_time,
        });
        let told = answer.to_string();
        self.desk.history.note(Attempt {
            hook: Arc::clone(hook),
            delivery: Arc::clone(&delivery.id),
            event: Arc::clone(&delivery.event),
            position: delivery.position,
            commit_time: delivery.commit_time,
            place: delivery.place,
            content_type: Arc::clone(&delivery.content_type),
            number: delivery.attempts,
            started_at,
            took: started.elapsed(),
            delivered: verdict == Verdict::Delivered,
            body: Some(delivery.body.clone()),
            answer,
        });
        // A text in Postgres has no zero bytes.
        (verdict, told.replace('\0', "�"))
    }

    /// What a verdict comes to when the hook has failed for long.
    fn weigh(&self, hook: &Hook, verdict: Verdict) -> Verdict {
        let now = Instant::now();
        let spell = &mut self.state().spell;
        let disabled = match verdict {
            Verdict::Delivered => {
                if spell.succeeded() {
                    self.tell_spell(None);
                }
                return verdict;
            }
            Verdict::Disable { .. } => return verdict,
            Verdict::TryAgain { .. } | Verdict::Dead { .. } => {
                if spell.failed(now) {
                    self.tell_spell(Some(SystemTime::now()));
                }
                spell.verdict(hook.delivery.disable_after, now)
            }
        };
        match disabled {
            Some(reason) => Verdict::Disable {
                reason,
                gone: false,
            },
            None => verdict,
        }
    }

    /// Has it written down since when there has been no success, so that it survives us.
    fn tell_spell(&self, since: Option<SystemTime>) {
        let hook = self.id.clone();
        self.desk.store.put(Write::Failing { hook, since });
    }

    /// Hands a delivery over to the table. Its lane is blocked from now on.
    fn park(self: &Arc<Self>, delivery: Delivery, fate: Fate, reason: Option<String>) {
        if fate != Fate::Dead {
            self.state().backlog.add(delivery.place, 1);
        }
        let (hook, courier) = (self.id.clone(), Arc::clone(self));
        self.desk.store.put(Write::Keep {
            hook,
            delivery,
            fate,
            reason,
            courier,
        });
    }

    /// Disables the hook. Memory first, the table after; but a hook that has been pointed elsewhere since the request was
    /// made is not concerned.
    async fn disable(&self, hook: &Arc<Hook>, reason: &str, gone: bool, last_answer: &str) {
        let lasted = {
            let mut state = self.state();
            let here = hook.target.display();
            // Other requests of the hook may have come to the same, and one word is enough.
            if state
                .hook
                .as_ref()
                .is_none_or(|now| now.target.display() != here)
            {
                return;
            }
            state.hook = None;
            state.active = false;
            let lasted = state.spell.lasted(Instant::now());
            // When it is enabled again, it begins anew.
            if state.spell.succeeded() {
                self.tell_spell(None);
            }
            lasted
        };
        tracing::warn!(hook = %hook.id, target = hook.target.display(), reason, "the hook is disabled, and its deliveries are kept");
        let disabling = Disabling {
            hook,
            reason,
            gone,
            since: SystemTime::now()
                .checked_sub(lasted)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            last_answer,
        };
        self.desk.store.disable(&disabling).await;
    }

    fn lament(&self, delivery: &Delivery, reason: &str) {
        tracing::error!(hook = %self.id, event = %delivery.event, id = %delivery.id, attempts = delivery.attempts, reason, "a delivery is dead");
    }

    /// Ends the task, unless there is something left to do. When rowhook stops, what the stream has handed over stays
    /// unsettled, and comes again.
    fn rest(&self, round: &Round, stopping: bool) -> bool {
        let mut state = self.state();
        let nothing_to_wait_for = !state.active || state.backlog.is_empty();
        let done =
            stopping || (state.arrived.is_empty() && round.lanes.is_empty() && nothing_to_wait_for);
        state.running = !done;
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can panic.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Waits until `at`, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
