//! From messages of the stream to steps.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio_postgres::Client;

use super::{
    Reader,
    session::Table,
    step::{ChangeDraft, Permissions, Step},
};
use crate::{
    change::{Change, RowChange, Transaction},
    lookup::versions::Reread,
    message,
    postgres::{
        pgoutput::{Message, RelationMessage},
        relation::Relation,
        stream::Received,
    },
};

impl Reader {
    /// Interprets a message with what only the session knows: the tables' columns, the open transaction. `None` where
    /// nothing follows from the message.
    ///
    /// # Errors
    /// When something cannot be looked up, or the message does not follow from those before it.
    pub(super) async fn interpret(
        &mut self,
        received: Received,
        client: &Client,
    ) -> Result<Option<Step>> {
        let message = match received {
            Received::Keepalive { wal_end } => return Ok(Some(Step::Idle(wal_end))),
            Received::Message(message) => message,
        };
        match message {
            Message::Begin {
                commit_lsn,
                commit_time,
                xid,
            } => {
                self.session.begin(Transaction {
                    commit_lsn,
                    commit_time,
                    xid,
                });
                Ok(Some(Step::Begin(commit_lsn)))
            }
            Message::Commit { end_lsn, .. } => {
                self.session.transaction = None;
                Ok(Some(Step::Commit(end_lsn)))
            }
            Message::Relation(message) => {
                self.add_table(message, client).await?;
                Ok(None)
            }
            Message::Insert { relation, new } => self.row(relation, RowChange::Insert { new }),
            Message::Update { relation, old, new } => {
                self.row(relation, RowChange::Update { old, new })
            }
            Message::Delete { relation, old } => self.row(relation, RowChange::Delete { old }),
            Message::Truncate { relations, .. } => {
                self.warn_truncated(&relations);
                Ok(None)
            }
            Message::Message {
                transactional,
                prefix,
                content,
                ..
            } => match &*prefix {
                message::BACKFILL => {
                    self.interpret_backfill(transactional, &content, client)
                        .await
                }
                message::PREFIX => {
                    self.interpret_message(transactional, &content, client)
                        .await
                }
                _ => Ok(None),
            },
            Message::Origin { .. } | Message::Type { .. } => Ok(None),
        }
    }

    /// Adds a table that the stream has described, completed from the catalog.
    async fn add_table(&mut self, message: RelationMessage, client: &Client) -> Result<()> {
        let relation = Relation::describe(client, message)
            .await
            .context("read what a table looks like")?;
        let name = relation.table();
        let events = self.events.of_table(&name).cloned();
        if let Some(events) = &events {
            self.hooks.learn(events, &relation);
        }
        let owners = self.hooks.owner_exists.as_ref();
        let table = Table {
            events,
            holds_hooks: name == self.hooks.columns.table,
            holds_owners: owners.is_some_and(|exists| exists.table == name),
            relation: Arc::new(relation),
        };
        let tables = &mut self.session.tables;
        tables.insert(table.relation.oid, Arc::new(table));
        Ok(())
    }

    fn warn_truncated(&self, oids: &[u32]) {
        let tables = oids.iter().filter_map(|oid| self.session.tables.get(oid));
        let names: Vec<String> = tables
            .map(|table| table.relation.table().to_string())
            .collect();
        tracing::warn!(
            tables = names.join(", "),
            "truncated; no event tells of it, row by row or otherwise"
        );
    }

    /// The change of a row.
    fn row(&mut self, oid: u32, row: RowChange) -> Result<Option<Step>> {
        let table = self.session.tables.get(&oid);
        let table = table
            .with_context(|| format!("a row of table {oid}, of which the stream has not told"))?;
        let draft = self.draft_of(Arc::clone(table), row)?;
        Ok(Some(Step::Row(Box::new(draft))))
    }

    /// Drafts a change of `table`. It takes an event number for each rule of the table for this kind of change, whether
    /// the rule applies or not, so that numbers depend on the WAL and hooks.toml alone.
    ///
    /// # Errors
    /// When no transaction is open.
    pub(super) fn draft_of(&mut self, table: Arc<Table>, row: RowChange) -> Result<ChangeDraft> {
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
        Ok(ChangeDraft {
            change,
            table,
            first_event,
            rules,
            reread: Reread::Nothing,
            added: Vec::new(),
            permissions: Permissions::new(),
            only: None,
        })
    }
}
