//! The couriers of all hooks, each made when its hook first has something to deliver.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Courier, context::Context};
use crate::{
    delivery::{Delivery, backlog::Backlog, lane::Place},
    hook::{Hook, HookId},
};

/// Below this number of couriers, none is removed.
const FEW: usize = 1024;

/// The couriers of all hooks that have had something to deliver.
pub struct Couriers {
    context: Arc<Context>,
    by_hook: HashMap<HookId, Arc<Courier>>,
    /// At which number of couriers those that can be removed are looked for.
    sweep_at: usize,
}

impl Couriers {
    /// Starts without a courier.
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            by_hook: HashMap::new(),
            sweep_at: FEW,
        }
    }

    /// Hands a delivery to the courier of `hook`.
    pub fn hand(&mut self, hook: &Arc<Hook>, delivery: Delivery) {
        if self.by_hook.len() >= self.sweep_at {
            self.by_hook.retain(|_, courier| !courier.is_removable());
            self.sweep_at = FEW.max(self.by_hook.len() * 2);
        }
        let courier = self.courier(&hook.id, Some(hook));
        if !hook.active {
            courier.keep();
        }
        courier.hand(delivery);
    }

    /// Has the hook's courier deliver what was parked for it before we started. The hook may be disabled.
    pub fn resume(&mut self, id: &HookId, hook: Option<&Arc<Hook>>, parked: Backlog) {
        self.courier(id, hook).resume(parked);
    }

    /// Has the hook's courier, if there is one, look now for what is due in the table.
    pub fn poll_table(&mut self, id: &HookId) {
        if let Some(courier) = self.by_hook.get(id) {
            courier.poll_table();
        }
    }

    /// Whether no courier knows of anything in the table for this hook.
    pub fn is_drained(&self, id: &HookId) -> bool {
        self.by_hook
            .get(id)
            .is_none_or(|courier| courier.is_drained())
    }

    /// Lets the hook's courier know for how long the hook had had no success when we started.
    pub fn resume_streak(&mut self, id: &HookId, hook: &Arc<Hook>, failing_for: Duration) {
        self.courier(id, Some(hook)).resume_streak(failing_for);
    }

    /// Lets the hook's courier, if there is one, know that the hook has been made, changed or enabled.
    pub fn update(&mut self, hook: &Arc<Hook>) {
        if let Some(courier) = self.by_hook.get(&hook.id) {
            courier.update(Arc::clone(hook));
        }
    }

    /// Lets the hook's courier, if there is one, know that the hook has been disabled or removed.
    pub fn deactivate(&mut self, id: &HookId) {
        if let Some(courier) = self.by_hook.get(id) {
            courier.deactivate();
        }
    }

    /// The hooks that are disabled or removed and still have deliveries in the table.
    pub fn orphaned(&self) -> Vec<&str> {
        let orphaned = self
            .by_hook
            .iter()
            .filter(|(_, courier)| courier.has_orphaned_backlog());
        orphaned.map(|(id, _)| id.as_str()).collect()
    }

    /// Lets the hook's courier, if there is one, know that a parked delivery has been deleted.
    pub fn forget(&mut self, id: &HookId, place: Place) {
        if let Some(courier) = self.by_hook.get(id) {
            courier.forget(place);
        }
    }

    /// Has all couriers leave the rows that were forgotten out of what they have in memory.
    pub fn leave_out_forgotten(&mut self) {
        for courier in self.by_hook.values() {
            courier.leave_out_forgotten();
        }
    }

    /// Has deliveries parked, because the stream waits for memory: those of the owner who has the most in memory, of
    /// the hooks that have many. Each hook of the operator stands for itself.
    pub fn relieve_memory(&mut self) {
        let mut waiting: HashMap<Party, Vec<(usize, &Arc<Courier>)>> = HashMap::new();
        for (id, courier) in &self.by_hook {
            let deliveries = courier.waiting();
            if deliveries > 0 {
                let party = courier.owner().map_or(Party::Hook(id), Party::Owner);
                waiting
                    .entry(party)
                    .or_default()
                    .push((deliveries, courier));
            }
        }
        let all =
            |of: &Vec<(usize, _)>| of.iter().map(|(deliveries, _)| *deliveries).sum::<usize>();
        let of_owner = waiting.into_values().max_by_key(all).unwrap_or_default();
        let most = of_owner.iter().map(|(deliveries, _)| *deliveries).max();
        // Of a crowd, each hook has a few. Beside a slow endpoint, the owner's others have next to nothing.
        let many = most.unwrap_or_default().div_ceil(2);
        for (_, courier) in of_owner
            .iter()
            .filter(|(deliveries, _)| *deliveries >= many)
        {
            courier.relieve_memory();
        }
    }

    /// Has what waits for these hooks parked, because others need the memory.
    pub fn relieve(&self, hooks: &[HookId]) {
        let couriers = hooks.iter().filter_map(|id| self.by_hook.get(id));
        couriers.for_each(Courier::relieve_memory);
    }

    fn courier(&mut self, id: &HookId, hook: Option<&Arc<Hook>>) -> &Arc<Courier> {
        let (context, hook) = (&self.context, hook.filter(|hook| hook.active));
        self.by_hook
            .entry(id.clone())
            .or_insert_with(|| Courier::new(Arc::clone(context), id.clone(), hook.cloned()))
    }
}

/// Whose deliveries are parked together.
#[derive(PartialEq, Eq, Hash)]
enum Party<'a> {
    Owner(Arc<str>),
    Hook(&'a HookId),
}
