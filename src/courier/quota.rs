//! What all hooks together, and those of one owner, may have going at once. However many an owner has, requests of
//! others pass between theirs.
//!
//! A request takes the processor until it is on its way, so only some are begun at once. It holds a connection and the
//! memory of its body until it is answered; of these, an owner has a part. Whoever has no seat stands in line, and what
//! it would send stays where it can be parked. An endpoint is not blamed for that, as it would be if its time-out ran
//! meanwhile.
//!
//! Hooks of the operator have no quota of their own: they are few, and whoever could make them too many could also
//! raise it.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    config::Limits,
    delivery::memory_budget::{MemoryBudget, Permit, Pool},
    hook::{Hook, Origin},
    lock::lock,
};

/// Below this number of quotas, none is removed.
const FEW: usize = 1024;
/// The part of the connections that an owner has at most.
const PART_OF_CONNECTIONS: usize = 4;
/// The part of the memory that the requests of an owner have at most.
const PART_OF_MEMORY: usize = 2;
/// A request that takes longer waits for its endpoint, and takes nobody's time.
const BUSY: Duration = Duration::from_millis(250);
/// How many requests of all hooks are begun at once. More would take memory and get nowhere sooner.
const BEGUN: usize = 1024;

/// The quotas of all owners.
#[derive(Debug)]
pub struct Quotas {
    /// How many requests an owner begins at once.
    begun: usize,
    /// How many an owner may have on their way.
    going: usize,
    /// That of all deliveries.
    memory: MemoryBudget,
    all: Arc<All>,
    /// That of the operator's hooks.
    of_operator: Arc<Quota>,
    quotas: Mutex<ByOwner>,
}

/// What the hooks of all have going.
#[derive(Debug)]
struct All {
    begun: Arc<Semaphore>,
    going: Arc<Semaphore>,
}

#[derive(Debug)]
struct ByOwner {
    by_owner: HashMap<Arc<str>, Arc<Quota>>,
    /// At which number of quotas those that nobody uses are removed.
    sweep_at: usize,
}

/// What a hook may have going beside others.
#[derive(Debug)]
pub struct Quota {
    all: Arc<All>,
    /// What it shares with the others of its owner; `None`: it is the operator's.
    pub own: Option<Own>,
}

/// What the hooks of one owner have going.
#[derive(Debug)]
pub struct Own {
    begun: Arc<Semaphore>,
    going: Arc<Semaphore>,
    /// The memory of requests on their way. What they carry from the stream is in memory already.
    memory: Pool,
    /// The memory for what is claimed from the table.
    pub table: Pool,
    /// The memory for single bodies of the table that are larger than what is claimed at once.
    pub large: Pool,
}

/// The right to a request.
#[derive(Debug)]
pub struct Seat {
    own: Option<OwnSeat>,
    /// Whether others may have to stand in line for it.
    is_scarce: bool,
    begun: Option<OwnedSemaphorePermit>,
    _going: OwnedSemaphorePermit,
}

/// The part of a seat that is of an owner.
#[derive(Debug)]
struct OwnSeat {
    begun: Option<OwnedSemaphorePermit>,
    _going: OwnedSemaphorePermit,
    _memory: Permit,
}

impl Quotas {
    /// Starts with the quotas that `limits` says, of so many connections and bytes of memory.
    pub fn new(limits: &Limits, connections: usize, memory: MemoryBudget) -> Self {
        let all = Arc::new(All {
            begun: Arc::new(Semaphore::new(BEGUN)),
            going: Arc::new(Semaphore::new(connections.max(1))),
        });
        let of_operator = Quota {
            all: Arc::clone(&all),
            own: None,
        };
        Self {
            begun: limits.owner_requests as usize,
            going: (connections / PART_OF_CONNECTIONS).max(1),
            memory,
            all,
            of_operator: Arc::new(of_operator),
            quotas: Mutex::new(ByOwner {
                by_owner: HashMap::new(),
                sweep_at: FEW,
            }),
        }
    }

    /// What the requests of a hook stand in line for.
    pub fn of(&self, hook: &Hook) -> Arc<Quota> {
        let (Some(owner), Origin::Table) = (&hook.owner, hook.origin) else {
            return Arc::clone(&self.of_operator);
        };
        let mut quotas = lock(&self.quotas);
        if let Some(quota) = quotas.by_owner.get(owner) {
            return Arc::clone(quota);
        }
        if quotas.by_owner.len() >= quotas.sweep_at {
            quotas.by_owner.retain(|_, quota| quota.is_used());
            quotas.sweep_at = FEW.max(quotas.by_owner.len() * 2);
        }
        let own = Own {
            begun: Arc::new(Semaphore::new(self.begun)),
            going: Arc::new(Semaphore::new(self.going)),
            memory: self.memory.stream.apart(PART_OF_MEMORY),
            table: self.memory.table.part(PART_OF_MEMORY),
            large: self.memory.large.part(PART_OF_MEMORY),
        };
        let quota = Arc::new(Quota {
            all: Arc::clone(&self.all),
            own: Some(own),
        });
        quotas
            .by_owner
            .insert(Arc::clone(owner), Arc::clone(&quota));
        quota
    }
}

