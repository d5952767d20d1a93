//! From a change to its events: which rules of hooks.toml it satisfies.

pub mod shape;

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use self::shape::Shape;
use crate::{
    change::{Change, RowChange},
    config::{Action, Config, EventRule, EventSource, OwnerRule},
    expression::filter::Filter,
    lookup::enrich::EnrichedField,
    message::{GAP, HOOK_DISABLED, Message},
    postgres::{Lsn, TableName, tuple::Value},
};

/// The rules of hooks.toml: of rows by table, of messages by name.
#[derive(Debug)]
pub struct EventMap {
    tables: HashMap<TableName, Arc<TableEvents>>,
    /// Events that come as messages, and whether the hooks of all owners hear them.
    messages: HashMap<Arc<str>, bool>,
    names: Vec<Arc<str>>,
}

/// What the rows of one table give rise to.
#[derive(Debug, Default)]
pub struct TableEvents {
    created: Vec<Rule>,
    updated: Vec<Rule>,
    deleted: Vec<Rule>,
    /// By the name of the action.
    fired: HashMap<String, Vec<Rule>>,
    /// How a row's owner is found; `None`: by `user_id`, where the table has it.
    pub owner: Option<OwnerRule>,
    /// How its rows are shown.
    pub shape: Arc<Shape>,
}

/// One event of a table's rows.
#[derive(Debug)]
pub struct Rule {
    /// The event's name.
    pub name: Arc<str>,
    /// `+`: hooks of all owners hear it.
    pub all_owners: bool,
    /// Only when one of these columns changed; empty: always.
    changed: Vec<String>,
    /// Only when this is true.
    pub when: Option<Arc<Filter>>,
}

impl EventMap {
    /// The rules of `config`.
    pub fn new(config: &Config) -> Self {
        let mut tables: HashMap<TableName, TableEvents> = HashMap::new();
        for rule in &config.events {
            let EventSource::Row {
                table,
                action,
                changed,
                when,
            } = &rule.source
            else {
                continue;
            };
            let events = tables.entry(table.clone()).or_default();
            let rules = match action {
                Action::Created => &mut events.created,
                Action::Updated => &mut events.updated,
                Action::Deleted => &mut events.deleted,
                Action::Named(name) => events.fired.entry(name.clone()).or_default(),
            };
            rules.push(Rule::new(rule, changed, when.clone()));
        }
        for (table, events) in &mut tables {
            let rules = config.tables.iter().find(|rules| rules.table == *table);
            let model = config.models.iter().find(|(of, _)| of == table);
            events.owner = rules.and_then(|rules| rules.owner.clone());
            let shape = rules.map(Shape::new).unwrap_or_default();
            events.shape = Arc::new(shape.of_model(model.map(|(_, model)| model.clone())));
        }
        let custom = config
            .events
            .iter()
            .filter(|rule| rule.source == EventSource::Custom)
            .map(|rule| (rule.name.as_str(), rule.all_owners));
        let own = [(HOOK_DISABLED, false), (GAP, true)];
        let named = config.events.iter().map(|rule| rule.name.as_str());
        Self {
            tables: tables
                .into_iter()
                .map(|(table, events)| (table, Arc::new(events)))
                .collect(),
            messages: custom
                .chain(own)
                .map(|(name, all_owners)| (name.into(), all_owners))
                .collect(),
            names: named
                .chain(own.map(|(name, _)| name))
                .map(Arc::from)
                .collect(),
        }
    }

    /// The name of the event that messages may call `name`, and whether the hooks of all owners hear it; `None` where
    /// there is no such event, or it is one of rows.
    pub fn of_message(&self, name: &str) -> Option<(&Arc<str>, bool)> {
        self.messages
            .get_key_value(name)
            .map(|(name, all_owners)| (name, *all_owners))
    }

    /// What rows of `table` give rise to; `None` where no event names it.
    pub fn of_table(&self, table: &TableName) -> Option<&Arc<TableEvents>> {
        self.tables.get(table)
    }

    /// The tables that events name.
    pub fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.tables.keys()
    }

    /// The names of all events, in the order of the file; rowhook's own come last.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

