//! From a matched event to a settled one.

pub mod backlog;
pub mod lane;
pub mod ledger;
pub mod memory_budget;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    backlog::Backlog,
    lane::Place,
    ledger::Ticket,
    memory_budget::{Memory, Taken},
};
use crate::{courier::Courier, send::Sender};
use crate::{
    event::Position,
    history::History,
    hook::{Hook, HookId},
    journal::Journal,
    lookup::permission::{Permission, VisibilityCheck},
    meters::Meters,
    store::Store,
    trace::Traces,
};

/// One event for one hook.
#[derive(Debug)]
pub struct Delivery {
    /// The `webhook-id`: a function of where the event stands and of the hook.
    pub id: Arc<str>,
    /// The event's name.
    pub event: Arc<str>,
    /// Where it stands among all events.
    pub position: Position,
    /// When its row was committed.
    pub commit_time: SystemTime,
    /// What it must not overtake.
    pub place: Place,
    /// The bytes that every attempt sends.
    pub body: Bytes,
    /// Of the body.
    pub content_type: Arc<str>,
    /// How many requests have been made.
    pub attempts: u32,
    /// Why it is not sent as it comes from the stream.
    pub unfit: Option<Unfit>,
    /// What its owner has to be allowed to see, asked anew before each attempt from the table.
    pub asked: Option<Arc<VisibilityCheck>>,
    /// What it holds while the slot keeps it; `None` for one that the table keeps.
    pub held: Option<Held>,
}

/// Why a delivery of the stream is not sent.
#[derive(Debug, Clone)]
pub enum Unfit {
    /// An expression or a template failed on it: it goes on record as dead.
    Flawed(Arc<str>),
    /// Whether the owner may see it is not known: it waits, as if an attempt had failed.
    Doubtful(Arc<str>),
}

/// What a delivery of the stream holds.
#[derive(Debug)]
pub struct Held {
    /// Owed to the ledger.
    pub ticket: Ticket,
    /// Its share of the memory budget.
    pub memory: Taken,
    /// Since when.
    pub since: Instant,
}

impl Delivery {
    /// It has arrived, or the table keeps it: the slot need not.
    pub fn settle(self) {
        if let Some(held) = self.held {
            held.ticket.settle();
        }
    }
}

/// What all couriers share.
pub struct Desk {
    /// Makes the requests.
    pub sender: Sender,
    /// Keeps what cannot be delivered now.
    pub store: Arc<Store>,
    /// What all of it may take up.
    pub memory: Memory,
    /// Says who may see what.
    pub permission: Permission,
    /// Told of every attempt.
    pub journal: Journal,
    /// Counts what happens.
    pub meters: Arc<Meters>,
    /// Told of every attempt too, and remembers.
    pub history: Arc<History>,
    /// And they, where there are traces.
    pub traces: Option<Arc<Traces>>,
    /// Cancelled when no new request is to be made.
    pub stop: CancellationToken,
    /// The couriers' tasks.
    pub tasks: TaskTracker,
}

/// The couriers of all hooks that have had something to carry.
pub struct Couriers {
    desk: Arc<Desk>,
    by_hook: HashMap<HookId, Arc<Courier>>,
    /// Look for couriers at rest when there are so many.
    sweep_at: usize,
}

const FEW: usize = 1024;

impl Couriers {
    /// Nobody yet.
    pub fn new(desk: Arc<Desk>) -> Self {
        Self {
            desk,
            by_hook: HashMap::new(),
            sweep_at: FEW,
        }
    }

    /// Gives a delivery to the courier of `hook`.
    pub fn hand(&mut self, hook: &Arc<Hook>, delivery: Delivery) {
        if self.by_hook.len() >= self.sweep_at {
            self.by_hook.retain(|_, courier| !courier.is_at_rest());
            self.sweep_at = FEW.max(self.by_hook.len() * 2);
        }
        self.courier(&hook.id, Some(hook)).hand(delivery);
    }

    /// Tells a hook's courier what is parked for it from before we started. The hook may be disabled.
    pub fn resume(&mut self, id: &HookId, hook: Option<&Arc<Hook>>, parked: Backlog) {
        self.courier(id, hook).resume(parked);
    }

    /// Has the hook's courier look into the table now.
    pub fn look(&mut self, id: &HookId) {
        if let Some(courier) = self.by_hook.get(id) {
            courier.look();
        }
    }

    /// Does nobody know of anything in the table for this hook?
    pub fn expects_nothing(&self, id: &HookId) -> bool {
        self.by_hook
            .get(id)
            .is_none_or(|courier| courier.expects_nothing())
    }

    /// Tells a hook's courier that the hook has had no success for so long, from before we started.
    pub fn remember(&mut self, id: &HookId, hook: &Arc<Hook>, failing_for: Duration) {
        self.courier(id, Some(hook)).remember(failing_for);
    }

    /// Tells the hook's courier, if it has one, that the hook has been made, changed or enabled.
    pub fn follow(&mut self, hook: &Arc<Hook>) {
        if let Some(courier) = self.by_hook.get(&hook.id) {
            courier.follow(Arc::clone(hook));
        }
    }

    /// Tells the hook's courier, if it has one, that the hook has been disabled or removed.
    pub fn halt(&mut self, id: &HookId) {
        if let Some(courier) = self.by_hook.get(id) {
            courier.halt();
        }
    }

    /// The hooks that are disabled or removed and have deliveries in the table.
    pub fn idle(&self) -> Vec<&str> {
        let idle = self.by_hook.iter().filter(|(_, courier)| courier.is_idle());
        idle.map(|(id, _)| id.as_str()).collect()
    }

    /// Tells the hook's courier that a parked delivery has been deleted.
    pub fn forget(&mut self, id: &HookId, place: Place) {
        if let Some(courier) = self.by_hook.get(id) {
            courier.forget(place);
        }
    }

    /// Has the courier with the most deliveries in memory park them, because all others wait for memory.
    pub fn shed(&mut self) {
        if let Some(courier) = self
            .by_hook
            .values()
            .filter(|courier| courier.waiting() > 0)
            .max_by_key(|courier| courier.waiting())
        {
            courier.shed();
        }
    }

    fn courier(&mut self, id: &HookId, hook: Option<&Arc<Hook>>) -> &Arc<Courier> {
        let (desk, hook) = (&self.desk, hook.filter(|hook| hook.active));
        self.by_hook
            .entry(id.clone())
            .or_insert_with(|| Courier::new(Arc::clone(desk), id.clone(), hook.cloned()))
    }
}
