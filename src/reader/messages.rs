//! Messages that SQL has written into the WAL: events without a row, and actions of the application's own on a row.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio_postgres::Client;

use super::{
    Reader,
    session::Table,
    step::{MessageDraft, Step},
};
use crate::{
    change::RowChange,
    message::{Action, Doubt, Envelope, Message, MessageKey, SqlMessage},
    meters::Meters,
    postgres::{TableName, error_message, fault::Fault, relation::Relation, tuple::Tuple},
};

impl Reader {
    /// Interprets a message. It takes one event number, or one for each rule of its action, whether it can be used or
    /// not, so that numbers depend on the WAL and hooks.toml alone. A message that cannot be used is logged and left
    /// out.
    ///
    /// # Errors
    /// When the action's table cannot be looked up.
    pub(super) async fn interpret_message(
        &mut self,
        envelope: Option<Envelope<'_>>,
        content: &Bytes,
        client: &Client,
    ) -> Result<Option<Step>> {
        let (Some(envelope), Some(open)) = (envelope, &self.session.transaction) else {
            tracing::warn!(
                "a message of SQL outside of any transaction is left out; pg_logical_emit_message needs true as its first argument"
            );
            return Ok(None);
        };
        let commit_lsn = open.transaction.commit_lsn;
        let (content, doubt) = unsealed(self.message_key.as_ref(), envelope, content);
        let message = SqlMessage::parse(&content);
        if let Some(doubt) = doubt
            && !self.is_open_to(message.as_ref().ok(), doubt)
        {
            let numbers = message.map_or(1, |message| self.numbers_of(&message));
            self.take_numbers(numbers);
            count_doubtful(&self.context.meters, doubt);
            return Ok(None);
        }
        let step = match message {
            Ok(SqlMessage::Event(message)) => self.draft_message(message),
            Ok(SqlMessage::Action(action)) => self.draft_action(action, client).await?,
            Err(reason) => Err((1, reason)),
        };
        let (numbers, reason) = match step {
            Ok(step) => return Ok(Some(step)),
            Err(why) => why,
        };
        self.take_numbers(numbers);
        let meters = &self.context.meters;
        let before = meters.misunderstood.fetch_add(1, Relaxed);
        tracing::warn!(
            reason,
            %commit_lsn,
            so_far = before + 1,
            "a message of SQL is no event, and is left out"
        );
        Ok(None)
    }

    /// Does the operator allow that every role fires this? `None`: it is not an event at all.
    fn is_open_to(&self, message: Option<&SqlMessage>, doubt: Doubt) -> bool {
        let is_own = message.is_some_and(|message| !message.may_be_unsigned());
        self.unsigned_messages && doubt == Doubt::Unsigned && !is_own
    }

    /// Takes event numbers for a message that is left out. They are those that it would take if it could be used, so
    /// that the events after it keep their numbers when `unsigned_messages` changes.
    fn take_numbers(&mut self, numbers: u64) {
        if let Some(open) = &mut self.session.transaction {
            open.take_numbers(numbers);
        }
    }

    /// How many event numbers a message takes.
    fn numbers_of(&self, message: &SqlMessage) -> u64 {
        match message {
            SqlMessage::Event(_) => 1,
            SqlMessage::Action(action) => self.rules_of(action).max(1),
        }
    }

    /// The number of rules that the action satisfies.
    fn rules_of(&self, action: &Action) -> u64 {
        let events = self.events.of_table(&action.table());
        events.map_or(0, |events| events.fired(&action.action).len() as u64)
    }

    /// Drafts an event without a row.
    ///
    /// # Errors
    /// How many event numbers the message takes, and why it is left out.
    fn draft_message(&mut self, message: Message) -> Result<Step, (u64, String)> {
        let Some((name, all_owners)) = self.events.of_message(&message.event) else {
            let reason = format!("[events] has no custom event {:?}", message.event);
            return Err((1, reason));
        };
        let Some(open) = &mut self.session.transaction else {
            return Err((0, "it is outside of any transaction".to_owned()));
        };
        Ok(Step::Message(Box::new(MessageDraft {
            name: Arc::clone(name),
            all_owners,
            message,
            position: open.take_numbers(1),
            commit_time: open.transaction.commit_time,
        })))
    }

