//! What becomes of a hook that rowhook panics on: it is set aside, and all that its courier holds is parked. Nothing
//! else hears of it.
//!
//! The hook stays aside until its row changes or rowhook starts again. What is committed meanwhile is parked too, so
//! that nothing is lost when it goes on.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use futures_util::StreamExt;
use tracing::Instrument;

use super::{
    Courier,
    fate::AT_ONCE,
    round::{Done, Round},
};
use crate::{
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
        let noting = async move { context.store.note_panic(&id, &reason).await };
        self.context.tasks.spawn(noting.in_current_span());
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

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        time::{Duration, SystemTime},
    };

    use tokio::time::Instant;
    use tokio_util::{sync::CancellationToken, task::TaskTracker};

    use super::*;
    use crate::{
        config::{Config, Pattern},
        courier::{
            availability::Outcome,
            context::Context,
            gate::SharedGates,
            halves::{End, Halves},
            quota::Quotas,
        },
        delivery::{
            Delivery, Held, Unfit,
            lane::Place,
            ledger::{Ledger, Opened},
            memory_budget::MemoryBudget,
            whose::Whose,
        },
        event::Position,
        history::History,
        hook::{HookId, Origin},
        journal::Journal,
        lookup::permission::Permission,
        meters::Meters,
        panics::caught_now,
        postgres::Lsn,
        send::{Sender, target::Target},
        store::Store,
        store::Unwritten,
    };

    /// A courier with a hook, whose writes come out of the channel.
    fn courier() -> (Arc<Courier>, Unwritten) {
        let text = "database.url = \"host=127.0.0.1 port=1\"\nevents.a = \"b.created\"";
        let config = Config::parse(Path::new("hooks.toml"), text, &|_| None).unwrap();
        let (store, writes) = Store::unwritten(&config);
        let meters = Arc::new(Meters::default());
        let context = Context {
            sender: Sender::new(&config.delivery).unwrap(),
            store,
            memory: MemoryBudget::new(1 << 20),
            gates: Arc::new(SharedGates::new(&config.limits)),
            quotas: Arc::new(Quotas::new(&config.limits, 8, MemoryBudget::new(1 << 20))),
            permission: Arc::new(Permission::new(&config, Arc::clone(&meters))),
            journal: Journal::default(),
            meters,
            history: Arc::new(History::new(config.history.clone())),
            traces: None,
            tenure: None,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let url = "https://example.com/".parse().unwrap();
        let hook = Hook {
            id: HookId::new("1", true),
            owner: None,
            events: [Pattern::Any].into(),
            filter: None,
            target: Target::new(&url, None, &[]).unwrap(),
            delivery: Arc::new(config.delivery.clone()),
            since: None,
            active: true,
            origin: Origin::Table,
        };
        let (id, hook) = (hook.id.clone(), Some(Arc::new(hook)));
        let courier = Courier::new(Arc::new(context), id, hook);
        // As when the task was spawned, which is done here by the test.
        courier.state().running = true;
        (courier, writes)
    }

    async fn delivery(courier: &Courier, ledger: &Ledger, number: u64, lane: u64) -> Delivery {
        Delivery {
            id: format!("msg_{number}").into(),
            event: "a".into(),
            position: Position {
                commit_lsn: Lsn(1),
                index: number,
            },
            commit_time: SystemTime::UNIX_EPOCH,
            place: Place::One(lane),
            body: "{}".into(),
            content_type: "application/json".into(),
            whose: Whose::Everyone,
            about: Arc::default(),
            outline: None,
            attempts: 0,
            waited: Some(Duration::ZERO),
            unfit: None,
            asked: None,
            held: Some(Held {
                ticket: ledger.ticket(number, &courier.id).into(),
                memory: courier.context.memory.stream.acquire(1).await,
                since: Instant::now(),
                hook: None,
            }),
        }
    }

    /// What was handed over to be parked, in order. Each is settled, as when it has been written.
    fn parked(writes: &mut Unwritten) -> Vec<(String, Fate, Option<String>)> {
        let mut parked = Vec::new();
        while let Some(write) = writes.try_recv() {
            if let Write::Park {
                delivery,
                fate,
                reason,
                ..
            } = write
            {
                parked.push((delivery.id.to_string(), fate, reason));
                delivery.settle();
            }
        }
        parked
    }

    #[tokio::test]
    async fn a_courier_that_panics_parks_all_that_it_holds_and_sets_its_hook_aside() {
        let (courier, mut writes) = courier();
        let ledger = Ledger::new(Lsn(0));
        assert!(matches!(ledger.open(Lsn(1)), Opened::Read { .. }));
        for (number, lane) in [(1, 7), (2, 7), (3, 8)] {
            let mut delivery = delivery(&courier, &ledger, number, lane).await;
            if number == 3 {
                delivery.unfit = Some(Unfit::Flawed("no filter".into()));
            }
            courier.state().arrived.push(delivery);
        }
        ledger.close(Lsn(2));
        let work: Work = |courier, round| {
            Box::pin(async move {
                if courier.hook_if_active().is_none() {
                    return courier.work(round).await;
                }
                courier.collect(round);
                // A request of the first is on its way.
                let (turn, place, delivery) = round.lanes.take().unwrap();
                round.tasks.push(Box::pin(async move {
                    tokio::task::yield_now().await;
                    Done::Fresh {
                        taken: vec![(turn, place)],
                        outcome: Outcome::Failed { pause: None },
                        left: vec![(delivery, Fate::Retry(Duration::from_secs(5)), "500".into())],
                    }
                }));
                panic!("a bug in the courier")
            })
        };

        Arc::clone(&courier).run_guarded(work).await;

        let again = Fate::Retry(Duration::from_secs(5));
        assert_eq!(
            parked(&mut writes),
            [
                ("msg_1".into(), again, Some("500".into())),
                ("msg_2".into(), Fate::Behind, None),
                ("msg_3".into(), Fate::Dead, Some("no filter".into())),
            ]
        );
        assert_eq!((ledger.unsettled(), ledger.oldest()), (0, None));
        assert_eq!(ledger.confirmed(), Lsn(2));
        assert_eq!(courier.context.meters.panics.courier.load(Relaxed), 1);
        assert!(courier.hook_if_active().is_none() && !courier.state().running);
    }

    #[tokio::test]
    async fn what_comes_after_a_panic_is_parked_until_the_hook_changes() {
        let (courier, mut writes) = courier();
        let hook = courier.hook_if_active().unwrap();
        let ledger = Ledger::new(Lsn(0));
        assert!(matches!(ledger.open(Lsn(1)), Opened::Read { .. }));
        let panic = caught_now(|| panic!("a bug")).unwrap_err();
        courier.set_aside(Some(&hook), &panic);
        let delivery = delivery(&courier, &ledger, 1, 7).await;
        courier.state().arrived.push(delivery);
        Arc::clone(&courier).run().await;
        let parked = parked(&mut writes);
        assert_eq!(parked, [("msg_1".into(), Fate::Retry(AT_ONCE), None)]);

        courier.state().running = true;
        courier.update(Arc::clone(&hook));
        assert!(courier.hook_if_active().is_some());
        // A request that was made before the change does not concern the hook as it is now.
        let changed = Arc::new(Hook {
            id: hook.id.clone(),
            owner: None,
            events: Arc::clone(&hook.events),
            filter: None,
            target: Target::new(&"https://example.org/".parse().unwrap(), None, &[]).unwrap(),
            delivery: Arc::clone(&hook.delivery),
            since: None,
            active: true,
            origin: Origin::Table,
        });
        courier.update(changed);
        courier.set_aside(Some(&hook), &panic);
        assert!(courier.hook_if_active().is_some());
    }

    #[tokio::test]
    async fn deliveries_of_a_request_that_panics_keep_their_order() {
        let (courier, _writes) = courier();
        let ledger = Ledger::new(Lsn(0));
        assert!(matches!(ledger.open(Lsn(1)), Opened::Read { .. }));
        let mut deliveries = Vec::new();
        for number in 1..3 {
            deliveries.push(delivery(&courier, &ledger, number, 7).await);
        }
        let mut halves = Halves::of(deliveries);
        assert_eq!(halves.next().map(|going| going.len()), Some(2));
        // Nothing is said of how the request ended.
        let left = halves.into_ends().into_iter().map(|(_, end)| end);
        let fates = left.map(|end| match end {
            End::Left(fate, _) => fate,
            End::Arrived => panic!("nobody said so"),
        });
        let fates: Vec<_> = fates.collect();
        assert_eq!(fates, [Fate::Retry(AT_ONCE), Fate::Behind]);
    }
}
