//! What the messages of the stream come to, before any of it is handed on.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use super::session::Table;
use crate::{
    change::Change,
    event::{Position, Rule},
    lookup::{enrich::Added, permission::Answer},
    message::Message,
    postgres::Lsn,
};

/// A message, as far as it matters.
pub(super) enum Step {
    Begin(Lsn),
    Row(Box<ChangeDraft>),
    Message(Box<MessageDraft>),
    Commit(Lsn),
    Idle(Lsn),
}

/// A message on its way to becoming an event.
pub(super) struct MessageDraft {
    pub(super) message: Message,
    pub(super) name: Arc<str>,
    pub(super) all_owners: bool,
    pub(super) position: Position,
    pub(super) commit_time: SystemTime,
}

/// A change on its way to becoming events.
pub(super) struct ChangeDraft {
    pub(super) change: Change,
    pub(super) table: Arc<Table>,
    /// The number of the first event that it may give rise to.
    pub(super) first_event: u64,
    /// Which of its table's rules it satisfies, `when` not yet asked.
    pub(super) rules: Vec<usize>,
    /// What was looked up beside the row.
    pub(super) added: Vec<Added>,
    /// Which owners may see it.
    pub(super) permissions: Permissions,
    /// The only hook that it is for; `None`: all that hear it.
    pub(super) only: Option<Box<str>>,
}

/// What is known of owners and one row.
pub(super) type Permissions = HashMap<Arc<str>, Answer>;

impl ChangeDraft {
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
