//! From messages of the stream to steps: what a message means, with what only the session knows.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio_postgres::Client;

use super::{
    Reader,
    session::{Open, Table},
    step::{Draft, Seen, Step},
};
use crate::{
    change::{Change, RowChange, Transaction},
    message,
    postgres::{pgoutput, relation::Relation, stream::Received},
};

impl Reader {
    /// What a message means, with what only the session knows: the table's columns, the transaction.
    pub(super) async fn step(
        &mut self,
        received: Received,
        client: &Client,
    ) -> Result<Option<Step>> {
        let message = match received {
            Received::Keepalive { wal_end } => return Ok(Some(Step::Idle(wal_end))),
            Received::Message(message) => message,
        };
        let (oid, row) = match message {
            pgoutput::Message::Begin {
                commit_lsn,
                commit_time,
                xid,
            } => {
                let transaction = Arc::new(Transaction {
                    commit_lsn,
                    commit_time,
                    xid,
                });
                self.session.transaction = Some(Open {
                    transaction,
                    next_event: 0,
                });
                return Ok(Some(Step::Begin(commit_lsn)));
            }
            pgoutput::Message::Commit { end_lsn, .. } => {
                self.session.transaction = None;
                return Ok(Some(Step::Commit(end_lsn)));
            }
            pgoutput::Message::Relation(message) => {
                let relation = Relation::describe(client, message)
                    .await
                    .context("read what a table looks like")?;
                let name = relation.table();
                let events = self.events.of_table(&name).cloned();
                if let Some(events) = &events {
                    self.hooks.learn(events, &relation);
                }
                let table = Table {
                    events,
                    holds_hooks: name == self.hooks.columns.table,
                    holds_owners: self
                        .hooks
                        .owner_exists
                        .as_ref()
                        .is_some_and(|exists| exists.table == name),
                    relation: Arc::new(relation),
                };
                self.session
                    .tables
                    .insert(table.relation.oid, Arc::new(table));
                return Ok(None);
            }
            pgoutput::Message::Insert { relation, new } => (relation, RowChange::Insert { new }),
            pgoutput::Message::Update { relation, old, new } => {
                (relation, RowChange::Update { old, new })
            }
            pgoutput::Message::Delete { relation, old } => (relation, RowChange::Delete { old }),
            pgoutput::Message::Truncate { relations, .. } => {
                let tables = relations
                    .iter()
                    .filter_map(|oid| self.session.tables.get(oid));
                let names: Vec<String> = tables
                    .map(|table| table.relation.table().to_string())
                    .collect();
                tracing::warn!(
                    tables = names.join(", "),
                    "truncated; no event tells of it, row by row or otherwise"
                );
                return Ok(None);
            }
            pgoutput::Message::Message {
                transactional,
                prefix,
                content,
                ..
            } => {
                if prefix == message::BACKFILL {
                    return self.refill(transactional, &content, client).await;
                }
                if prefix != message::PREFIX {
                    return Ok(None);
                }
                return self.hear(transactional, &content, client).await;
            }
            pgoutput::Message::Origin { .. } | pgoutput::Message::Type { .. } => return Ok(None),
        };
        self.draft(oid, row)
            .map(|draft| Some(Step::Row(Box::new(draft))))
    }

    fn draft(&mut self, oid: u32, row: RowChange) -> Result<Draft> {
        let table = self.session.tables.get(&oid);
        let table =
            Arc::clone(table.with_context(|| {
                format!("a row of table {oid}, of which the stream has not told")
            })?);
        self.draft_of(table, row)
    }

    /// The draft of what happened to a row of `table`. It takes a number for each of the table's rules for that.
    pub(super) fn draft_of(&mut self, table: Arc<Table>, row: RowChange) -> Result<Draft> {
        let open = self
            .session
            .transaction
            .as_mut()
            .context("a row outside of any transaction")?;
        let mut change = Change {
            relation: Arc::clone(&table.relation),
            row,
            transaction: Arc::clone(&open.transaction),
        };
        change.pad();
        let rules = table
            .events
            .as_ref()
            .map_or(&[][..], |events| events.rules(&change.row));
        let first_event = open.take_numbers(rules.len() as u64).index;
        let touched = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.touches(&change));
        let rules = touched.map(|(number, _)| number).collect();
        change.fill_from_old();
        Ok(Draft {
            change,
            table,
            first_event,
            rules,
            added: Vec::new(),
            seen: Seen::new(),
            only: None,
        })
    }
}
