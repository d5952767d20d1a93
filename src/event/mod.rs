//! Maps changes to events: which rules of hooks.toml a change satisfies.

pub mod shape;

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use self::shape::Shape;
use crate::{
    change::{Change, RowChange},
    config::{Action, Config, EventRule, EventSource, OwnerRule},
    expression::filter::Filter,
    lookup::{enrich::EnrichedField, owner::Owner},
    message::{DELIVERED, GAP, HOOK_DISABLED, Message},
    postgres::{
        Lsn, TableName,
        equality::Equality,
        tuple::{Tuple, Value},
    },
};

/// The rules of `[events]`: those of rows by table, and those of messages by name.
#[derive(Debug)]
pub struct EventMap {
    tables: HashMap<TableName, Arc<TableEvents>>,
    /// The events of messages, and whether each is sent to the hooks of all owners.
    messages: HashMap<Arc<str>, bool>,
    names: Vec<Arc<str>>,
}

/// The events of one table's rows.
#[derive(Debug, Default)]
pub struct TableEvents {
    created: Vec<Rule>,
    updated: Vec<Rule>,
    deleted: Vec<Rule>,
    truncated: Vec<Rule>,
    /// The rules of user-defined actions, by the name of the action.
    fired: HashMap<String, Vec<Rule>>,
    /// How the owner of a row is found; `None`: by the column `user_id`, where the table has it.
    pub owner: Option<OwnerRule>,
    /// How payloads show a row.
    pub shape: Arc<Shape>,
}

/// A rule by which changes of a table's rows cause an event.
#[derive(Debug)]
pub struct Rule {
    /// The event's name.
    pub name: Arc<str>,
    /// `+`: the event is sent to the hooks of all owners.
    pub all_owners: bool,
    /// Only when one of these columns changed. Empty: always.
    changed: Vec<String>,
    /// Only when this expression is true.
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
                Action::Truncated => &mut events.truncated,
                Action::Named(name) => events.fired.entry(name.clone()).or_default(),
            };
            rules.push(Rule::new(rule, changed, when.clone()));
        }
        // The first of a table counts, and the last of a key stays in a map.
        let rules_of = config.tables.iter().rev();
        let rules_of: HashMap<_, _> = rules_of.map(|rules| (&rules.table, rules)).collect();
        let models = config.models.iter().rev();
        let models: HashMap<_, _> = models.map(|(table, model)| (table, model)).collect();
        for (table, events) in &mut tables {
            let rules = rules_of.get(table).copied();
            let model = models.get(table).copied();
            events.owner = rules.and_then(|rules| rules.owner.clone());
            let shape = rules.map(Shape::new).unwrap_or_default();
            let of_all = config.delivery.template.as_deref().cloned();
            let shape = shape.or_template(of_all);
            events.shape = Arc::new(shape.of_model(model.cloned()));
        }
        let custom = config
            .events
            .iter()
            .filter(|rule| rule.source == EventSource::Custom)
            .map(|rule| (rule.name.as_str(), rule.all_owners));
        let own = [(HOOK_DISABLED, false), (GAP, true), (DELIVERED, false)];
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

    /// The event that messages may name `name`, and whether it is sent to the hooks of all owners. `None`: there is no
    /// such event, or it is one of rows.
    pub fn of_message(&self, name: &str) -> Option<(&Arc<str>, bool)> {
        self.messages
            .get_key_value(name)
            .map(|(name, all_owners)| (name, *all_owners))
    }

    /// The events of the rows of `table`; `None` where no event names the table.
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
    /// The names of the table's events.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let rules = [&self.created, &self.updated, &self.deleted, &self.truncated];
        let rules = rules.into_iter().chain(self.fired.values());
        rules.flatten().map(|rule| &rule.name)
    }

    /// The rules for an inserted row.
    pub fn created(&self) -> &[Rule] {
        &self.created
    }

    /// The rules for an updated row.
    pub fn updated(&self) -> &[Rule] {
        &self.updated
    }

    /// The rules for an action that is fired by hand. What changes of the table cause otherwise may be, too.
    pub fn fired(&self, action: &str) -> &[Rule] {
        match action {
            "created" => &self.created,
            "updated" => &self.updated,
            "deleted" => &self.deleted,
            _ => self.fired.get(action).map_or(&[], Vec::as_slice),
        }
    }

    /// The rules for what happened to the row.
    pub fn rules(&self, row: &RowChange) -> &[Rule] {
        match row {
            RowChange::Insert { .. } => &self.created,
            RowChange::Update { .. } => &self.updated,
            RowChange::Delete { .. } => &self.deleted,
            RowChange::Fired { action, .. } => self.fired(action),
            RowChange::Truncate => &self.truncated,
        }
    }

    /// The event that `rule` makes of a change. `added` are the fields of `enrich`, and `index` is the number of the
    /// event in its transaction.
    pub fn event(
        &self,
        rule: &Rule,
        change: &Arc<Change>,
        added: Vec<EnrichedField>,
        owner: Option<Owner>,
        index: u64,
    ) -> Event {
        Event {
            name: Arc::clone(&rule.name),
            subject: Subject::Row {
                change: Arc::clone(change),
                shape: Arc::clone(&self.shape),
                added,
            },
            owner_equality: owner
                .as_ref()
                .map(|owner| owner.equality)
                .unwrap_or_default(),
            owner: owner.map(|owner| owner.text),
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

    /// Did one of the rule's columns change, as far as this is known?
    ///
    /// Without an old image the answer is yes, because a superfluous event is better than a missing one.
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
    let generated = change.relation.columns.get(at);
    let generated = generated.is_some_and(|column| column.generated);
    let left_out = |image: &Tuple| image.get(at) == Some(&Value::Unchanged);
    match change.changed_columns() {
        // A generated column that is not computed yet, or cannot be, may have any value.
        Some(_) if generated && change.whole_images().any(left_out) => true,
        Some(changed) => changed.contains(&at),
        // Besides generated columns, the stream leaves out only large values that the update did not change.
        None => generated || !change.after().is_some_and(left_out),
    }
}

/// An event: something that happened to a row, or a message.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its name in hooks.toml.
    pub name: Arc<str>,
    /// What happened.
    pub subject: Subject,
    /// Its owner; `None` where it has none or it is unknown.
    pub owner: Option<Arc<str>>,
    /// Its place among all events.
    pub position: Position,
    /// When it was committed, by the clock of the database.
    pub commit_time: SystemTime,
    /// When another text is the same owner.
    pub owner_equality: Equality,
}

