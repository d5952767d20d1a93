//! Setting changes aside for which the database cannot answer now, and asking about them again.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::{Reader, step::ChangeDraft};
use crate::{
    lookup::owner::Ownership,
    postgres::{TableName, tuple::Value},
};

/// How long a change waits. This is as long as a migration should hold its lock.
const PATIENCE: Duration = Duration::from_secs(30);

impl Reader {
    /// Must a change wait: because it was not answered, or because one of the same table waits before it?
    pub(super) fn has_to_wait(&self, draft: &ChangeDraft) -> bool {
        let has_listener = draft
            .rules()
            .any(|(_, rule)| self.hooks.index.has_hooks_for(&rule.name));
        let waits = draft.unanswered.is_some() || self.waiting.has(&draft.change.relation);
        waits && has_listener
    }

    /// Sets a change aside until the database answers for it.
    pub(super) fn set_aside(&mut self, mut draft: ChangeDraft, skip: u64) {
        if let Some(refusal) = &draft.unanswered
            && !self.waiting.has(&draft.change.relation)
        {
            tracing::warn!(
                table = %draft.change.relation.table(),
                reason = refusal.reason,
                "the database cannot answer for rows of this table now; they wait for it, for {PATIENCE:?} at most"
            );
        }
        draft.whose = self.found_owner(&draft);
        // The values are slices of what the stream has received, which would stay in memory with them.
        draft.change.map_values(|value| match value {
            Value::Text(text) => *value = Value::Text(Bytes::copy_from_slice(text)),
            Value::Null | Value::Unchanged => {}
        });
        let ticket = self.ledger.ticket_of_event(draft.first_event);
        self.waiting.push(draft, skip, ticket);
    }

    /// When to call [`look_again`](Self::look_again); `None`: nothing waits.
    pub fn next_look(&self) -> Option<Instant> {
        let looks = [
            self.waiting.next_look(),
            self.until_told(),
            self.crowds.next_turn(),
        ];
        looks.into_iter().flatten().min()
    }

    /// Asks again about the changes that wait, and delivers those that are answered or have waited long enough. Gives
    /// the next crowd its turn.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn look_again(&mut self, client: &Client) -> Result<()> {
        if self
            .until_told()
            .is_some_and(|until| until <= Instant::now())
        {
            self.read(Vec::new(), client).await?;
        }
        self.look_at_due(client).await?;
        self.go_on_with_crowds().await;
        self.owners.forget();
        self.casts.forget();
        Ok(())
    }

    async fn look_at_due(&mut self, client: &Client) -> Result<()> {
        for table in self.waiting.due() {
            self.look_again_at(&table, client).await?;
        }
        Ok(())
    }

    /// Waits until there is room for more changes that wait, or until none waits of a table of which a hook wants all
    /// events in order: what comes next may be for that hook, too.
    pub(super) async fn wait_for_room(&mut self, client: &Client) -> Result<()> {
        while let Some(next) = self.waiting.next_look()
            && (self.waiting.is_full() || self.is_order_waiting())
        {
            tokio::time::sleep_until(next).await;
            // The owners that have been found for the rest of the batch are kept.
            self.look_at_due(client).await?;
        }
        Ok(())
    }

    /// Do changes wait whose events a hook wants in order with all others that it hears?
    fn is_order_waiting(&self) -> bool {
        let tables = self.waiting.tables();
        let events = tables.filter_map(|table| self.events.of_table(table));
        let mut names = events.flat_map(|events| events.names());
        names.any(|name| self.hooks.index.is_ordered(name))
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
            let Some(held) = self.waiting.first(table) else {
                return Ok(());
            };
            let (skip, number, since) = (held.skip, held.number, held.since);
            // The answer may be later than the row, which the stream tells as soon as it has come to it.
            if self.ownership(&draft) == Ownership::Untold && since.elapsed() < PATIENCE {
                self.waiting.postpone(table, took);
                return Ok(());
            }
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
            self.deliver_events(draft, skip, Some(number)).await?;
            self.waiting.pop(table);
        }
        Ok(())
    }
}
