//! What hooks.toml asks of tables, found by their names. A file may have thousands of events, and is gone through once.

use std::collections::HashMap;

use indexmap::IndexSet;

use super::catalog::{Kind, Table};
use crate::{
    config::{Action, Config, EventRule, EventSource, Location, OwnerRule, TableRules},
    postgres::TableName,
};

/// The rules and events of each table.
pub(super) struct Asked<'a> {
    pub(super) config: &'a Config,
    rules: HashMap<&'a TableName, &'a TableRules>,
    events: HashMap<&'a TableName, Vec<&'a EventRule>>,
    published: IndexSet<&'a TableName>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        let mut asked = Self {
            config,
            rules: HashMap::new(),
            events: HashMap::new(),
            published: IndexSet::new(),
        };
        for rules in &config.tables {
            asked.rules.entry(&rules.table).or_insert(rules);
        }
        for rule in &config.events {
            if let EventSource::Row { table, action, .. } = &rule.source {
                asked.events.entry(table).or_default().push(rule);
                if !matches!(action, Action::Named(_)) {
                    asked.published.insert(table);
                }
            }
        }
        asked
    }

    /// The tables whose changes are read, in the order of the file. A table that only has actions fired from SQL is not
    /// among them, because those actions come as messages.
    pub(super) fn published(&self) -> impl Iterator<Item = &'a TableName> {
        self.published.iter().copied()
    }

    pub(super) fn is_published(&self, table: &TableName) -> bool {
        self.published.contains(table)
    }

    /// The rules of a table, if it has any.
    pub(super) fn rules(&self, table: &TableName) -> Option<&'a TableRules> {
        self.rules.get(table).copied()
    }

    /// The first event on a table that is meant.
    pub(super) fn event(
        &self,
        table: &TableName,
        is_meant: impl Fn(&EventRule) -> bool,
    ) -> Option<&'a EventRule> {
        let mut events = self.events.get(table).into_iter().flatten().copied();
        events.find(|rule| is_meant(rule))
    }

    /// The place in the file of a table's rules, or else of the first event on it.
    pub(super) fn place(&self, table: &TableName) -> Option<Location> {
        let event = || self.events.get(table)?.first().map(|rule| rule.place);
        self.rules(table).map(|rules| rules.place).or_else(event)
    }

    /// Whether the file has `identity = "full"` for this table.
    pub(super) fn asks_full(&self, table: &TableName) -> bool {
        self.rules(table).is_some_and(|rules| rules.identity_full)
    }

    /// Whether setup gives this table REPLICA IDENTITY FULL, or has: the file asks for it, and no update would fail of
    /// it.
    pub(super) fn wants_full(&self, table: &Table) -> bool {
        self.asks_full(&table.name) && table.no_full().is_none()
    }

    /// What [`Table::is_identified`] will be after setup.
    pub(super) fn identified(&self, table: &Table) -> bool {
        match table.kind {
            // As in `is_identified`: future partitions have only the primary key.
            Kind::Partitioned if self.wants_full(table) => !table.primary_key.is_empty(),
            _ => self.wants_full(table) || table.is_identified(),
        }
    }

    /// The column of the table that leads to the owner.
    pub(super) fn owner_column(&self, table: &Table) -> Option<&'a str> {
        let rules = self.rules(&table.name);
        match rules.and_then(|rules| rules.owner.as_ref()) {
            Some(OwnerRule { column, .. }) => Some(column),
            None => table.has("user_id").then_some("user_id"),
        }
    }
}