/// What an event is about.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A change of a row.
    Row {
        /// The change.
        change: Arc<Change>,
        /// How payloads show the row.
        shape: Arc<Shape>,
        /// The fields of `enrich`.
        added: Vec<EnrichedField>,
    },
    /// A message that SQL emitted, or rowhook itself.
    Message(Arc<Message>),
}

/// The place of an event among all events of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// LSN of the transaction's commit record.
    pub commit_lsn: Lsn,
    /// The number of the event in its transaction. It counts the rules that could apply, whether they do or not, so
    /// that it depends only on the WAL and hooks.toml.
    pub index: u64,
}

impl Event {
    /// The change of the row; `None` for a message.
    pub fn change(&self) -> Option<&Change> {
        match &self.subject {
            Subject::Row { change, .. } => Some(change),
            Subject::Message(_) => None,
        }
    }

    /// The columns that changed, of those that payloads show. `None`: the old row is unknown, or there is no row.
    pub fn changed(&self) -> Option<Vec<Shown<'_>>> {
        let changed = self.change()?.changed_columns()?;
        let mut shown = self.shown();
        shown.retain(|column| changed.contains(&column.at));
        Some(shown)
    }

    /// The columns that payloads show; none where there is no row.
    pub fn shown(&self) -> Vec<Shown<'_>> {
        let Subject::Row { change, shape, .. } = &self.subject else {
            return Vec::new();
        };
        let all = change.relation.columns.iter().enumerate();
        all.filter_map(|(at, column)| {
            let name = shape.column(column)?;
            let column = &column.name;
            Some(Shown { at, column, name })
        })
        .collect()
    }
}

/// A column that payloads show.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The place of the column in the relation.
    pub at: usize,
    /// Its own name.
    pub column: &'a str,
    /// The name that payloads show it by.
    pub name: &'a str,
}
