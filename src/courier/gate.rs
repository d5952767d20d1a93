//! Where requests wait for a rate: those of one hook at their own gate, and those of one owner or to one host together.
//!
//! Whoever waits stands in line, so that nobody is overtaken for ever, and only the first one has a timer. A courier
//! waits with empty hands: what it will send stays where it can be parked, and takes no memory that others need.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::limiter::Limiter;
use crate::{
    config::{Limits, Rate},
    hook::{Hook, Origin},
    lock::lock,
};

/// Below this number of gates, none is removed.
const FEW: usize = 1024;
/// For what time a courier claims at once.
const SOON: Duration = Duration::from_secs(1);

/// A gate that requests pass one after the other.
#[derive(Debug, Default)]
pub struct Gate {
    limiter: Mutex<Limiter>,
    /// Held by the first in line.
    line: tokio::sync::Mutex<()>,
    /// How many stand in line.
    waiting: AtomicUsize,
}

impl Gate {
    /// Whether nothing that has passed counts any more.
    pub fn is_rested(&self, now: Instant) -> bool {
        lock(&self.limiter).is_rested(now)
    }

    /// Whether nobody waits, and the next one may pass.
    fn is_open(&self, now: Instant) -> bool {
        self.waiting.load(Relaxed) == 0 && lock(&self.limiter).opens_at(now) <= now
    }

    /// Passes, when all who came before have.
    async fn pass(&self, interval: Duration) {
        let _waiting = Waiting::among(&self.waiting);
        let _first = self.line.lock().await;
        loop {
            let now = Instant::now();
            let opens_at = {
                let mut limiter = lock(&self.limiter);
                let opens_at = limiter.opens_at(now);
                if opens_at <= now {
                    return limiter.take(interval, now);
                }
                opens_at
            };
            tokio::time::sleep_until(opens_at).await;
        }
    }
}

/// Counts among those in line until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The gate of a hook, of an owner or of a host, as requests of one hook pass it.
#[derive(Debug, Clone)]
pub struct Passage {
    gate: Arc<Gate>,
    /// How long the next one waits for what has passed.
    interval: Duration,
    /// What has passed: the events of a request, or the request.
    counts: Counted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Requests,
    Events,
}

impl Passage {
    /// The passage of a hook's own gate, where its endpoint gets a request in each `interval`.
    pub fn own(gate: &Arc<Gate>, interval: Duration) -> Self {
        Self {
            gate: Arc::clone(gate),
            interval,
            counts: Counted::Requests,
        }
    }

    /// How many requests of this hook pass soon, as far as can be said.
    fn soon(&self) -> usize {
        let alone = SOON.as_nanos() / self.interval.as_nanos().max(1);
        let alone = usize::try_from(alone).unwrap_or(usize::MAX);
        (alone / (1 + self.gate.waiting.load(Relaxed))).max(1)
    }
}

/// Passes all of the gates with a request that has one event, if it can go now.
pub fn try_pass(passages: &[Passage], now: Instant) -> bool {
    let all_open = passages.iter().all(|passage| passage.gate.is_open(now));
    if all_open {
        // Others may pass at the same moment. That is made up for, since what passes undue counts too.
        for passage in passages {
            lock(&passage.gate.limiter).take(passage.interval, now);
        }
    }
    all_open
}

/// Passes all of the gates with a request that has one event, as soon as it can go.
pub async fn pass(passages: &[Passage]) {
    // One after the other, so that nobody is first in line at one gate while they wait at another.
    for passage in passages {
        passage.gate.pass(passage.interval).await;
    }
}

/// Counts what goes beside the event of a request that has passed.
pub fn charge(passages: &[Passage], requests: u32, events: u32, now: Instant) {
    for passage in passages {
        let passed = match passage.counts {
            Counted::Requests => requests,
            Counted::Events => events,
        };
        let interval = passage.interval.saturating_mul(passed);
        lock(&passage.gate.limiter).take(interval, now);
    }
}

/// How many requests pass soon that have one event each, as far as can be said.
pub fn soon(passages: &[Passage]) -> usize {
    let soon = passages.iter().map(Passage::soon);
    soon.min().unwrap_or(usize::MAX)
}