const NEVER_CLOSED: &str = "nobody closes a quota";

impl Quota {
    /// A place for a request of so many bytes, if there is one now and nobody stands in line for it.
    pub fn try_enter(&self, bytes: usize) -> Option<Seat> {
        let own = match &self.own {
            Some(own) => Some(own.try_enter(bytes)?),
            None => None,
        };
        let going = Arc::clone(&self.all.going).try_acquire_owned().ok()?;
        let begun = Arc::clone(&self.all.begun).try_acquire_owned().ok()?;
        Some(self.seat(own, going, begun))
    }

    /// Waits for a seat for a request of so many bytes. First come, first served.
    pub async fn enter(&self, bytes: usize) -> Seat {
        let own = match &self.own {
            Some(own) => Some(own.enter(bytes).await),
            None => None,
        };
        let going = Arc::clone(&self.all.going).acquire_owned().await;
        // Last, so that nobody keeps it while they wait for something else.
        let begun = Arc::clone(&self.all.begun).acquire_owned().await;
        self.seat(own, going.expect(NEVER_CLOSED), begun.expect(NEVER_CLOSED))
    }

    fn seat(
        &self,
        own: Option<OwnSeat>,
        going: OwnedSemaphorePermit,
        begun: OwnedSemaphorePermit,
    ) -> Seat {
        Seat {
            own,
            // As long as half of them are free, nobody need look at the clock.
            is_scarce: self.all.begun.available_permits() < BEGUN / 2,
            begun: Some(begun),
            _going: going,
        }
    }

    /// Whether anybody has something of it, or stands in line.
    fn is_used(self: &Arc<Self>) -> bool {
        // Whoever has a seat, or a permit of a pool, holds its semaphore, too.
        let is_used = |own: &Own| {
            Arc::strong_count(&own.going) > 1
                || [&own.table, &own.large].into_iter().any(Pool::is_used)
        };
        Arc::strong_count(self) > 1 || self.own.as_ref().is_some_and(is_used)
    }
}

impl Own {
    fn try_enter(&self, bytes: usize) -> Option<OwnSeat> {
        let going = Arc::clone(&self.going).try_acquire_owned().ok()?;
        let memory = self.memory.try_acquire(bytes)?;
        let begun = Arc::clone(&self.begun).try_acquire_owned().ok()?;
        Some(OwnSeat {
            begun: Some(begun),
            _going: going,
            _memory: memory,
        })
    }

    async fn enter(&self, bytes: usize) -> OwnSeat {
        let going = Arc::clone(&self.going).acquire_owned().await;
        let memory = self.memory.acquire(bytes).await;
        let begun = Arc::clone(&self.begun).acquire_owned().await;
        OwnSeat {
            begun: Some(begun.expect(NEVER_CLOSED)),
            _going: going.expect(NEVER_CLOSED),
            _memory: memory,
        }
    }
}

impl Seat {
    /// Makes a request in this seat. Once it takes long, another may begin beside it.
    pub async fn hold<T>(mut self, request: impl Future<Output = T>) -> T {
        if self.own.is_none() && !self.is_scarce {
            return request.await;
        }
        let mut request = pin!(request);
        match timeout(BUSY, request.as_mut()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.begun = None;
                if let Some(own) = &mut self.own {
                    own.begun = None;
                }
                request.await
            }
        }
    }
}

