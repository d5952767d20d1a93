//! Carries the deliveries of one hook: in order, beside each other as far as the hook allows, and again when they fail.
//!
//! Each hook has a courier of its own, so that no endpoint can slow down another. A delivery of the stream gets one
//! attempt. If that fails, or cannot be made now, the delivery is parked in the table, and the slot is free of it.
//! Nothing overtakes what is parked: whatever comes later in its lane is parked behind it. What is due is claimed back
//! from the table.
//!
//! The courier's task lives only while there is something to deliver. What decides are plain values that the task asks:
//! lanes, backlog, breaker, limiter, verdicts, and the decision between sending, parking and waiting.

pub mod batch;
pub mod breaker;
pub mod context;
pub mod couriers;
pub mod failure_streak;
pub mod gate;
pub mod limiter;
pub mod pace;
pub mod quota;
pub mod retry;
pub mod tenure;
pub mod throughput;

mod attempt;
mod availability;
mod claims;
mod decision;
mod disable;
mod dispatch;
mod fate;
mod halves;
mod leases;
mod parked;
mod parking;
mod pass;
mod permission;
mod rates;
mod rescue;
mod round;
mod run_length;
mod seating;
mod standing;
mod task;

use std::{
    sync::{Arc, Mutex, MutexGuard, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tracing::Instrument;

use self::{context::Context, failure_streak::FailureStreak, gate::Gate, pace::Pace};
use crate::{
    delivery::{Delivery, backlog::Backlog, lane::Place, whose::Whose},
    hook::{Hook, HookId},
    lock::lock,
    send::{Endpoint, answer::Failure},
    store::{DISOWNED, Parker, Write},
};

/// The courier of one hook.
pub struct Courier {
    id: HookId,
    context: Arc<Context>,
    /// Where its requests wait for the rate of the hook.
    gate: Arc<Gate>,
    state: Mutex<State>,
    /// Wakes a running task when the state has changed.
    wake: Notify,
}

/// What the task of a courier shares with those who call it.
struct State {
    /// Where to send; `None` where the target has said that it is gone, or the hook has not been seen.
    hook: Option<Arc<Hook>>,
    /// The endpoint that requests are made of, and the hook that it was opened for, which may have changed since.
    endpoint: Option<(Arc<Hook>, Arc<Endpoint>)>,
    /// Whether the hook is neither disabled nor removed. While it is, what is parked stays so; but what it was handed
    /// before that still gets its attempt.
    active: bool,
    /// What the stream has handed over, and the task has not seen yet.
    arrived: Vec<Delivery>,
    /// How many deliveries the task has in memory that are not being sent.
    waiting: usize,
    /// What of this hook is in the table, or on its way into it.
    backlog: Backlog,
    /// When to look for what is due in the table; `None` while nothing in it has a time.
    poll_at: Option<Instant>,
    /// The owner of the hook as it was seen last, and whether it was seen at all. What is not theirs is dead.
    owner: Option<Whose>,
    /// The failures since the last success.
    streak: FailureStreak,
    /// How much the endpoint can take.
    pace: Pace,
    /// Whether others need the memory, so that what is not being sent is to be parked.
    memory_wanted: bool,
    /// Whether something was forgotten since what is in memory was looked through for that.
    has_forgotten: bool,
    /// Whether there is a task that will see all this.
    running: bool,
}

impl State {
    /// Has the table polled at this time or before.
    fn poll_by(&mut self, at: Instant) {
        self.poll_at = Some(self.poll_at.map_or(at, |earlier| earlier.min(at)));
    }
}

impl Courier {
    /// A courier without a task yet. `hook` is `None` where it is disabled, or has not been seen.
    pub fn new(context: Arc<Context>, id: HookId, hook: Option<Arc<Hook>>) -> Arc<Self> {
        let state = State {
            active: hook.is_some(),
            owner: hook.as_ref().map(|hook| Whose::of(hook.owner.as_ref())),
            hook,
            endpoint: None,
            arrived: Vec::new(),
            waiting: 0,
            backlog: Backlog::default(),
            poll_at: None,
            streak: FailureStreak::default(),
            pace: Pace::default(),
            memory_wanted: false,
            has_forgotten: false,
            running: false,
        };
        Arc::new(Self {
            id,
            context,
            gate: Arc::default(),
            state: Mutex::new(state),
            wake: Notify::new(),
        })
    }

    /// Takes over a delivery of the stream. From here on the courier has to settle it.
    pub fn hand(self: &Arc<Self>, delivery: Delivery) {
        self.change(|state| state.arrived.push(delivery));
    }

    /// Looks now for what is due in the table.
    pub fn poll_table(self: &Arc<Self>) {
        self.change(|state| state.poll_at = Some(Instant::now()));
    }

    /// Counts what is parked and was not counted yet, and looks for what is due of it. What is not the hook's owner's
    /// is given up.
    pub fn resume(self: &Arc<Self>, parked: Backlog) {
        self.change(|state| {
            state.backlog.extend(parked);
            state.poll_at = Some(Instant::now());
        });
        self.disown();
    }

    /// Goes on with a streak of failures that had lasted for this long when we started.
    pub fn resume_streak(&self, failing_for: Duration) {
        if let Some(began) = Instant::now().checked_sub(failing_for) {
            self.state().streak = FailureStreak::resumed(began);
        }
    }

    /// The hook has been made, changed or enabled. What is parked goes where the hook points now; what the stream has
    /// handed over still has its first attempt where it pointed then.
    ///
    /// Where the hook has another owner now, what waits for the one before is given up.
    pub fn update(self: &Arc<Self>, hook: Arc<Hook>) {
        let owner = Whose::of(hook.owner.as_ref());
        let mut is_others = false;
        self.change(|state| {
            is_others = state.owner.replace(owner.clone()) != Some(owner);
            state.hook = Some(hook);
            state.active = true;
            state.poll_at = Some(Instant::now());
        });
        if is_others {
            self.begin_anew();
            self.disown();
        }
    }

    /// Forgets how the endpoint fared, which was that of another owner.
    fn begin_anew(&self) {
        let ended = {
            let mut state = self.state();
            state.pace = Pace::default();
            state.streak.succeeded()
        };
        self.context.meters.traffic.forget(self.id.as_str());
        if ended {
            self.save_streak(None);
        }
    }

    /// Has given up what is parked and not the hook's owner's, where the hook has been seen.
    fn disown(self: &Arc<Self>) {
        let owner = {
            let state = self.state();
            match &state.owner {
                Some(owner) if !state.backlog.is_empty() => owner.owner().map(Arc::from),
                Some(_) | None => return,
            }
        };
        let parker: Arc<dyn Parker> = Arc::<Self>::clone(self);
        self.context.store.enqueue(Write::Disown {
            hook: self.id.clone(),
            owner,
            parker,
        });
    }

    /// Whether a delivery belongs to somebody else than the hook, as far as that is known.
    fn is_foreign(&self, delivery: &Delivery) -> bool {
        let state = self.state();
        let owner = state.owner.as_ref();
        owner.is_some_and(|owner| !delivery.whose.may_go_to(owner.owner()))
    }

    /// The hook has been disabled or removed. What was handed over before gets its one attempt.
    pub fn deactivate(self: &Arc<Self>) {
        self.change(|state| state.active = false);
    }

    /// The hook is disabled and goes on hearing: what is handed over from now on is parked.
    pub fn keep(self: &Arc<Self>) {
        self.change(|state| {
            state.hook = None;
            state.active = false;
        });
    }

    /// Parks what waits, because others need the memory.
    pub fn relieve_memory(self: &Arc<Self>) {
        self.change(|state| state.memory_wanted = true);
    }

    /// Leaves the rows that were forgotten out of what is in memory. What was claimed is claimed anew. What is being
    /// sent is not touched.
    pub fn leave_out_forgotten(self: &Arc<Self>) {
        let mut state = self.state();
        // Without a task, there is nothing in memory.
        if state.running {
            state.has_forgotten = true;
            self.wake.notify_one();
        }
    }

    /// A parked delivery has been deleted.
    pub fn forget(&self, place: Place) {
        self.state().backlog.remove(place);
    }

    /// Whether it has something in the table that nobody will send, because the hook is disabled or removed.
    pub fn has_orphaned_backlog(&self) -> bool {
        let state = self.state();
        !state.active && !state.running && !state.backlog.is_empty()
    }

    /// The owner of the hook as it was seen last; `None` where it is the operator's, or was not seen.
    pub fn owner(&self) -> Option<Arc<str>> {
        match &self.state().owner {
            Some(Whose::Owner(owner)) => Some(Arc::clone(owner)),
            Some(Whose::Everyone | Whose::Unknown) | None => None,
        }
    }

    /// How many deliveries wait in memory.
    pub fn waiting(&self) -> usize {
        let state = self.state();
        state.waiting + state.arrived.len()
    }

    /// Whether it has nothing to do, and knows of nothing in the table.
    pub fn is_drained(&self) -> bool {
        let state = self.state();
        !state.running && state.backlog.is_empty()
    }

    /// Whether nothing is lost when it is dropped: it has nothing to do and nothing to remember.
    pub fn is_removable(&self) -> bool {
        self.is_drained() && !self.state().streak.is_on() && self.gate.is_rested(Instant::now())
    }

    /// Changes the state, and has a task see it where there is something to do.
    fn change(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let idle = state.arrived.is_empty() && (state.backlog.is_empty() || !state.active);
        if state.running {
            self.wake.notify_one();
        } else if !idle {
            state.running = true;
            let task = Arc::clone(self).run().in_current_span();
            match &self.context.tenure {
                None => self.context.tasks.spawn(task),
                Some(tenure) => {
                    let tenure = Arc::clone(tenure);
                    let task = async move { tenure.until_ended(task).await };
                    self.context.tasks.spawn(task)
                }
            };
        }
    }

    /// The hook as it is now, unless it is disabled or removed.
    fn hook_if_active(&self) -> Option<Arc<Hook>> {
        let state = self.state();
        state.hook.clone().filter(|_| state.active)
    }

    /// The endpoint of the hook, opened once for all requests that are made of it in a row.
    fn endpoint(&self, hook: &Arc<Hook>) -> Result<Arc<Endpoint>, Failure> {
        let mut state = self.state();
        if let Some((of, endpoint)) = &state.endpoint
            && Arc::ptr_eq(of, hook)
        {
            return Ok(Arc::clone(endpoint));
        }
        let endpoint = Arc::new(self.context.sender.open(&hook.target)?);
        state.endpoint = Some((Arc::clone(hook), Arc::clone(&endpoint)));
        Ok(endpoint)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Parker for Courier {
    fn parked(self: Arc<Self>, place: Place, is_new: bool, due_in: Option<Duration>) {
        self.change(|state| {
            // What the table had before has been counted already.
            if !is_new {
                state.backlog.remove(place);
            }
            if let Some(due_in) = due_in {
                state.poll_by(Instant::now() + due_in);
            }
        });
    }

    fn disowned(self: Arc<Self>, places: Vec<Place>, more: bool) {
        let given_up = places.len() as u64;
        self.change(|state| {
            for place in places {
                state.backlog.remove(place);
            }
            // What stood behind them may be due.
            state.poll_by(Instant::now());
        });
        if given_up > 0 {
            self.context.meters.dead.fetch_add(given_up, Relaxed);
            tracing::warn!(hook = %self.id, deliveries = given_up, reason = DISOWNED, "deliveries are dead");
        }
        if more {
            self.disown();
        }
    }

    fn poll_table(self: Arc<Self>) {
        Self::poll_table(&self);
    }
}
