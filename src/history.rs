//! The history of attempts, for people to look at. Attempts are gathered here, and written to a table once a second.
//!
//! No delivery ever waits for that. What is gathered is bounded: only the last successes of each hook are kept, a
//! number of failures, and a number of bytes of bodies; failures beyond that are left out and counted. What is written
//! at a time is bounded too, so as not to load the database: where many hooks are busy, their successes take turns.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::MissedTickBehavior;

use crate::{config, delivery::attempt::Attempt, hook::HookId, lock::lock, store::Store};

/// The time between two writes.
const PAUSE: Duration = Duration::from_secs(1);
/// The time between two deletions of old attempts.
const SWEEP: Duration = Duration::from_secs(60);
/// The most failures that wait to be written, and likewise the most successes.
const ATTEMPTS: usize = 10_000;
/// How many successes are written at a time. A single busy hook has fewer.
const WRITTEN_AT_ONCE: usize = 1000;
/// The most bytes of bodies of failures that wait to be written, and likewise of successes.
const BODIES: usize = 8 << 20;
/// The most bytes of a body that is kept.
const LARGEST_BODY: usize = 256 << 10;

/// Gathers attempts until they are written.
#[derive(Debug)]
pub struct History {
    rules: config::History,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    failures: Vec<Attempt>,
    successes: HashMap<HookId, VecDeque<Attempt>>,
    /// The hooks of `successes`. The first one has waited for longest.
    turns: VecDeque<HookId>,
    /// The memory that failures take. It is counted apart, so that successes cannot keep them out.
    failed: Room,
    /// The memory that successes take.
    delivered: Room,
    /// How many failures were left out since the last write.
    left_out: u64,
}

/// How much memory attempts take while they wait to be written.
#[derive(Debug, Default)]
struct Room {
    attempts: usize,
    body_bytes: usize,
}

impl History {
    /// A history in which nothing has been gathered yet.
    pub fn new(rules: config::History) -> Self {
        Self {
            rules,
            pending: Mutex::default(),
        }
    }

    /// Gathers an attempt, if the rules want it and there is room.
    pub fn record(&self, attempt: Attempt) {
        self.pending().add(attempt, &self.rules);
    }

    /// Writes what is gathered and deletes what is too old, again and again. It never returns.
    pub async fn keep_writing(&self, store: &Store) {
        let mut writes = tokio::time::interval(PAUSE);
        let mut sweeps = tokio::time::interval(SWEEP);
        writes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = writes.tick() => self.write(store, WRITTEN_AT_ONCE).await,
                _ = sweeps.tick() => {
                    if let Err(error) = store.forget_attempts(&self.rules).await {
                        tracing::warn!(
                            error = format!("{error:#}"),
                            "old attempts were not deleted; tried again later"
                        );
                    }
                    if let Err(error) = store.forget_acts().await {
                        tracing::warn!(
                            error = format!("{error:#}"),
                            "old acts on record were not deleted; tried again later"
                        );
                    }
                }
            }
        }
    }

    /// Writes all that is gathered.
    pub async fn write_all(&self, store: &Store) {
        self.write(store, usize::MAX).await;
    }

    /// Writes all failures and about as many successes as given. What cannot be written is lost, because no delivery
    /// may wait for history.
    async fn write(&self, store: &Store, successes: usize) {
        let (attempts, left_out) = self.pending().take(successes);
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "more failed than history can hold; the rest is not in it"
            );
        }
        if attempts.is_empty() {
            return;
        }
        if let Err(error) = store.record_attempts(&attempts, &self.rules).await {
            tracing::warn!(
                error = format!("{error:#}"),
                attempts = attempts.len(),
                "history was not written; deliveries are not concerned"
            );
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }
}

impl Pending {
    fn add(&mut self, attempt: Attempt, rules: &config::History) {
        if attempt.delivered {
            self.add_success(attempt, rules);
        } else if self.failed.is_full() {
            self.left_out += 1;
        } else {
            self.failures.push(self.failed.enter(attempt, rules));
        }
    }

