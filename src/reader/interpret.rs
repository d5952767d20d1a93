//! From messages of the stream to steps.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio_postgres::Client;

use super::{
    Reader,
    session::Table,
    step::{ChangeDraft, Permissions, Step},
};
use crate::{
    change::{Change, RowChange, Transaction},
    lookup::{partitions::Partitions, versions::Reread},
    message::{self, Envelope},
    postgres::{
        TableName,
        division::Division,
        pgoutput::{Message, RelationMessage},
        relation::Relation,
        stream::Received,
        tuple::Image,
    },
};

/// How long the types of a table are not read again after that was of no avail.
const TYPES_AGAIN: Duration = Duration::from_secs(1);

/// Do the images of a row fit the types of the table's columns?
fn fits(table: &Table, row: &RowChange) -> bool {
    let (new, old) = match row {
        RowChange::Insert { new } | RowChange::Fired { new, .. } => (Some(new), None),
        RowChange::Update { old, new } => (Some(new), old.image()),
        RowChange::Delete { old } => (None, old.image()),
        RowChange::Truncate => (None, None),
    };
    let old = old.map(Image::tuple);
    new.into_iter()
        .chain(old)
        .all(|image| table.relation.fits(image))
}

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
            Received::Keepalive { wal_end } => {
                self.session.reach(wal_end);
                return Ok(Some(Step::Idle(wal_end)));
            }
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
                self.session.reach(end_lsn);
                Ok(Some(Step::Commit(end_lsn)))
            }
            Message::Relation(message) => {
                self.add_table(message, client).await?;
                Ok(None)
            }
            Message::Insert { relation, new } => {
                self.row(relation, RowChange::Insert { new }, client).await
            }
            Message::Update { relation, old, new } => {
                self.row(relation, RowChange::Update { old, new }, client)
                    .await
            }
            Message::Delete { relation, old } => {
                self.row(relation, RowChange::Delete { old }, client).await
            }
            Message::Truncate { relations, .. } => Ok(self.interpret_truncate(&relations)),
            Message::Message {
                transactional,
                lsn,
                prefix,
                content,
            } => {
                let xid = self.session.transaction.as_ref();
                let xid = xid
                    .filter(|_| transactional)
                    .map(|open| open.transaction.xid);
                let envelope = xid.map(|xid| Envelope {
                    prefix: &prefix,
                    xid,
                    lsn,
                });
                match &*prefix {
                    message::BACKFILL => self.interpret_backfill(envelope, &content, client).await,
                    message::PREFIX => self.interpret_message(envelope, &content, client).await,
                    message::AUDITED => {
                        self.hear_audited(envelope, &content);
                        Ok(None)
                    }
                    _ => Ok(None),
                }
            }
            Message::Origin { .. } | Message::Type { .. } => Ok(None),
        }
    }

    /// Adds a table that the stream has described, completed from the catalog.
    async fn add_table(&mut self, message: RelationMessage, client: &Client) -> Result<()> {
        let described = &mut self.session.described;
        if described.get(&message.oid) == Some(&message) {
            return Ok(());
        }
        described.insert(message.oid, message.clone());
        let mut relation = Relation::describe(client, message)
            .await
            .context("read what a table looks like")?;
        if let Some(known) = self.session.tables.get(&relation.oid) {
            relation = relation.remembering(&known.relation);
        }
        let keys = self.followed.keys(relation.oid);
        relation = relation.identified_by(&keys);
        let streamed = relation.table();
        let called = (!self.is_configured(&streamed) && self.followed.knows(relation.oid))
            .then_some(streamed);
        let xid = self.session.transaction.as_ref();
        let xid = xid.map(|open| open.transaction.xid);
        if let Some(called) = &called
            && let Some(name) = self.followed.name(relation.oid, called, xid)
        {
            (relation.schema, relation.name) = (name.schema, name.name);
        }
        if self.hooks.are_in(&relation) && relation.table() != self.hooks.columns.table {
            self.look_for_hook_table(client).await?;
        }
        let division = Division::read(client, relation.oid).await;
        let division = division.context("read how a table is divided")?;
        let partitions_of =
            |division: Option<Division>| division.and_then(|it| Partitions::of(&it, &relation));
        let partitions = match relation.is_gone() {
            true => {
                let known = self.session.tables.get(&relation.oid);
                let noted = partitions_of(self.followed.division(relation.oid));
                noted.or_else(|| known?.partitions.clone())
            }
            false => {
                self.followed.learn_division(relation.oid, division.clone());
                partitions_of(division)
            }
        };
        self.put_table(relation, called, partitions);
        Ok(())
    }

    /// Does hooks.toml have a table of this name, whose rows matter to us?
    pub(super) fn is_configured(&self, name: &TableName) -> bool {
        let owners = self.hooks.owner_exists.as_ref();
        self.events.of_table(name).is_some()
            || *name == self.hooks.columns.table
            || owners.is_some_and(|exists| exists.table == *name)
            || self.owners.is_on_path(name)
    }

    /// Takes down what the rows of a table are to us, by the name that it has in hooks.toml.
    fn put_table(
        &mut self,
        mut relation: Relation,
        called: Option<TableName>,
        partitions: Option<Arc<Partitions>>,
    ) -> Arc<Table> {
        let name = relation.table();
        let events = self.events.of_table(&name).cloned();
        if let Some(events) = &events {
            self.hidden.hide(&mut relation, events.shape.excluded());
            self.hooks.learn(events, &relation);
        }
        let owners = self.hooks.owner_exists.as_ref();
        let table = Arc::new(Table {
            events,
            holds_hooks: self.hooks.are_in(&relation),
            holds_owners: owners.is_some_and(|exists| exists.table == name),
            called,
            partitions,
            misfit: None,
            relation: Arc::new(relation),
        });
        let tables = &mut self.session.tables;
        tables.insert(table.relation.oid, Arc::clone(&table));
        table
    }

    /// The table as of the open transaction: one that was renamed is another's former table from the moment on at which
    /// that one took the name, of which the stream does not tell.
    fn as_of_now(&mut self, table: Arc<Table>) -> Arc<Table> {
        let (Some(called), Some(open)) = (&table.called, &self.session.transaction) else {
            return table;
        };
        let (oid, xid) = (table.relation.oid, open.transaction.xid);
        let name = self.followed.name(oid, called, Some(xid));
        let name = name.unwrap_or_else(|| called.clone());
        if name == table.relation.table() {
            return table;
        }
        let mut relation = Relation::clone(&table.relation);
        (relation.schema, relation.name) = (name.schema, name.name);
        self.put_table(relation, table.called.clone(), table.partitions.clone())
    }

    /// The change of a row.
    async fn row(&mut self, oid: u32, row: RowChange, client: &Client) -> Result<Option<Step>> {
        let table = self.session.tables.get(&oid);
        let mut table =
            Arc::clone(table.with_context(|| {
                format!("a row of table {oid}, of which the stream has not told")
            })?);
        table = self.as_of_now(table);
        if table.events.is_some() && table.relation.has_composites() && !fits(&table, &row) {
            table = self.read_types_again(table, &row, client).await?;
        }
        let is_deletion = matches!(row, RowChange::Delete { .. });
        let is_insertion = matches!(row, RowChange::Insert { .. });
        let mut draft = self.draft_of(Arc::clone(&table), row)?;
        draft.may_move = is_deletion && table.partitions.is_some();
        if let Some(open) = &mut self.session.transaction {
            let follows_deletion = open.deleted_last.remove(&oid);
            if is_deletion {
                open.deleted_last.insert(oid);
            } else if is_insertion && follows_deletion {
                // Both may turn out to be one update. Its numbers are taken in any case, also of a table that is not
                // partitioned, so that they depend on the WAL and hooks.toml alone.
                let updated = table
                    .events
                    .as_ref()
                    .map_or(0, |events| events.updated().len());
                open.take_numbers(updated as u64);
            }
        }
        Ok(Some(Step::Row(Box::new(draft))))
    }

    /// Reads the types of a table's columns again, since a row does not fit them. Where that does not help, it is not
    /// done for each row: the values are told as texts.
    async fn read_types_again(
        &mut self,
        table: Arc<Table>,
        row: &RowChange,
        client: &Client,
    ) -> Result<Arc<Table>> {
        if table
            .misfit
            .is_some_and(|tried| tried.elapsed() < TYPES_AGAIN)
        {
            return Ok(table);
        }
        let relation = table.relation.with_types_of_now(client).await;
        let relation = relation.context("read the types of a table's columns again")?;
        let mut again = Table {
            relation: Arc::new(relation),
            events: table.events.clone(),
            holds_hooks: table.holds_hooks,
            holds_owners: table.holds_owners,
            called: table.called.clone(),
            partitions: table.partitions.clone(),
            misfit: None,
        };
        again.misfit = (!fits(&again, row)).then(Instant::now);
        let again = Arc::new(again);
        let tables = &mut self.session.tables;
        tables.insert(again.relation.oid, Arc::clone(&again));
        Ok(again)
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
        let rules = table.events.as_ref();
        let rules = rules.map_or(0, |events| events.rules(&row).len());
        let first_event = open.take_numbers(rules as u64).index;
        let transaction = Arc::clone(&open.transaction);
        Ok(draft(table, row, transaction, first_event))
    }
}

/// Drafts a change of `table`, with the rules that apply to it.
pub(super) fn draft(
    table: Arc<Table>,
    row: RowChange,
    transaction: Arc<Transaction>,
    first_event: u64,
) -> ChangeDraft {
    let mut change = Change {
        relation: Arc::clone(&table.relation),
        row,
        transaction,
    };
    change.pad();
    if table.partitions.is_some() {
        change.doubt_nulls();
    }
    let rules = table
        .events
        .as_ref()
        .map_or(&[][..], |events| events.rules(&change.row));
    let touched = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.touches(&change));
    let rules = touched.map(|(number, _)| number).collect();
    change.fill_from_old();
    change.leave_out_what_is_not_utf8();
    ChangeDraft {
        change,
        table,
        first_event,
        rules,
        reread: Reread::Nothing,
        added: Vec::new(),
        unanswered: None,
        permissions: Permissions::new(),
        only: None,
        owner: None,
        whose: None,
        may_move: false,
    }
}
