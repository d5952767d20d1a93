//! From messages of the stream to steps: what a message means, with what only the session knows.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio_postgres::Client;

use super::Reader;
use crate::{
    change::{Change, RowChange, Transaction},
    delivery::ledger::Opened,
    enrich::Added,
    event::{Position, Rule, TableEvents},
    message::{self, Message},
    postgres::{Lsn, pgoutput, relation::Relation, stream::Received},
};

/// What one replication session has told.
pub(super) struct Session {
    pub(super) tables: HashMap<u32, Arc<Table>>,
    pub(super) transaction: Option<Open>,
    /// What the ledger said of the transaction whose changes are handed on.
    pub(super) opened: Opened,
}

/// The transaction that is being read.
pub(super) struct Open {
    pub(super) transaction: Arc<Transaction>,
    /// The number of its next event.
    pub(super) next_event: u64,
}

/// A table of the stream, and what its rows mean to us.
pub(super) struct Table {
    pub(super) relation: Arc<Relation>,
    pub(super) events: Option<Arc<TableEvents>>,
    pub(super) holds_hooks: bool,
}

/// A message, as far as it matters.
pub(super) enum Step {
    Begin(Lsn),
    Row(Box<Draft>),
    Message(Box<Note>),
    Commit(Lsn),
    Idle(Lsn),
}

/// A message on its way to becoming an event.
pub(super) struct Note {
    pub(super) message: Message,
    pub(super) name: Arc<str>,
    pub(super) all_owners: bool,
    pub(super) position: Position,
    pub(super) commit_time: SystemTime,
}

/// A change on its way to becoming events.
pub(super) struct Draft {
    pub(super) change: Change,
    pub(super) table: Arc<Table>,
    /// The number of the first event that it may give rise to.
    pub(super) first_event: u64,
    /// Which of its table's rules it satisfies, `when` not yet asked.
    pub(super) rules: Vec<usize>,
    /// What was looked up beside the row.
    pub(super) added: Vec<Added>,
}

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
                let ours = prefix == message::PREFIX;
                return Ok(ours.then(|| self.note(transactional, &content)).flatten());
            }
            pgoutput::Message::Origin { .. } | pgoutput::Message::Type { .. } => return Ok(None),
        };
        self.draft(oid, row)
            .map(|draft| Some(Step::Row(Box::new(draft))))
    }

    /// What SQL says. It takes a number among the events of its transaction whatever it says, so that numbers depend on the
    /// WAL alone.
    fn note(&mut self, transactional: bool, content: &Bytes) -> Option<Step> {
        let open = self.session.transaction.as_mut().filter(|_| transactional);
        let Some(open) = open else {
            tracing::warn!(
                "a message of SQL outside of any transaction is left out; pg_logical_emit_message needs true as its first argument"
            );
            return None;
        };
        let position = Position {
            commit_lsn: open.transaction.commit_lsn,
            index: open.next_event,
        };
        open.next_event += 1;
        let known = Message::parse(content).and_then(|message| {
            let (name, all_owners) = self
                .events
                .of_message(&message.event)
                .ok_or_else(|| format!("[events] has no custom event {:?}", message.event))?;
            Ok((Arc::clone(name), all_owners, message))
        });
        match known {
            Ok((name, all_owners, message)) => Some(Step::Message(Box::new(Note {
                message,
                name,
                all_owners,
                position,
                commit_time: open.transaction.commit_time,
            }))),
            Err(reason) => {
                self.misunderstood += 1;
                tracing::warn!(
                    reason,
                    commit_lsn = %position.commit_lsn,
                    so_far = self.misunderstood,
                    "a message of SQL is no event, and is left out"
                );
                None
            }
        }
    }

    fn draft(&mut self, oid: u32, row: RowChange) -> Result<Draft> {
        let table = self.session.tables.get(&oid);
        let table =
            Arc::clone(table.with_context(|| {
                format!("a row of table {oid}, of which the stream has not told")
            })?);
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
        let first_event = open.next_event;
        let rules = table
            .events
            .as_ref()
            .map_or(&[][..], |events| events.rules(&change.row));
        open.next_event += rules.len() as u64;
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
        })
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            tables: HashMap::new(),
            transaction: None,
            opened: Opened::Known,
        }
    }
}

impl Draft {
    pub(super) fn rules(&self) -> impl Iterator<Item = (usize, &Rule)> {
        let rules = self
            .table
            .events
            .as_ref()
            .map_or(&[][..], |events| events.rules(&self.change.row));
        self.rules
            .iter()
            .filter_map(|number| Some((*number, rules.get(*number)?)))
    }
}