    fn add_success(&mut self, attempt: Attempt, rules: &config::History) {
        let most = usize::try_from(rules.successes).unwrap_or(usize::MAX);
        if most == 0 {
            return;
        }
        let id = &attempt.hook.id;
        let successes = match self.successes.get_mut(id) {
            Some(successes) => successes,
            // Successes are samples, and so this one is not counted as left out.
            None if self.delivered.is_full() => return,
            None => {
                self.turns.push_back(id.clone());
                // Of most hooks there is one.
                let few = || VecDeque::with_capacity(1);
                self.successes.entry(id.clone()).or_insert_with(few)
            }
        };
        if (successes.len() >= most || self.delivered.is_full())
            && let Some(oldest) = successes.pop_front()
        {
            self.delivered.leave(&oldest);
        }
        successes.push_back(self.delivered.enter(attempt, rules));
    }

    /// Takes all failures, and successes hook by hook until there are as many as given. Returns them in the order in
    /// which the requests were begun, and how many failures were left out.
    fn take(&mut self, successes: usize) -> (Vec<Attempt>, u64) {
        let mut all = std::mem::take(&mut self.failures);
        self.failed = Room::default();
        let failures = all.len();
        while all.len() - failures < successes
            && let Some(hook) = self.turns.pop_front()
        {
            let of_hook = self.successes.remove(&hook).unwrap_or_default();
            of_hook
                .iter()
                .for_each(|success| self.delivered.leave(success));
            all.extend(of_hook);
        }
        all.sort_by_key(|attempt| attempt.started_at);
        (all, std::mem::take(&mut self.left_out))
    }
}

impl Room {
    fn is_full(&self) -> bool {
        self.attempts >= ATTEMPTS
    }

    /// Counts an attempt that has come, and drops its body where that is not to be kept or does not fit.
    fn enter(&mut self, mut attempt: Attempt, rules: &config::History) -> Attempt {
        let room = LARGEST_BODY.min(BODIES.saturating_sub(self.body_bytes));
        attempt.body = attempt
            .body
            .filter(|body| rules.bodies && body.len() <= room);
        self.attempts += 1;
        self.body_bytes += bytes(&attempt);
        attempt
    }

    /// Counts an attempt out that has gone.
    fn leave(&mut self, attempt: &Attempt) {
        self.attempts -= 1;
        self.body_bytes -= bytes(attempt);
    }
}

