//! From a matched event to a settled one.

pub mod answer;
pub mod breaker;
pub mod courier;
pub mod guard;
pub mod lane;
pub mod ledger;
pub mod retry;
pub mod send;

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{courier::Courier, lane::Place, ledger::Ticket, send::Sender};
use crate::{
    event::Position,
    hook::{Hook, HookId},
    journal::Journal,
    store::Store,
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
    pub content_type: &'static str,
    /// How many requests have been made.
    pub attempts: u32,
    /// Owed to the ledger.
    pub ticket: Ticket,
    /// Its share of the memory budget.
    pub memory: OwnedSemaphorePermit,
}

/// What all couriers share.
pub struct Desk {
    /// Makes the requests.
    pub sender: Sender,
    /// Records what is given up.
    pub store: Store,
    /// Told of every attempt.
    pub journal: Journal,
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
        let courier = self
            .by_hook
            .entry(hook.id.clone())
            .or_insert_with(|| Courier::new(Arc::clone(&self.desk), Arc::clone(hook)));
        courier.hand(delivery);
    }

    /// Tells the hook's courier, if it has one, that the hook has changed.
    pub fn follow(&mut self, hook: &Arc<Hook>) {
        if let Some(courier) = self.by_hook.get(&hook.id) {
            courier.follow(Arc::clone(hook));
        }
    }
}
