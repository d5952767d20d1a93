//! What becomes of a hook that rowhook panics on: it is set aside, and all that its courier holds is parked. Nothing else
//! hears of it.
//!
//! The hook stays aside until its row changes or rowhook starts again. What is committed meanwhile is parked too, so that
//! nothing is lost when it goes on.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use futures_util::StreamExt;

use super::{
    Courier,
    fate::{AT_ONCE, line_up},
    round::{Done, Round},
};
use crate::{
    delivery::Delivery,
    hook::Hook,
    panics::{Panic, caught},
    store::{Fate, Parker, Write},
};

/// The work of a courier on a round, until there is nothing left to do.
pub(super) type Work =
    for<'a> fn(&'a Arc<Courier>, &'a mut Round) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl Courier {
    /// Does the work. After a panic, the hook is set aside, and the work goes on with a new round: the old one may be
    /// half changed, and only the deliveries in it are used again.
    pub(super) async fn run_guarded(self: Arc<Self>, work: Work) {
        let mut round = Round::default();
        while let Err(panic) = caught(work(&self, &mut round)).await {
            self.set_aside(None, &panic);
            let broken = std::mem::take(&mut round);
            if let Err(panic) = caught(self.park_all(broken)).await {
                // They are not settled, so they come again with the next start.
                tracing::error!(hook = %self.id, %panic, "rowhook has a bug; deliveries of the hook stay unsettled until it is restarted");
            }
        }
    }

    /// Stops sending to the hook, in memory first and on record after. `hook`: as it was where the panic happened; one
    /// that has been changed since then is left alone.
    pub(super) fn set_aside(&self, hook: Option<&Arc<Hook>>, panic: &Panic) {
        let reason = panic.as_reason();
        self.context.meters.panics.courier.fetch_add(1, Relaxed);
        tracing::error!(hook = %self.id, reason, "rowhook has a bug; the hook is set aside, and its deliveries are kept");
        {
            let mut state = self.state();
            let is_now = |hook: &Arc<Hook>| {
                let now = state.hook.as_ref();
                now.is_some_and(|now| Arc::ptr_eq(now, hook))
            };
            if !hook.is_none_or(is_now) {
                return;
            }
            state.hook = None;
            state.active = false;
            state.endpoint = None;
        }
        let (context, id) = (Arc::clone(&self.context), self.id.clone());
        self.context
            .tasks
            .spawn(async move { context.store.note_panic(&id, &reason).await });
    }

    /// What becomes of deliveries whose request has panicked: they are parked until the hook goes on.
    pub(super) fn after_panic(
        &self,
        deliveries: Vec<Delivery>,
        panic: &Panic,
    ) -> Vec<(Delivery, Fate, String)> {
        let places = deliveries.iter().map(|delivery| delivery.place);
        let fates = line_up(places.map(|place| (place, Fate::Retry(AT_ONCE))));
        let each = deliveries.into_iter().zip(fates);
        each.map(|(delivery, fate)| (delivery, fate, panic.as_reason()))
            .collect()
    }

    /// Parks all that a round holds, and makes due again what it has claimed. What is being sent comes first, because
    /// others may stand behind it.
    async fn park_all(self: &Arc<Self>, round: Round) {
        let Round {
            lanes,
            mut tasks,
            mut claims,
            ..
        } = round;
        self.release_ids(claims.release_all());
        while let Some(done) = tasks.next().await {
            match done {
                Done::Fresh { left, .. } => {
                    for (delivery, fate, reason) in left {
                        self.park(delivery, fate, Some(reason));
                    }
                }
                Done::Parked(_, report) => {
                    let mut state = self.state();
                    for place in report.gone {
                        state.backlog.remove(place);
                    }
                }
                Done::Claimed(Ok((claimed, _))) => {
                    let ids = claimed.deliveries.into_iter().map(|claimed| claimed.id);
                    self.release_ids(ids.collect());
                }
                Done::Claimed(Err(_)) => {}
            }
        }
        let arrived = std::mem::take(&mut self.state().arrived);
        for delivery in lanes.into_items().chain(arrived) {
            self.park_unsent(delivery, Fate::Retry(AT_ONCE));
        }
        self.state().waiting = 0;
    }

    /// Makes due again what was claimed and has not been attempted.
    pub(super) fn release_ids(self: &Arc<Self>, ids: Vec<Arc<str>>) {
        if !ids.is_empty() {
            let parker: Arc<dyn Parker> = Arc::<Self>::clone(self);
            self.context.store.enqueue(Write::Release { ids, parker });
        }
    }
}