/// The gates that several hooks share: those of owners and of hosts, as far as `[limits]` has rates for them.
#[derive(Debug)]
pub struct SharedGates {
    owner_rate: Option<Rate>,
    host_rate: Option<Rate>,
    gates: Mutex<Gates>,
}

#[derive(Debug)]
struct Gates {
    by_key: HashMap<Key, Arc<Gate>>,
    /// At which number of gates those that can be removed are looked for.
    sweep_at: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Owner(Arc<str>),
    Host(String),
}

impl SharedGates {
    /// Starts without a gate.
    pub fn new(limits: &Limits) -> Self {
        Self {
            owner_rate: limits.owner_rate,
            host_rate: limits.host_rate,
            gates: Mutex::new(Gates {
                by_key: HashMap::new(),
                sweep_at: FEW,
            }),
        }
    }

    /// Adds the passages of a hook's requests. Those of the operator's hooks are free.
    pub fn add_passages(&self, hook: &Hook, passages: &mut Vec<Passage>) {
        let (Some(owner), Origin::Table) = (&hook.owner, hook.origin) else {
            return;
        };
        if let Some(rate) = self.owner_rate {
            passages.push(Passage {
                gate: self.gate(Key::Owner(Arc::clone(owner))),
                interval: rate.interval(),
                counts: Counted::Events,
            });
        }
        if let Some(rate) = self.host_rate {
            passages.push(Passage {
                gate: self.gate(Key::Host(hook.target.host().to_owned())),
                interval: rate.interval(),
                counts: Counted::Requests,
            });
        }
    }

