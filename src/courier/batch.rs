//! Which deliveries go together in one request, and when. Plain decisions: no clock, no task.
//!
//! Without a rule for batches, each delivery goes alone and as it is. With one, a request carries a JSON array, even of
//! a single delivery.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;

use crate::{
    config::Batch,
    delivery::{Delivery, lane::Place, load::is_json},
    hook::Hook,
};

/// A request in the making.
#[derive(Debug)]
pub struct Gathering {
    rule: Option<Batch>,
    members: usize,
    /// The bytes of the array, its brackets and commas included.
    bytes: usize,
    content_type: Option<Arc<str>>,
    /// The hook as it was at the place of the first member.
    hook: Option<Arc<Hook>>,
    oldest: Option<Instant>,
    full: bool,
}

impl Gathering {
    /// A request without deliveries yet.
    pub fn new(rule: Option<Batch>) -> Self {
        Self {
            rule,
            members: 0,
            bytes: 1,
            content_type: None,
            hook: None,
            oldest: None,
            full: false,
        }
    }

    /// Takes a delivery in, if it can come along. If it cannot, no later one can either.
    pub fn admit(&mut self, delivery: &Delivery) -> bool {
        let bytes = self.bytes + delivery.body.len() + 1;
        let hook = delivery.held.as_ref().and_then(|held| held.hook.clone());
        if let Some(content_type) = &self.content_type {
            let is_same_hook =
                self.hook.as_ref().map(Arc::as_ptr) == hook.as_ref().map(Arc::as_ptr);
            let largest = self.rule.map_or(0, |rule| rule.max_bytes);
            let fits = bytes <= largest && *content_type == delivery.content_type;
            self.full |= !fits || !is_same_hook;
        }
        if self.full {
            return false;
        }
        self.bytes = bytes;
        self.members += 1;
        self.full = match self.rule {
            Some(rule) => self.members >= rule.max.get() || !is_json(&delivery.content_type),
            None => true,
        };
        self.content_type = Some(Arc::clone(&delivery.content_type));
        self.hook = hook;
        let since = delivery.held.as_ref().map(|held| held.since);
        self.oldest = [self.oldest, since].into_iter().flatten().min();
        true
    }

    /// Whether no other delivery can come along.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// How many bytes the body of the request has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the request goes: at once where it is full, and otherwise when its oldest member has waited for long
    /// enough. `None` without members.
    pub fn goes_at(&self) -> Option<Instant> {
        match self.rule {
            Some(rule) if !self.full => self.oldest.map(|oldest| oldest + rule.wait),
            _ => self.oldest,
        }
    }
}

/// Requests that are made one after the other, each only if the one before it was a success.
#[derive(Debug)]
pub struct Run {
    /// The deliveries that were claimed. The others stand behind them.
    pub heads: Vec<Head>,
    /// What each of the requests carries.
    pub loads: Vec<Vec<Delivery>>,
}

/// A delivery that was claimed, as it was then.
#[derive(Debug, Clone)]
pub struct Head {
    /// The id of the delivery.
    pub id: Arc<str>,
    /// The lanes that it stands in.
    pub place: Place,
    /// How many attempts there had been.
    pub attempts: u32,
}

/// Divides what was claimed into runs that can go beside each other, each of which has up to `length` requests, or as
/// many as have to follow one another. Each delivery of `behind` stands in a single lane behind claimed ones, and comes
/// along in the run of the one before it.
pub fn divide(
    rule: Option<Batch>,
    length: usize,
    claimed: Vec<Delivery>,
    behind: Vec<Delivery>,
) -> Vec<Run> {
    let mut runs: Vec<RunInMaking> = Vec::new();
    let mut run_of_lane: HashMap<u64, usize> = HashMap::new();
    for delivery in claimed {
        let lanes = delivery.place.lanes();
        let head = Head {
            id: Arc::clone(&delivery.id),
            place: delivery.place,
            attempts: delivery.attempts,
        };
        if let Some(run) = runs.last_mut()
            && run.last.admit(&delivery)
        {
            run.run.heads.push(head);
            run.push(delivery);
        } else {
            runs.push(RunInMaking::begin(rule, head, delivery));
        }
        run_of_lane.extend(lanes.map(|lane| (lane, runs.len() - 1)));
    }
    for delivery in behind {
        let run = delivery
            .place
            .lanes()
            .find_map(|lane| run_of_lane.get(&lane));
        let Some(run) = run.and_then(|run| runs.get_mut(*run)) else {
            continue;
        };
        if run.last.admit(&delivery) {
            run.push(delivery);
        } else {
            run.follow(rule, delivery);
        }
    }
    let mut made: Vec<Run> = Vec::new();
    for RunInMaking { mut run, .. } in runs {
        for load in &mut run.loads {
            load.sort_by_key(|delivery| delivery.position);
        }
        match made.last_mut() {
            Some(before) if before.loads.len() + run.loads.len() <= length => before.append(run),
            _ => made.push(run),
        }
    }
    made
}

