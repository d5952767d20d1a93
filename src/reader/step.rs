//! What a message of the stream means, before anything is done about it.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use super::session::Table;
use crate::{
    change::{Change, Transaction},
    config::OwnerRule,
    event::{Position, Rule},
    lookup::{
        enrich::EnrichedField, halves::Refusal, owner::Ownership, permission::Answer,
        versions::Reread,
    },
    message::Message,
    postgres::Lsn,
};

/// What is to be done about a message of the stream.
pub(super) enum Step {
    /// A transaction with this commit LSN begins.
    Begin(Lsn),
    /// A row has changed.
    Row(Box<ChangeDraft>),
    /// Tables were truncated.
    Truncate(Box<Truncation>),
    /// SQL has written an event without a row.
    Message(Box<MessageDraft>),
    /// The transaction ends at this LSN.
    Commit(Lsn),
    /// Up to this LSN there is nothing for us.
    Idle(Lsn),
}

/// Tables that one TRUNCATE emptied.
pub(super) struct Truncation {
    /// The tables, each with the event number of the first of its rules for this.
    pub(super) tables: Vec<(Arc<Table>, u64)>,
    pub(super) transaction: Arc<Transaction>,
}

/// A message that will become an event.
pub(super) struct MessageDraft {
    pub(super) message: Message,
    /// The event's name.
    pub(super) name: Arc<str>,
    /// Hooks of every owner receive the event.
    pub(super) all_owners: bool,
    pub(super) position: Position,
    pub(super) commit_time: SystemTime,
}

/// A change from which events may come.
#[derive(Clone)]
pub(super) struct ChangeDraft {
    pub(super) change: Change,
    pub(super) table: Arc<Table>,
    /// The event number of the first of its table's rules.
    pub(super) first_event: u64,
    /// The rules of its table that apply to it, before their `when` expressions are evaluated.
    pub(super) rules: Vec<usize>,
    /// What of the row may be read from its table.
    pub(super) reread: Reread,
    /// What was looked up for the row in other tables.
    pub(super) added: Vec<EnrichedField>,
    /// Why the database could not answer for the row now.
    pub(super) unanswered: Option<Refusal>,
    /// Which owners may see the row, as far as they have been asked about.
    pub(super) permissions: Permissions,
    /// The id of the only hook that it is for; `None`: it is for all that listen.
    pub(super) only: Option<Box<str>>,
    /// Whose it is, where that was said by hand; `None`: the owner of its row.
    pub(super) owner: Option<Arc<str>>,
    /// Whose it is, where that was found out before it had to wait; its owner may have another since.
    pub(super) whose: Option<Ownership>,
    /// It is a deletion from a partition, and it is not known yet whether the row has moved to another one.
    pub(super) may_move: bool,
}

/// Whether owners may see one row.
pub(super) type Permissions = HashMap<Arc<str>, Answer>;

impl ChangeDraft {
    /// The position of the first event that may come from it.
    pub(super) fn position(&self) -> Position {
        Position {
            commit_lsn: self.change.transaction.commit_lsn,
            index: self.first_event,
        }
    }

    /// The number of the first event that cannot come from it any more.
    pub(super) fn next_event(&self) -> u64 {
        let events = self.table.events.as_ref();
        let rules = events.map_or(0, |events| events.rules(&self.change.row).len());
        self.first_event + rules as u64
    }

    /// The path to its owner, with the change.
    pub(super) fn owned(&self) -> Option<(&OwnerRule, &Change)> {
        let rule = self.table.events.as_ref()?.owner.as_ref()?;
        Some((rule, &self.change))
    }

    /// The rules that apply to the change, with their numbers.
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
