//! From a change to its events: which rules of hooks.toml it satisfies.

use std::{collections::HashMap, sync::Arc};

use crate::{
    change::{Change, RowChange, Value},
    config::{self, Action, Columns, Config, EventRule, EventSource, OwnerRule, TableName},
    filter::{self, Filter},
    postgres::Lsn,
};

/// The rules of hooks.toml, by table.
#[derive(Debug)]
pub struct EventMap {
    tables: HashMap<TableName, Arc<TableEvents>>,
    names: Vec<Arc<str>>,
}

/// What the rows of one table give rise to.
#[derive(Debug, Default)]
pub struct TableEvents {
    created: Vec<Rule>,
    updated: Vec<Rule>,
    deleted: Vec<Rule>,
    /// How a row's owner is found; `None`: by `user_id`, where the table has it.
    pub owner: Option<OwnerRule>,
    /// Which columns are shown.
    pub columns: Columns,
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
    pub when: Option<Filter>,
}

impl EventMap {
    /// The rules of `config`.
    ///
    /// # Errors
    /// When a `when` cannot be compiled.
    pub fn new(config: &Config) -> Result<Self, filter::Error> {
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
                Action::Named(_) => continue,
            };
            rules.push(Rule::new(rule, changed, when.as_deref())?);
        }
        for config::TableRules {
            table,
            owner,
            columns,
            ..
        } in &config.tables
        {
            if let Some(events) = tables.get_mut(table) {
                events.owner.clone_from(owner);
                events.columns.clone_from(columns);
            }
        }
        Ok(Self {
            tables: tables
                .into_iter()
                .map(|(table, events)| (table, Arc::new(events)))
                .collect(),
            names: config
                .events
                .iter()
                .map(|rule| rule.name.as_str().into())
                .collect(),
        })
    }

    /// What rows of `table` give rise to; `None` where no event names it.
    pub fn of_table(&self, table: &TableName) -> Option<&Arc<TableEvents>> {
        self.tables.get(table)
    }

    /// The tables that events name.
    pub fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.tables.keys()
    }

    /// The names of all events, in the order of the file.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

impl TableEvents {
    /// The rules for what happened to the row.
    pub fn rules(&self, row: &RowChange) -> &[Rule] {
        match row {
            RowChange::Insert { .. } => &self.created,
            RowChange::Update { .. } => &self.updated,
            RowChange::Delete { .. } => &self.deleted,
        }
    }
}

impl Rule {
    fn new(
        rule: &EventRule,
        changed: &[String],
        when: Option<&str>,
    ) -> Result<Self, filter::Error> {
        Ok(Self {
            name: rule.name.as_str().into(),
            all_owners: rule.all_owners,
            changed: changed.to_vec(),
            when: when.map(Filter::compile).transpose()?,
        })
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

/// A change with its name.
#[derive(Debug, Clone)]
pub struct Event {
    /// What it is called in hooks.toml.
    pub name: Arc<str>,
    /// What happened.
    pub change: Arc<Change>,
    /// Whose row it is; `None` where it has no owner or nobody knows.
    pub owner: Option<Arc<str>>,
    /// Where it stands among all events.
    pub position: Position,
    /// Which columns are shown.
    pub columns: Columns,
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
    /// The names of the columns that changed; `None` where the old row is not known.
    pub fn changed_names(&self) -> Option<Vec<&str>> {
        let changed = self.change.changed_columns()?;
        let shown = self.shown_columns().into_iter();
        Some(
            shown
                .filter(|(at, _)| changed.contains(at))
                .map(|(_, name)| name)
                .collect(),
        )
    }

    /// The columns that a payload may show, by place and name.
    pub fn shown_columns(&self) -> Vec<(usize, &str)> {
        let columns = self.change.relation.columns.iter().enumerate();
        columns
            .map(|(at, column)| (at, column.name.as_str()))
            .filter(|(_, name)| self.columns.show(name))
            .collect()
    }
}