fn bytes(attempt: &Attempt) -> usize {
    attempt.body.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use url::Url;

    use super::*;
    use crate::{
        config::Delivery,
        delivery::{lane::Place, whose::Whose},
        event::Position,
        hook::{Hook, Origin},
        postgres::Lsn,
        send::{
            answer::{Answer, Failure},
            target::Target,
        },
    };

    fn attempt(hook: &Arc<Hook>, number: u32, delivered: bool, body: usize) -> Attempt {
        Attempt {
            hook: Arc::clone(hook),
            delivery: "msg_1".into(),
            batch: None,
            event: "book.added".into(),
            position: Position {
                commit_lsn: Lsn(1),
                index: 0,
            },
            commit_time: SystemTime::UNIX_EPOCH,
            whose: Whose::Everyone,
            about: Arc::default(),
            place: Place::One(0),
            content_type: "application/json".into(),
            number,
            started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(number.into()),
            took: Duration::from_millis(1),
            delivered,
            body: Some(Bytes::from(vec![b' '; body])),
            answer: Answer::Failed(Failure::Closed),
        }
    }

    fn hook() -> Arc<Hook> {
        hook_called("1")
    }

    fn hook_called(id: &str) -> Arc<Hook> {
        Arc::new(Hook {
            id: HookId::new(id, true),
            owner: None,
            events: [].into(),
            filter: None,
            target: Target::new(&Url::parse("https://example.com/").unwrap(), None, &[]).unwrap(),
            delivery: Arc::new(Delivery::default()),
            since: None,
            active: true,
            origin: Origin::Table,
        })
    }

    #[test]
    fn of_successes_the_last_are_kept_and_of_failures_all_up_to_a_bound() {
        let (hook, rules) = (
            hook(),
            config::History {
                successes: 2,
                ..Default::default()
            },
        );
        let mut pending = Pending::default();
        for number in 1..=5 {
            pending.add(attempt(&hook, number, true, 10), &rules);
        }
        pending.add(attempt(&hook, 6, false, 10), &rules);
        assert_eq!(pending.delivered.body_bytes + pending.failed.body_bytes, 30);
        let (kept, left_out) = pending.take(usize::MAX);
        let numbers: Vec<u32> = kept.iter().map(|attempt| attempt.number).collect();
        assert_eq!((numbers, left_out), (vec![4, 5, 6], 0));
        for number in 1..=ATTEMPTS as u32 + 3 {
            pending.add(attempt(&hook, number, false, 10), &rules);
        }
        pending.add(attempt(&hook, 1, true, 10), &rules);
        let (kept, left_out) = pending.take(usize::MAX);
        assert_eq!((kept.len(), left_out), (ATTEMPTS + 1, 3));
    }

    #[test]
    fn busy_hooks_take_turns_and_a_failure_waits_for_none_of_them() {
        let hooks = ["1", "2", "3"].map(hook_called);
        let rules = config::History::default();
        let mut pending = Pending::default();
        for number in 1..=20 {
            for hook in &hooks {
                pending.add(attempt(hook, number, true, 10), &rules);
            }
        }
        pending.add(attempt(&hooks[2], 99, false, 10), &rules);
        let mut turn = || {
            let (kept, _) = pending.take(20);
            let ids = kept.iter().map(|attempt| attempt.hook.id.to_string());
            let mut ids: Vec<String> = ids.collect();
            ids.dedup();
            (kept.len(), ids)
        };
        assert_eq!(turn(), (21, vec!["1".to_owned(), "3".to_owned()]));
        assert_eq!(turn(), (20, vec!["2".to_owned()]));
        assert_eq!(turn(), (20, vec!["3".to_owned()]));
        assert_eq!(turn(), (0, vec![]));
        assert_eq!(
            (pending.delivered.attempts, pending.delivered.body_bytes),
            (0, 0)
        );
    }

    #[test]
    fn a_busy_hook_keeps_its_last_success_where_there_is_no_room_for_more() {
        let (busy, rules) = (hook(), config::History::default());
        let mut pending = Pending::default();
        pending.add(attempt(&busy, 1, true, 10), &rules);
        pending.delivered.attempts = ATTEMPTS;
        pending.add(attempt(&busy, 2, true, 10), &rules);
        pending.add(attempt(&hook_called("2"), 3, true, 10), &rules);
        let (kept, _) = pending.take(usize::MAX);
        let numbers: Vec<u32> = kept.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, [2]);
    }

    #[test]
    fn bodies_have_a_budget_of_their_own() {
        let (hook, rules) = (hook(), config::History::default());
        let mut pending = Pending::default();
        pending.add(attempt(&hook, 1, false, LARGEST_BODY + 1), &rules);
        for number in 2..=100 {
            pending.add(attempt(&hook, number, false, LARGEST_BODY), &rules);
        }
        assert_eq!(pending.failed.body_bytes, BODIES);
        let (kept, _) = pending.take(usize::MAX);
        assert_eq!(kept.len(), 100, "the attempts are kept without them");
        assert!(kept[0].body.is_none() && kept[1].body.is_some());
        let none = config::History {
            bodies: false,
            successes: 0,
            ..rules
        };
        pending.add(attempt(&hook, 1, false, 1), &none);
        pending.add(attempt(&hook, 2, true, 1), &none);
        let (kept, _) = pending.take(usize::MAX);
        assert!(kept.len() == 1 && kept[0].body.is_none());
    }
}