impl Run {
    /// Has the requests of another run follow.
    fn append(&mut self, other: Self) {
        self.heads.extend(other.heads);
        self.loads.extend(other.loads);
    }
}

/// A run in the making, and how full its last request is.
struct RunInMaking {
    last: Gathering,
    run: Run,
}

impl RunInMaking {
    fn begin(rule: Option<Batch>, head: Head, first: Delivery) -> Self {
        let mut making = Self {
            last: Gathering::new(rule),
            run: Run {
                heads: vec![head],
                loads: Vec::new(),
            },
        };
        making.follow(rule, first);
        making
    }

    /// Begins the next request.
    fn follow(&mut self, rule: Option<Batch>, first: Delivery) {
        self.last = Gathering::new(rule);
        self.last.admit(&first);
        self.run.loads.push(vec![first]);
    }

    /// Puts a delivery that was admitted into the last request.
    fn push(&mut self, delivery: Delivery) {
        if let Some(load) = self.run.loads.last_mut() {
            load.push(delivery);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use futures_util::FutureExt;

    use super::*;
    use crate::{
        delivery::{
            Held,
            ledger::{Ledger, Opened},
            load::Load,
            memory_budget::MemoryBudget,
            whose::Whose,
        },
        event::Position,
        hook::HookId,
        postgres::Lsn,
    };

    const JSON: &str = "application/json";
    const EVENTS: &str = "application/cloudevents+json";
    const SECOND: Duration = Duration::from_secs(1);
    const LARGEST: usize = 1 << 20;

    fn rule(max: usize) -> Option<Batch> {
        let max = max.try_into().unwrap();
        Some(Batch {
            max,
            max_bytes: LARGEST,
            wait: SECOND,
        })
    }

    fn delivery(number: u64, place: Place, content_type: &str, bytes: usize) -> Delivery {
        Delivery {
            id: format!("msg_{number}").into(),
            event: "book.added".into(),
            position: Position {
                commit_lsn: Lsn(1),
                index: number,
            },
            commit_time: SystemTime::UNIX_EPOCH,
            place,
            body: vec![b'1'; bytes].into(),
            content_type: content_type.into(),
            whose: Whose::Everyone,
            about: Arc::default(),
            outline: None,
            attempts: 0,
            waited: Some(Duration::ZERO),
            unfit: None,
            asked: None,
            held: None,
        }
    }

    fn small(number: u64, lane: u64) -> Delivery {
        delivery(number, Place::One(lane), JSON, 1)
    }

    fn waiting(number: u64, since: Instant) -> Delivery {
        let ledger = Ledger::new(Lsn(0));
        assert!(matches!(ledger.open(Lsn(1)), Opened::Read { .. }));
        Delivery {
            held: Some(Held {
                ticket: ledger.ticket(number, &HookId::new("1", true)).into(),
                memory: MemoryBudget::new(1)
                    .stream
                    .acquire(1)
                    .now_or_never()
                    .unwrap(),
                since,
                hook: None,
            }),
            ..small(number, number)
        }
    }

    #[test]
    fn so_many_come_along_and_no_more() {
        for (name, rule, deliveries, admitted) in [
            ("alone", None, vec![small(1, 1), small(2, 2)], 1),
            ("one", rule(1), vec![small(1, 1), small(2, 2)], 1),
            ("three", rule(3), (1..9).map(|n| small(n, n)).collect(), 3),
            (
                "of one kind",
                rule(9),
                vec![
                    small(1, 1),
                    delivery(2, Place::One(2), EVENTS, 1),
                    small(3, 3),
                ],
                1,
            ),
            (
                "only JSON",
                rule(9),
                vec![
                    delivery(1, Place::One(1), "text/plain", 1),
                    delivery(2, Place::One(2), "text/plain", 1),
                ],
                1,
            ),
            (
                "1 MiB with brackets and commas",
                rule(9),
                vec![
                    delivery(1, Place::One(1), JSON, LARGEST - 5),
                    small(2, 2),
                    small(3, 3),
                ],
                2,
            ),
            (
                "larger than that, but alone",
                rule(9),
                vec![delivery(1, Place::One(1), JSON, LARGEST), small(2, 2)],
                1,
            ),
        ] {
            let mut gathering = Gathering::new(rule);
            let came = deliveries.iter().take_while(|d| gathering.admit(d)).count();
            assert_eq!(came, admitted, "{name}");
            assert!(gathering.is_full() || came == deliveries.len(), "{name}");
            let load = Load::new(rule, &deliveries[..came]).unwrap();
            assert!(load.body.len() <= LARGEST + 2, "{name}");
        }
    }

    #[test]
    fn it_goes_when_it_is_full_or_the_oldest_has_waited() {
        let now = Instant::now();
        for (name, rule, since, goes_at) in [
            ("nobody", rule(3), vec![], None),
            ("one waits", rule(3), vec![0], Some(now + SECOND)),
            ("the oldest counts", rule(3), vec![5, 0], Some(now + SECOND)),
            ("full", rule(2), vec![5, 0], Some(now)),
            ("alone", None, vec![5], Some(now + 5 * SECOND)),
        ] {
            let mut gathering = Gathering::new(rule);
            for (number, since) in since.into_iter().enumerate() {
                let since = now + since * SECOND;
                assert!(gathering.admit(&waiting(number as u64, since)), "{name}");
            }
            assert_eq!(gathering.goes_at(), goes_at, "{name}");
        }
    }

    #[test]
    fn what_was_claimed_is_divided_into_runs_and_nobody_overtakes_the_one_before_it() {
        let ids = |runs: Vec<Run>| -> Vec<Vec<Vec<u64>>> {
            let of_load = |load: &Vec<Delivery>| load.iter().map(|d| d.position.index).collect();
            let of_run = |run: &Run| run.loads.iter().map(of_load).collect();
            runs.iter().map(of_run).collect()
        };
        let claimed = || vec![small(1, 1), small(4, 2), small(5, 3)];
        let behind = || vec![small(2, 1), small(3, 1), small(6, 2), small(7, 1)];
        assert_eq!(
            ids(divide(None, 1, claimed(), behind())),
            [
                vec![vec![1], vec![2], vec![3], vec![7]],
                vec![vec![4], vec![6]],
                vec![vec![5]]
            ]
        );
        assert_eq!(
            ids(divide(None, 3, claimed(), behind())),
            [
                vec![vec![1], vec![2], vec![3], vec![7]],
                vec![vec![4], vec![6], vec![5]]
            ]
        );
        assert_eq!(
            ids(divide(rule(9), 1, claimed(), behind())),
            [[[1, 2, 3, 4, 5, 6, 7]]]
        );
        assert_eq!(
            ids(divide(rule(5), 1, claimed(), behind())),
            [[vec![1, 2, 3, 4, 5], vec![6, 7]]]
        );
        assert_eq!(
            ids(divide(rule(2), 1, claimed(), behind())),
            [vec![vec![1, 4], vec![2, 3], vec![6, 7]], vec![vec![5]]]
        );
        let other = |number, lane| delivery(number, Place::One(lane), EVENTS, 1);
        assert_eq!(
            ids(divide(
                rule(9),
                1,
                vec![small(1, 1), other(4, 2)],
                vec![other(2, 1), small(3, 1), other(5, 2)]
            )),
            [vec![vec![1], vec![2], vec![3]], vec![vec![4, 5]]],
            "3 must not overtake 2"
        );
    }
}
