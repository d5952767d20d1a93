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

use anyhow::Result;
use bytes::Bytes;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::{Reader, step::ChangeDraft};
use crate::{
    backoff::Backoff,
    delivery::ledger::Ticket,
    hook::{Hook, HookId},
    meters::Meters,
    postgres::{TableName, tuple::Value},
};

/// How long a change waits. This is as long as a migration should hold its lock.
const PATIENCE: Duration = Duration::from_secs(30);
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
struct Held {
    draft: ChangeDraft,
    /// The number of the first event that no earlier session has delivered.
    skip: u64,
    /// Its place among all changes that have waited.
    number: u64,
    since: Instant,
    ticket: Ticket,
}

/// The number of a change whose turn has come after it had waited. It stays in its line until all of it is handed on, so
/// that a session which ends meanwhile loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waited(u64);

impl Waiting {
    pub(super) fn new(meters: Arc<Meters>) -> Self {
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

    /// Do changes of this table wait?
    pub(super) fn has(&self, table: &TableName) -> bool {
        self.lines.contains_key(table)
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

    /// A ticket for a delivery of a change that has waited; `None`: it waits no more.
    pub(super) fn ticket(&self, waited: Waited, event: u64) -> Option<Ticket> {
        let mut first = self.lines.values().filter_map(|line| line.changes.front());
        let held = first.find(|held| held.number == waited.0)?;
        Some(held.ticket.of_event(event))
    }

    fn push(&mut self, draft: ChangeDraft, skip: u64, ticket: Ticket) {
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
            number: self.next,
            since: Instant::now(),
            ticket,
        });
        self.next += 1;
        self.measure();
    }

    /// Takes off the first change of a table, which has been delivered.
    fn pop(&mut self, table: &TableName) {
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
    fn postpone(&mut self, table: &TableName, took: Duration) {
        if let Some(line) = self.lines.get_mut(table) {
            line.looks = line.looks.saturating_add(1);
            let pause = PAUSES.pause(line.looks).max(took * SHARE);
            line.next_look = Instant::now() + pause;
        }
    }

    fn due(&self) -> Vec<TableName> {
        let now = Instant::now();
        let due = self.lines.iter().filter(|(_, line)| line.next_look <= now);
        due.map(|(table, _)| table.clone()).collect()
    }

    fn front(&self, table: &TableName) -> Vec<ChangeDraft> {
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

impl Reader {
    /// Must a change wait: because it was not answered, or because one of the same table waits before it?
    pub(super) fn has_to_wait(&self, draft: &ChangeDraft) -> bool {
        let has_listener = draft
            .rules()
            .any(|(_, rule)| self.hooks.index.has_hooks_for(&rule.name));
        let waits = draft.unanswered.is_some() || self.waiting.has(&draft.change.relation.table());
        waits && has_listener
    }

    /// Sets a change aside until the database answers for it.
    pub(super) fn set_aside(&mut self, mut draft: ChangeDraft, skip: u64) {
        if let Some(refusal) = &draft.unanswered
            && !self.waiting.has(&draft.change.relation.table())
        {
            tracing::warn!(
                table = %draft.change.relation.table(),
                reason = refusal.reason,
                "the database cannot answer for rows of this table now; they wait for it, for {PATIENCE:?} at most"
            );
        }
        // The values are slices of what the stream has received, which would stay in memory with them.
        draft.change.map_values(|value| match value {
            Value::Text(text) => *value = Value::Text(Bytes::copy_from_slice(text)),
            Value::Null | Value::Unchanged => {}
        });
        let ticket = self.ledger.ticket(draft.first_event);
        self.waiting.push(draft, skip, ticket);
    }

    /// When to call [`look_again`](Self::look_again); `None`: nothing waits.
    pub fn next_look(&self) -> Option<Instant> {
        self.waiting.next_look()
    }

    /// Asks again about the changes that wait, and delivers those that are answered or have waited long enough.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn look_again(&mut self, client: &Client) -> Result<()> {
        self.look_at_due(client).await?;
        self.owners.forget();
        Ok(())
    }

    async fn look_at_due(&mut self, client: &Client) -> Result<()> {
        for table in self.waiting.due() {
            self.look_again_at(&table, client).await?;
        }
        Ok(())
    }

    /// Waits until there is room for more changes that wait, or until none waits where hooks want all events in order.
    pub(super) async fn wait_for_room(&mut self, client: &Client) -> Result<()> {
        while let Some(next) = self.waiting.next_look()
            && (self.waiting.is_full() || self.orders_hooks)
        {
            tokio::time::sleep_until(next).await;
            // The owners that have been found for the rest of the batch are kept.
            self.look_at_due(client).await?;
        }
        Ok(())
    }

    async fn look_again_at(&mut self, table: &TableName, client: &Client) -> Result<()> {
        let begun = Instant::now();
        let mut drafts = self.waiting.front(table);
        let ready = self
            .look_up(&mut drafts.iter_mut().collect::<Vec<_>>(), client)
            .await?;
        drafts.truncate(ready);
        let took = begun.elapsed();
        for mut draft in drafts {
            let line = self.waiting.lines.get(table);
            let Some(held) = line.and_then(|line| line.changes.front()) else {
                return Ok(());
            };
            let (skip, number, since) = (held.skip, held.number, held.since);
            if let Some(refusal) = &draft.unanswered {
                if since.elapsed() < PATIENCE {
                    self.waiting.postpone(table, took);
                    return Ok(());
                }
                let what = format!(
                    "the database gave no answer for a row in {PATIENCE:?}, and what was asked for is left out: {}",
                    refusal.reason
                );
                self.tell_once(table, "waited", &what);
                draft.added = self.enrichment.unknown(table);
            }
            self.deliver_events(draft, skip, Some(Waited(number)))
                .await?;
            self.waiting.pop(table);
        }
        Ok(())
    }
}
