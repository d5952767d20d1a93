//! Changes that wait because the database cannot answer for them now: a table is locked, or something timed out.
//!
//! Only the table whose look-up failed waits; the others go on. Its changes stay in order, are asked about again with
//! growing pauses, and hold a ticket each, so that a restart reads them again. What is not answered in time counts as
//! unknown. Hooks that change meanwhile are remembered as they were: a change is heard by the hooks of its own moment.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use super::step::ChangeDraft;
use crate::{
    backoff::Backoff,
    delivery::ledger::Ticket,
    hook::{Hook, HookId},
    meters::Meters,
    postgres::{TableName, relation::Relation},
};

/// How long to wait between two looks.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// By how much the pause is longer than the look, which everybody waits for.
const SHARE: u32 = 4;
/// The most changes that are asked about together.
const MANY: usize = 512;
/// The most changes that wait, and the most bytes that they have. When there are more, everybody waits.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 8 << 20;

/// The changes that wait, by table.
pub(super) struct Waiting {
    lines: HashMap<TableName, Line>,
    /// Hooks as they were before they changed, with the number of the next change to wait at that time.
    former: Vec<(u64, HookId, Option<Arc<Hook>>)>,
    next: u64,
    changes: usize,
    bytes: usize,
    meters: Arc<Meters>,
}

/// The changes of one table, in order.
struct Line {
    changes: VecDeque<Held>,
    looks: u32,
    next_look: Instant,
}

/// A change that waits.
pub(super) struct Held {
    draft: ChangeDraft,
    /// The number of the first event that no earlier session has delivered.
    pub(super) skip: u64,
    /// Its place among all changes that have waited.
    pub(super) number: Waited,
    pub(super) since: Instant,
    ticket: Ticket,
}

/// The number of a change that waits. It stays in its line until all of it is handed on, so
/// that a session which ends meanwhile loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waited(u64);

impl Waiting {
    pub(super) fn new(meters: Arc<Meters>) -> Self {
        meters.changes_waiting.store(0, Relaxed);
        Self {
            lines: HashMap::new(),
            former: Vec::new(),
            next: 0,
            changes: 0,
            bytes: 0,
            meters,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Is there no room for more?
    pub(super) fn is_full(&self) -> bool {
        self.changes >= MOST || self.bytes >= MOST_BYTES
    }

    /// Do changes of this relation's table wait?
    pub(super) fn has(&self, relation: &Relation) -> bool {
        !self.lines.is_empty() && self.lines.contains_key(&relation.table())
    }

    /// The tables whose changes wait.
    pub(super) fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.lines.keys()
    }

    /// When to look again; `None`: nothing waits.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.lines.values().map(|line| line.next_look).min()
    }

    /// Remembers what a hook was, before it changes.
    pub(super) fn note(&mut self, id: &HookId, hook: Option<&Arc<Hook>>) {
        if !self.is_empty() {
            self.former.push((self.next, id.clone(), hook.cloned()));
        }
    }

    /// The hooks that hear a change, from those that would hear it now. `hears` says whether a hook is one of them.
    pub(super) fn hooks_then(
        &self,
        waited: Waited,
        mut hooks: Vec<Arc<Hook>>,
        hears: impl Fn(&Hook) -> bool,
    ) -> Vec<Arc<Hook>> {
        let mut changed: Vec<&HookId> = Vec::new();
        for (_, id, hook) in self.former.iter().filter(|(next, ..)| *next > waited.0) {
            if changed.contains(&id) {
                continue;
            }
            changed.push(id);
            hooks.retain(|other| other.id != *id);
            hooks.extend(hook.iter().filter(|hook| hears(hook)).cloned());
        }
        hooks
    }

    /// The changes that wait and of which is not known whose they are.
    pub(super) fn ownerless(&mut self) -> impl Iterator<Item = &mut ChangeDraft> {
        let changes = self.lines.values_mut().flat_map(|line| &mut line.changes);
        let drafts = changes.map(|held| &mut held.draft);
        drafts.filter(|draft| draft.whose.is_none())
    }

    /// The first change of a table.
    pub(super) fn first(&self, table: &TableName) -> Option<&Held> {
        self.lines.get(table)?.changes.front()
    }

    /// A ticket for a delivery of a change that has waited; `None`: it waits no more.
    pub(super) fn ticket(&self, waited: Waited, event: u64, hook: &HookId) -> Option<Ticket> {
        let mut first = self.lines.values().filter_map(|line| line.changes.front());
        let held = first.find(|held| held.number == waited)?;
        Some(held.ticket.of_event(event, hook))
    }

    /// Adds a change behind the others of its table.
    pub(super) fn push(&mut self, draft: ChangeDraft, skip: u64, ticket: Ticket) {
        self.changes += 1;
        self.bytes += draft.change.bytes();
        let line = self.lines.entry(draft.change.relation.table());
        let line = line.or_insert_with(|| Line {
            changes: VecDeque::new(),
            looks: 0,
            next_look: Instant::now() + PAUSES.pause(1),
        });
        line.changes.push_back(Held {
            draft,
            skip,
            number: Waited(self.next),
            since: Instant::now(),
            ticket,
        });
        self.next += 1;
        self.measure();
    }

    /// Takes off the first change of a table, which has been delivered.
    pub(super) fn pop(&mut self, table: &TableName) {
        let Some(line) = self.lines.get_mut(table) else {
            return;
        };
        if let Some(held) = line.changes.pop_front() {
            self.changes -= 1;
            self.bytes -= held.draft.change.bytes();
            held.ticket.settle();
        }
        line.looks = 0;
        line.next_look = Instant::now();
        if line.changes.is_empty() {
            self.lines.remove(table);
        }
        if self.lines.is_empty() {
            self.former.clear();
        }
        self.measure();
    }

    /// Puts off the next look at a table after one that took so long.
    pub(super) fn postpone(&mut self, table: &TableName, took: Duration) {
        if let Some(line) = self.lines.get_mut(table) {
            line.looks = line.looks.saturating_add(1);
            let pause = PAUSES.pause(line.looks).max(took * SHARE);
            line.next_look = Instant::now() + pause;
        }
    }

    /// The tables that it is time to look at again.
    pub(super) fn due(&self) -> Vec<TableName> {
        let now = Instant::now();
        let due = self.lines.iter().filter(|(_, line)| line.next_look <= now);
        due.map(|(table, _)| table.clone()).collect()
    }

    /// The first changes of a table, which are asked about together.
    pub(super) fn front(&self, table: &TableName) -> Vec<ChangeDraft> {
        let changes = self
            .lines
            .get(table)
            .into_iter()
            .flat_map(|line| &line.changes);
        changes.take(MANY).map(|held| held.draft.clone()).collect()
    }

    fn measure(&self) {
        let changes = i64::try_from(self.changes).unwrap_or(i64::MAX);
        self.meters.changes_waiting.store(changes, Relaxed);
    }
}
