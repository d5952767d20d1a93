//! Hands deliveries of the stream over to the table.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::Courier;
use crate::{
    delivery::{Delivery, Unfit},
    store::{DISOWNED, Fate, Parker, Write},
};

impl Courier {
    /// Parks a delivery without an attempt: with this fate, unless something of its lane is parked already, or it
    /// cannot be sent at all.
    pub(super) fn park_unsent(self: &Arc<Self>, mut delivery: Delivery, fate: Fate) {
        if self.is_foreign(&delivery) {
            self.log_dead(&delivery, DISOWNED);
            return self.park(delivery, Fate::Dead, Some(DISOWNED.to_owned()));
        }
        let (fate, reason) = match delivery.unfit.clone() {
            None => (fate, None),
            Some(Unfit::Flawed(flaw)) => {
                self.log_dead(&delivery, &flaw);
                (Fate::Dead, Some(flaw))
            }
            Some(Unfit::Doubtful(reason)) => {
                delivery.attempts += 1;
                let hook = self.state().hook.clone();
                let fate = hook.map_or(fate, |hook| {
                    self.postpone_unknown(&mut delivery, &hook, &reason)
                });
                (fate, Some(reason))
            }
        };
        let blocked = fate != Fate::Dead && self.state().backlog.blocks(delivery.place);
        let fate = if blocked { Fate::Behind } else { fate };
        self.park(delivery, fate, reason.as_deref().map(str::to_owned));
    }

    /// Hands a delivery over to the table. Unless it is dead, its lanes are blocked from now on.
    pub(super) fn park(self: &Arc<Self>, delivery: Delivery, fate: Fate, reason: Option<String>) {
        if fate != Fate::Dead {
            self.state().backlog.add(delivery.place, 1);
            self.context.meters.parked.fetch_add(1, Relaxed);
        }
        let parker: Arc<dyn Parker> = Arc::<Self>::clone(self);
        self.context.store.enqueue(Write::Park {
            hook: self.id.clone(),
            delivery: Box::new(delivery),
            fate,
            reason,
            parker,
        });
    }

    /// Counts and logs that a delivery is given up.
    pub(super) fn log_dead(&self, delivery: &Delivery, reason: &str) {
        self.context.meters.dead.fetch_add(1, Relaxed);
        tracing::error!(hook = %self.id, event = %delivery.event, id = %delivery.id, attempts = delivery.attempts, reason, "a delivery is dead");
    }
}