    /// Drafts an action on a row. The inner error says how many event numbers the message takes, and why it is left
    /// out.
    async fn draft_action(
        &mut self,
        action: Action,
        client: &Client,
    ) -> Result<Result<Step, (u64, String)>> {
        let name = action.table();
        let rules = self.rules_of(&action);
        if rules == 0 {
            let reason = format!("[events] has no action {:?} of {name}", action.action);
            return Ok(Err((1, reason)));
        }
        let table = match self.catalog_table(&name, &action.columns, client).await? {
            Ok(table) => table,
            Err(reason) => return Ok(Err((rules, reason))),
        };
        let new = match tuple(&action, &table.relation) {
            Ok(new) => new,
            Err(reason) => return Ok(Err((rules, reason))),
        };
        let row = RowChange::Fired {
            action: action.action.into(),
            new,
        };
        let mut draft = self.draft_of(table, row)?;
        draft.owner = action.owner.map(Arc::from);
        Ok(Ok(Step::Row(Box::new(draft))))
    }

    /// A table with these columns, as the catalog describes it. The catalog is read again when they are not those that
    /// are known. The inner error says why the table is not known.
    ///
    /// # Errors
    /// When the connection is lost, or the catalog cannot be read now.
    pub(super) async fn catalog_table(
        &mut self,
        name: &TableName,
        columns: &[String],
        client: &Client,
    ) -> Result<Result<Arc<Table>, String>> {
        let fits = |relation: &Relation| {
            relation.columns.len() == columns.len()
                && columns
                    .iter()
                    .all(|column| relation.column(column).is_some())
        };
        if let Some(table) = self.session.catalog_tables.get(name)
            && fits(&table.relation)
        {
            return Ok(Ok(Arc::clone(table)));
        }
        let relation = match Relation::find(client, name).await {
            Ok(Some(relation)) => relation,
            Ok(None) => return Ok(Err(format!("there is no table {name} any more"))),
            Err(error) if Fault::of(&error).is_transient() => {
                return Err(error).context("read what a table looks like");
            }
            Err(error) => return Ok(Err(error_message(&error))),
        };
        let mut relation = match fits(&relation) {
            true => relation,
            false => relation.with_columns(columns),
        };
        let events = self.events.of_table(name).cloned();
        if let Some(events) = &events {
            self.hidden.hide(&mut relation, events.shape.excluded());
        }
        let table = Arc::new(Table {
            events,
            holds_hooks: false,
            holds_owners: false,
            called: None,
            partitions: None,
            misfit: None,
            relation: Arc::new(relation),
        });
        let catalog_tables = &mut self.session.catalog_tables;
        catalog_tables.insert(name.clone(), Arc::clone(&table));
        Ok(Ok(table))
    }
}

/// The content of a message without its signature, and why it is not to be believed.
pub(super) fn unsealed(
    key: Option<&MessageKey>,
    envelope: Envelope<'_>,
    content: &Bytes,
) -> (Bytes, Option<Doubt>) {
    match key {
        Some(key) => key.open(envelope, content),
        None => (content.clone(), Some(Doubt::Unsigned)),
    }
}

/// Counts a message that is not believed. Whoever can connect can write any number of them, so only the 1st, 2nd, 4th,
/// 8th and so on are logged.
pub(super) fn count_doubtful(meters: &Meters, doubt: Doubt) {
    let so_far = meters.doubtful.fetch_add(1, Relaxed) + 1;
    if so_far.is_power_of_two() {
        tracing::warn!(
            reason = %doubt,
            so_far,
            "a message of SQL is left out, because no function of rowhook's has written it; use rowhook.emit or rowhook.emit_row, or set [database] unsigned_messages"
        );
    }
}

/// The row of an action, in the order of the relation's columns. A column that the action does not name is left
/// unknown, and so is one that the table no longer has: its type is not known any more.
///
/// # Errors
/// Why the row does not fit the relation.
pub(super) fn tuple(action: &Action, relation: &Relation) -> Result<Tuple, String> {
    relation.tuple(&action.columns, &action.row)
}
