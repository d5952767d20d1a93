//! Where the reader hands deliveries: to the couriers of its own process, or to the senders of a cluster.

use std::{sync::Arc, time::Duration};

use super::{dispatcher::Dispatcher, nats::Nats};
use crate::{
    config::{Cluster, Config},
    courier::{context::Context, couriers::Couriers},
    delivery::{Delivery, backlog::Backlog, lane::Place},
    hook::{Hook, HookId, index::Index},
    postgres::TableName,
};

/// Where deliveries go.
pub enum Outlet {
    /// To couriers here.
    Here(Couriers),
    /// To the senders of a cluster.
    Cluster(Dispatcher),
}

impl Outlet {
    /// Couriers of this process.
    pub fn here(context: Arc<Context>) -> Self {
        Self::Here(Couriers::new(context))
    }

    /// The senders of a cluster.
    pub fn cluster(config: &Config, cluster: &Cluster, nats: Nats, context: Arc<Context>) -> Self {
        Self::Cluster(Dispatcher::start(config, cluster, nats, context))
    }

    /// Whether others claim what is due in the table.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// The slot is ours, so senders may hear of us.
    pub fn begin(&mut self) {
        if let Self::Cluster(dispatcher) = self {
            dispatcher.begin();
        }
    }

    /// Hands a delivery on.
    pub fn hand(&mut self, hook: &Arc<Hook>, delivery: Delivery) {
        match self {
            Self::Here(couriers) => couriers.hand(hook, delivery),
            Self::Cluster(dispatcher) => dispatcher.hand(hook, delivery),
        }
    }

    /// Has what was parked before we started delivered. In a cluster, whoever takes a partition does that.
    pub fn resume(&mut self, id: &HookId, hook: Option<&Arc<Hook>>, parked: Backlog) {
        if let Self::Here(couriers) = self {
            couriers.resume(id, hook, parked);
        }
    }

    /// Has a dead delivery delivered that is parked again.
    pub fn revive(&mut self, id: &HookId, hook: Option<&Arc<Hook>>, place: Place) {
        match self {
            Self::Here(couriers) => {
                let mut parked = Backlog::default();
                parked.add(place, 1);
                couriers.resume(id, hook, parked);
            }
            Self::Cluster(dispatcher) => dispatcher.revive(id, hook, place),
        }
    }

    /// Has what is due of the hook in the table looked for.
    pub fn poll_table(&mut self, id: &HookId) {
        match self {
            Self::Here(couriers) => couriers.poll_table(id),
            Self::Cluster(dispatcher) => dispatcher.poll_table(id),
        }
    }

    /// Has all that is due looked for, by the senders of a cluster.
    pub fn poll_all(&mut self) {
        if let Self::Cluster(dispatcher) = self {
            dispatcher.poll_all();
        }
    }

    /// Whether nobody here knows of anything in the table for this hook.
    pub fn is_drained(&self, id: &HookId) -> bool {
        match self {
            Self::Here(couriers) => couriers.is_drained(id),
            Self::Cluster(_) => false,
        }
    }

    /// Says for how long the hook had had no success when we started.
    pub fn resume_streak(&mut self, id: &HookId, hook: &Arc<Hook>, failing_for: Duration) {
        if let Self::Here(couriers) = self {
            couriers.resume_streak(id, hook, failing_for);
        }
    }

    /// A hook was made, changed or enabled.
    pub fn update(&mut self, hook: &Arc<Hook>) {
        match self {
            Self::Here(couriers) => couriers.update(hook),
            Self::Cluster(dispatcher) => dispatcher.update(hook),
        }
    }

    /// A hook was disabled or removed.
    pub fn deactivate(&mut self, id: &HookId) {
        match self {
            Self::Here(couriers) => couriers.deactivate(id),
            Self::Cluster(dispatcher) => dispatcher.deactivate(id),
        }
    }

    /// The hooks that are disabled or removed and still have deliveries in the table, as far as that is known here.
    pub fn orphaned(&self) -> Vec<&str> {
        match self {
            Self::Here(couriers) => couriers.orphaned(),
            Self::Cluster(_) => Vec::new(),
        }
    }

    /// A parked delivery has been deleted.
    pub fn forget(&mut self, id: &HookId, place: Place) {
        if let Self::Here(couriers) = self {
            couriers.forget(id, place);
        }
    }

    /// Has the rows that were forgotten left out of what is in memory.
    pub fn leave_out_forgotten(&mut self) {
        match self {
            Self::Here(couriers) => couriers.leave_out_forgotten(),
            Self::Cluster(dispatcher) => dispatcher.leave_out_forgotten(),
        }
    }

    /// Has deliveries parked, because the stream waits for memory.
    pub fn relieve_memory(&mut self) {
        match self {
            Self::Here(couriers) => couriers.relieve_memory(),
            Self::Cluster(dispatcher) => dispatcher.relieve_memory(),
        }
    }

    /// The hook table of the application has this name now.
    pub fn follow_hook_table(&mut self, name: &TableName) {
        if let Self::Cluster(dispatcher) = self {
            dispatcher.follow_hook_table(name);
        }
    }

    /// Resolves once a sender wants to know hooks, for [`answer`](Self::answer) to tell.
    pub fn asked(&self) -> impl Future<Output = ()> + Send + use<> {
        let asked = match self {
            Self::Here(_) => None,
            Self::Cluster(dispatcher) => Some(dispatcher.asked()),
        };
        async move {
            match asked {
                Some(asked) => asked.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Tells senders the hooks that they have asked for, as they are at this place of the stream.
    pub fn answer(&mut self, index: &Index) {
        if let Self::Cluster(dispatcher) = self {
            dispatcher.answer(index);
        }
    }
}