/// Makes a request in its seat, if it needs one.
pub async fn hold<T>(seat: Option<Seat>, request: impl Future<Output = T>) -> T {
    match seat {
        Some(seat) => seat.hold(request).await,
        None => request.await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures_util::FutureExt;
    use tokio::{
        task::JoinSet,
        time::{Instant, sleep},
    };

    use super::*;
    use crate::{config::Pattern, hook::HookId, send::target::Target};

    fn quotas(owner_requests: u32, connections: usize) -> Quotas {
        let limits = Limits {
            owner_requests,
            ..Limits::default()
        };
        Quotas::new(&limits, connections, MemoryBudget::new(8 << 20))
    }

    fn of(quotas: &Quotas, owner: Option<&str>, origin: Origin) -> Arc<Quota> {
        quotas.of(&Hook {
            id: HookId::new("1", true),
            owner: owner.map(Arc::from),
            events: [Pattern::Any].into(),
            filter: None,
            target: Target::new(&"https://a.example/".parse().unwrap(), None, &[]).unwrap(),
            delivery: Arc::default(),
            since: None,
            active: true,
            origin,
        })
    }

    fn of_user(quotas: &Quotas, owner: &str) -> Arc<Quota> {
        of(quotas, Some(owner), Origin::Table)
    }

    #[test]
    fn hooks_of_an_owner_share_a_quota_and_the_operators_have_none() {
        let quotas = quotas(1, 100);
        let seat = of_user(&quotas, "anna").try_enter(0).unwrap();
        assert!(of_user(&quotas, "anna").try_enter(0).is_none());
        assert!(of_user(&quotas, "ben").try_enter(0).is_some());
        assert!(of(&quotas, None, Origin::Table).own.is_none());
        assert!(of(&quotas, Some("anna"), Origin::File).own.is_none());
        drop(seat);
        assert!(of_user(&quotas, "anna").try_enter(0).is_some());
    }

    #[test]
    fn the_requests_of_an_owner_have_half_of_the_memory_and_what_is_larger_goes_alone() {
        let quotas = quotas(100, 100);
        let of_anna = of_user(&quotas, "anna");
        let half = quotas.memory.stream.bytes() / 2;
        let first = of_anna.try_enter(half / 2 + 1).unwrap();
        assert!(of_anna.try_enter(half / 2).is_none());
        assert!(of_anna.try_enter(half / 4).is_some());
        let mut large = Box::pin(of_anna.enter(10 * half));
        assert!(large.as_mut().now_or_never().is_none());
        drop(first);
        let _large = large.now_or_never().unwrap();
        assert!(of_anna.try_enter(1).is_none());
        // What the requests carry has been acquired before.
        assert_eq!(quotas.memory.used().0, 0);
    }

    #[test]
    fn quotas_that_nobody_uses_are_forgotten() {
        let quotas = quotas(1, 100);
        let seat = of_user(&quotas, "anna").try_enter(0);
        for owner in 0..10 * FEW {
            of_user(&quotas, &owner.to_string());
        }
        assert!(lock(&quotas.quotas).by_owner.len() <= 2 * FEW);
        assert!(of_user(&quotas, "anna").try_enter(0).is_none());
        drop(seat);
    }

    #[tokio::test(start_paused = true)]
    async fn of_all_hooks_some_are_begun_at_once_and_slow_ones_let_others_begin() {
        let quotas = quotas(1, 10 * BEGUN);
        let quota = of(&quotas, None, Origin::File);
        let mut slow = JoinSet::new();
        for _ in 0..BEGUN {
            let seat = quota.try_enter(0).unwrap();
            slow.spawn(seat.hold(std::future::pending::<()>()));
        }
        assert!(quota.try_enter(0).is_none());
        assert!(of_user(&quotas, "anna").try_enter(0).is_none());
        let begun = Instant::now();
        // Those that began while half of the seats were free keep theirs.
        for _ in 0..BEGUN / 2 {
            slow.spawn(quota.enter(0).await.hold(std::future::pending::<()>()));
        }
        assert_eq!(begun.elapsed(), BUSY);
        assert!(quota.try_enter(0).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn some_are_begun_at_once_and_those_that_take_long_let_others_begin() {
        for (took, connections, most, expected) in [
            // Of ten quick ones, three at once.
            (BUSY / 10, 100, 3, 4 * BUSY / 10),
            // Slow ones begin one after the other, and end beside each other.
            (10 * BUSY, 100, 10, 13 * BUSY),
            // They have a part of the connections.
            (10 * BUSY, 20, 5, 21 * BUSY),
        ] {
            let quota = of_user(&quotas(3, connections), "anna");
            let (going, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (begun, mut requests) = (Instant::now(), JoinSet::new());
            for _ in 0..10 {
                let (quota, going, seen) =
                    (Arc::clone(&quota), Arc::clone(&going), Arc::clone(&seen));
                requests.spawn(async move {
                    let seat = quota.enter(1).await;
                    let request = seat.hold(async {
                        seen.fetch_max(going.fetch_add(1, Relaxed) + 1, Relaxed);
                        sleep(took).await;
                        going.fetch_sub(1, Relaxed);
                    });
                    request.await;
                });
            }
            requests.join_all().await;
            assert_eq!(seen.load(Relaxed), most, "{took:?} {connections}");
            let took_all = begun.elapsed();
            assert!(
                took_all >= expected && took_all < expected + BUSY / 10,
                "{took_all:?} instead of {expected:?}"
            );
        }
    }
}
