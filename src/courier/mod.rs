//! Carries the deliveries of one hook: in order, beside each other as far as the hook allows, and again when they fail.
//!
//! Each hook has its own courier, so that endpoints are strangers to each other. A delivery of the stream gets one attempt;
//! if that fails, or cannot be made now, it is parked in the table, and the slot is free of it. Nothing overtakes what is
//! parked: whatever comes later in its lane is parked behind it. What is due is claimed back from the table.
//!
//! The task lives only while there is something to carry. What decides (lanes, backlog, breaker, verdict) are plain
//! values; the loop only asks them.

pub mod batch;
pub mod breaker;
pub mod failure_streak;
pub mod retry;
pub mod throughput;

mod attempt;
mod permit;
mod round;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{sync::Notify, time::Instant};

use self::failure_streak::Spell;
use self::round::Round;
use crate::hook::{Hook, HookId};
use crate::{
    delivery::{Delivery, Desk, backlog::Backlog, lane::Place},
    send::{Endpoint, answer::Failure},
};

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
    /// The way to a hook that requests are made of, which is that hook or was.
    door: Option<(Arc<Hook>, Arc<Endpoint>)>,
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

impl State {
    /// Has the table looked into at this time, or before.
    fn look_by(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }
}

impl Courier {
    /// A courier at rest.
    pub fn new(desk: Arc<Desk>, id: HookId, hook: Option<Arc<Hook>>) -> Arc<Self> {
        let state = State {
            active: hook.is_some(),
            hook,
            door: None,
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

    /// A delivery has been parked durably; or it was in the table before, and is counted already. It is due after this time,
    /// unless it waits behind another.
    pub fn kept(self: &Arc<Self>, place: Place, is_new: bool, due_in: Option<Duration>) {
        self.change(|state| {
            if !is_new {
                state.backlog.remove(place);
            }
            if let Some(due_in) = due_in {
                state.look_by(Instant::now() + due_in);
            }
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
        let mut round = Round::default();
        loop {
            let stopping = self.desk.stop.is_cancelled();
            let hook = self.collect(&mut round);
            let again_at = if stopping {
                // What was claimed is due again for the next who holds the slot.
                round.let_go();
                None
            } else {
                self.send_claimed(&mut round);
                self.send_or_park(&mut round, hook.as_ref())
            };
            let look_at = hook
                .as_ref()
                .and_then(|hook| self.look_into_table(&mut round, hook, stopping));
            if round.going.is_empty() && self.rest(&round, stopping) {
                return;
            }
            tokio::select! {
                Some(done) = round.going.next() => self.note(&mut round, done),
                () = self.bell.notified() => {}
                () = until([look_at, again_at].into_iter().flatten().min()) => {}
                () = self.desk.stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// The hook as it is now, unless it is disabled or removed.
    fn hook_if_active(&self) -> Option<Arc<Hook>> {
        let state = self.state();
        state.hook.clone().filter(|_| state.active)
    }

    /// Puts what has arrived into its lanes.
    fn collect(&self, round: &mut Round) -> Option<Arc<Hook>> {
        let mut state = self.state();
        for delivery in state.arrived.drain(..) {
            round.lanes.push(delivery.place, delivery);
        }
        state.hook.clone()
    }

    /// The way to the hook, made ready once for all that it is sent in a row.
    fn door(&self, hook: &Arc<Hook>) -> Result<Arc<Endpoint>, Failure> {
        let mut state = self.state();
        if let Some((of, door)) = &state.door
            && Arc::ptr_eq(of, hook)
        {
            return Ok(Arc::clone(door));
        }
        let door = Arc::new(self.desk.sender.open(&hook.target)?);
        state.door = Some((Arc::clone(hook), Arc::clone(&door)));
        Ok(door)
    }

    /// Ends the task, unless there is something left to do. When rowhook stops, what the stream has handed over stays
    /// unsettled, and comes again.
    fn rest(&self, round: &Round, stopping: bool) -> bool {
        let mut state = self.state();
        let nothing_to_wait_for = !state.active || state.backlog.is_empty();
        let done =
            stopping || (state.arrived.is_empty() && round.lanes.is_empty() && nothing_to_wait_for);
        state.running = !done;
        if done {
            state.door = None;
        }
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