impl TableEvents {
    /// The names of its events.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let rules = [&self.created, &self.updated, &self.deleted];
        let rules = rules.into_iter().chain(self.fired.values());
        rules.flatten().map(|rule| &rule.name)
    }

    /// The rules for a row that appeared.
    pub fn created(&self) -> &[Rule] {
        &self.created
    }

    /// The rules for a row that changed.
    pub fn updated(&self) -> &[Rule] {
        &self.updated
    }

    /// The rules for an action of the user's own.
    pub fn fired(&self, action: &str) -> &[Rule] {
        self.fired.get(action).map_or(&[], Vec::as_slice)
    }

    /// The rules for what happened to the row.
    pub fn rules(&self, row: &RowChange) -> &[Rule] {
        match row {
            RowChange::Insert { .. } => &self.created,
            RowChange::Update { .. } => &self.updated,
            RowChange::Delete { .. } => &self.deleted,
            RowChange::Fired { action, .. } => self.fired(action),
        }
    }

    /// The event that `rule` makes of a change, with what was looked up beside its row: the one with this number in its
    /// transaction.
    pub fn event(
        &self,
        rule: &Rule,
        change: &Arc<Change>,
        added: Vec<EnrichedField>,
        owner: Option<Arc<str>>,
        index: u64,
    ) -> Event {
        Event {
            name: Arc::clone(&rule.name),
            subject: Subject::Row {
                change: Arc::clone(change),
                shape: Arc::clone(&self.shape),
                added,
            },
            owner,
            position: Position {
                commit_lsn: change.transaction.commit_lsn,
                index,
            },
            commit_time: change.transaction.commit_time,
        }
    }
}

impl Rule {
    fn new(rule: &EventRule, changed: &[String], when: Option<Arc<Filter>>) -> Self {
        Self {
            name: rule.name.as_str().into(),
            all_owners: rule.all_owners,
            changed: changed.to_vec(),
            when,
        }
    }

    /// Did one of the rule's columns change, or could it have?
    ///
    /// Without an old image nobody can tell, and then the answer is yes: an event too many is better than one too few.
    pub fn touches(&self, change: &Change) -> bool {
        self.changed.is_empty()
            || self
                .changed
                .iter()
                .any(|name| may_have_changed(change, name))
    }
}

fn may_have_changed(change: &Change, name: &str) -> bool {
    let Some(at) = change.relation.column(name) else {
        return true;
    };
    match change.changed_columns() {
        Some(changed) => changed.contains(&at),
        // A large value that is left out of an update is one that it did not touch.
        None => !matches!(
            change.after().and_then(|new| new.get(at)),
            Some(Value::Unchanged)
        ),
    }
}

/// Something that happened, with its name.
#[derive(Debug, Clone)]
pub struct Event {
    /// What it is called in hooks.toml.
    pub name: Arc<str>,
    /// What happened.
    pub subject: Subject,
    /// Whose it is; `None` where it has no owner or nobody knows.
    pub owner: Option<Arc<str>>,
    /// Where it stands among all events.
    pub position: Position,
    /// When it was committed, by the database's clock.
    pub commit_time: SystemTime,
}

/// What an event tells of.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A row.
    Row {
        /// What happened to it.
        change: Arc<Change>,
        /// How it is shown.
        shape: Arc<Shape>,
        /// What was looked up beside it.
        added: Vec<EnrichedField>,
    },
    /// Whatever SQL had to say.
    Message(Arc<Message>),
}

/// Where an event stands among all events of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// LSN of the transaction's commit record.
    pub commit_lsn: Lsn,
    /// The event's number in its transaction. It counts the rules that could fire, whether they do or not, and so does
    /// not depend on anything but the WAL and hooks.toml.
    pub index: u64,
}

impl Event {
    /// The row change that it tells of.
    pub fn change(&self) -> Option<&Change> {
        match &self.subject {
            Subject::Row { change, .. } => Some(change),
            Subject::Message(_) => None,
        }
    }

    /// The columns that changed, among those that a payload may show; `None` where the old row is not known, or there is no
    /// row.
    pub fn changed(&self) -> Option<Vec<Shown<'_>>> {
        let changed = self.change()?.changed_columns()?;
        let mut shown = self.shown();
        shown.retain(|column| changed.contains(&column.at));
        Some(shown)
    }

    /// The columns that a payload may show; none where there is no row.
    pub fn shown(&self) -> Vec<Shown<'_>> {
        let Subject::Row { change, shape, .. } = &self.subject else {
            return Vec::new();
        };
        let all = change.relation.columns.iter().enumerate();
        all.filter_map(|(at, column)| {
            let name = shape.name(&column.name)?;
            let column = &column.name;
            Some(Shown { at, column, name })
        })
        .collect()
    }
}

/// A column that a payload may show.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its place in the relation.
    pub at: usize,
    /// Its own name.
    pub column: &'a str,
    /// The name that it is shown by.
    pub name: &'a str,
}