    fn gate(&self, key: Key) -> Arc<Gate> {
        let mut gates = lock(&self.gates);
        if gates.by_key.len() >= gates.sweep_at {
            let now = Instant::now();
            let is_used = |gate: &Arc<Gate>| Arc::strong_count(gate) > 1 || !gate.is_rested(now);
            gates.by_key.retain(|_, gate| is_used(gate));
            gates.sweep_at = FEW.max(gates.by_key.len() * 2);
        }
        Arc::clone(gates.by_key.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::task::JoinSet;

    use super::*;
    use crate::{
        config::{Config, Pattern},
        hook::HookId,
        send::target::Target,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn shared(limits: &str) -> SharedGates {
        let text = format!(
            "database.url = \"host=127.0.0.1\"\nevents.a = \"b.created\"\n[limits]\n{limits}"
        );
        let config = Config::parse(Path::new("hooks.toml"), &text, &|_| None).unwrap();
        SharedGates::new(&config.limits)
    }

    fn passages(
        gates: &SharedGates,
        owner: Option<&str>,
        target: &str,
        origin: Origin,
    ) -> Vec<Passage> {
        let hook = Hook {
            id: HookId::new("1", true),
            owner: owner.map(Arc::from),
            events: [Pattern::Any].into(),
            filter: None,
            target: Target::new(&target.parse().unwrap(), None, &[]).unwrap(),
            delivery: Arc::default(),
            since: None,
            active: true,
            origin,
        };
        let mut passages = Vec::new();
        gates.add_passages(&hook, &mut passages);
        passages
    }

    fn users(gates: &SharedGates, owner: &str, target: &str) -> Vec<Passage> {
        passages(gates, Some(owner), target, Origin::Table)
    }

    #[test]
    fn hooks_of_an_owner_share_a_gate_as_those_of_a_host_do_and_the_operators_are_free() {
        let gates = shared("owner_rate = \"1/s\"\nhost_rate = \"1/s\"");
        let now = Instant::now();
        let [a, b] = ["https://a.example/x", "https://b.example/"];
        assert!(try_pass(&users(&gates, "anna", a), now));
        for (owner, target, passes) in [
            ("anna", b, false),
            ("ben", "https://a.example:8443/y", false),
            ("ben", b, true),
        ] {
            let passed = try_pass(&users(&gates, owner, target), now);
            assert_eq!(passed, passes, "{owner} {target}");
        }
        for (owner, origin) in [(None, Origin::Table), (Some("anna"), Origin::File)] {
            assert!(passages(&gates, owner, a, origin).is_empty());
        }
        assert!(users(&shared(""), "anna", a).is_empty());
    }

    #[test]
    fn events_count_for_an_owner_and_requests_for_a_host() {
        let gates = shared("owner_rate = \"10/s\"\nhost_rate = \"10/s\"");
        let (now, target) = (Instant::now(), "https://a.example/");
        let of_anna = users(&gates, "anna", target);
        assert!(try_pass(&of_anna, now));
        charge(&of_anna, 0, 9, now);
        let opens_at = |passage: &Passage| lock(&passage.gate.limiter).opens_at(now) - now;
        let slack = super::super::limiter::SLACK;
        assert_eq!(opens_at(&of_anna[0]), SECOND - slack);
        assert_eq!(opens_at(&of_anna[1]), SECOND / 10 - slack);
    }

    #[test]
    fn what_is_claimed_can_go_soon() {
        let gates = shared("owner_rate = \"10/s\"\nhost_rate = \"30/m\"");
        let (of_owner, of_host) = (users(&gates, "anna", "https://a.example/"), 1);
        assert_eq!(soon(&of_owner[..1]), 10);
        let _waiting = [(); 3].map(|()| Waiting::among(&of_owner[0].gate.waiting));
        assert_eq!((soon(&of_owner[..1]), soon(&of_owner)), (2, of_host));
        assert_eq!(soon(&[]), usize::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_for_the_same_pass_in_turns_and_keep_the_rate() {
        let gates = Arc::new(shared("host_rate = \"10/s\""));
        let (start, mut couriers) = (Instant::now(), JoinSet::new());
        for number in 0..7 {
            let gates = Arc::clone(&gates);
            couriers.spawn(async move {
                let mut passed = 0;
                while start.elapsed() < 60 * SECOND {
                    pass(&users(&gates, &number.to_string(), "https://a.example/")).await;
                    passed += 1;
                }
                passed
            });
        }
        let passed = couriers.join_all().await;
        let all: i32 = passed.iter().sum();
        assert!((600..610).contains(&all), "{all}");
        let (least, most) = (passed.iter().min(), passed.iter().max());
        // They begin and end at different times.
        assert!(most.unwrap() - least.unwrap() <= 2, "{passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_host_holds_up_no_other_hook_of_the_owner() {
        let gates = shared("owner_rate = \"100/s\"\nhost_rate = \"1/m\"");
        let (slow, other) = ("https://slow.example/", "https://other.example/");
        let start = Instant::now();
        assert!(try_pass(&users(&gates, "ben", slow), start));
        let to_slow = users(&gates, "anna", slow);
        let waits = tokio::spawn(async move { pass(&to_slow).await });
        tokio::task::yield_now().await;
        let to_other = users(&gates, "anna", other);
        let passed = tokio::time::timeout(SECOND, pass(&to_other));
        assert!(passed.await.is_ok());
        waits.await.unwrap();
        assert!(start.elapsed() > 59 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_leaves_the_line() {
        let gates = shared("host_rate = \"1/s\"");
        let target = "https://a.example/";
        assert!(try_pass(&users(&gates, "anna", target), Instant::now()));
        let to_target = users(&gates, "anna", target);
        let given_up = tokio::time::timeout(SECOND / 10, pass(&to_target));
        assert!(given_up.await.is_err());
        assert_eq!(to_target[0].gate.waiting.load(Relaxed), 0);
        tokio::time::advance(SECOND).await;
        assert!(try_pass(&users(&gates, "ben", target), Instant::now()));
    }

    #[test]
    fn gates_that_nobody_passes_any_more_are_removed() {
        let gates = shared("owner_rate = \"1000000/s\"");
        for number in 0..5 * FEW {
            let of_one = users(&gates, &number.to_string(), "https://a.example/");
            charge(&of_one, 0, 1, Instant::now());
        }
        assert!(lock(&gates.gates).by_key.len() <= 2 * FEW);
    }
}
