//! `[history]`: which attempts are remembered, and for how long.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    events::{EventRule, EventSource},
    reader::{Keys, Table, Value},
    tables::TableRules,
};

/// `[history]`: which attempts are remembered, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The number of successful attempts that are remembered of each hook, the last ones. 0 for `false`. Default 100.
    pub successes: u32,
    /// The time for which failed attempts are remembered. Default `30d`.
    pub failures_for: Duration,
    /// Are bodies remembered too? Default true.
    pub bodies: bool,
    /// Is `rowhook.delivered` fired for successful attempts that are remembered? Default false.
    pub delivered: bool,
    /// The columns whose values are not remembered. Default: none.
    pub redact: Redact,
}

/// The columns whose values history does not keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redact {
    columns: Arc<BTreeSet<String>>,
    /// The events whose bodies a template makes.
    templated: Arc<BTreeSet<String>>,
}

impl Redact {
    /// Redacts what stands under these names in bodies. Those of the events `templated` are made by templates.
    pub fn of<'a>(
        columns: impl IntoIterator<Item = &'a str>,
        templated: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let columns = columns.into_iter().map(str::to_owned).collect();
        let templated = templated.into_iter().map(str::to_owned).collect();
        Self {
            columns: Arc::new(columns),
            templated: Arc::new(templated),
        }
    }

    /// The names under which these columns stand in bodies: their own, those that `rename` shows them by, and those of
    /// a Django model, which has foreign keys without `_id`.
    pub(super) fn in_bodies(&self, tables: &[TableRules], events: &[EventRule]) -> Self {
        if self.is_empty() {
            return self.clone();
        }
        let renamed = tables.iter().flat_map(|table| &table.rename);
        let renamed = renamed.filter(|(own, _)| self.names(own));
        let shown = renamed.map(|(_, shown)| shown.as_str());
        let own = self.columns.iter().map(String::as_str);
        let fields = own.clone().filter_map(|name| name.strip_suffix("_id"));
        let has_template = |event: &&EventRule| match &event.source {
            EventSource::Row { table, .. } => tables
                .iter()
                .any(|rules| rules.table == *table && rules.payload.is_some()),
            EventSource::Custom => false,
        };
        let templated = events.iter().filter(has_template);
        Self::of(
            own.chain(shown).chain(fields),
            templated.map(|event| event.name.as_str()),
        )
    }

    /// Whether nothing is redacted.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Whether this is the name of such a column.
    pub fn names(&self, name: &str) -> bool {
        self.columns.contains(name)
    }

    /// Whether the bodies of this event are made by a template.
    pub fn is_templated(&self, event: &str) -> bool {
        self.templated.contains(event)
    }
}

pub(super) const KEYS: Keys = Keys {
    known: &["successes", "failures_for", "bodies", "delivered", "redact"],
    later: &[],
};

/// The defaults of `[history]`.
impl Default for History {
    fn default() -> Self {
        Self {
            successes: 100,
            failures_for: Duration::from_secs(30 * 24 * 60 * 60),
            bodies: true,
            delivered: false,
            redact: Redact::default(),
        }
    }
}

pub(super) fn read(section: &Table<'_>) -> History {
    let default = History::default();
    let failures_for = section
        .find("failures_for")
        .and_then(Value::positive_duration);
    let bodies = section.find("bodies").and_then(Value::flag);
    let redact = section.find("redact").and_then(Value::strings);
    let redact = redact.map(|names| Redact::of(names.iter().map(String::as_str), []));
    let delivered = section.find("delivered").and_then(Value::flag);
    History {
        successes: section
            .find("successes")
            .and_then(successes)
            .unwrap_or(default.successes),
        failures_for: failures_for.unwrap_or(default.failures_for),
        bodies: bodies.unwrap_or(default.bodies),
        delivered: delivered.unwrap_or(default.delivered),
        redact: redact.unwrap_or_default(),
    }
}

/// A number, or `false` for none.
fn successes(value: &Value<'_>) -> Option<u32> {
    if value.is_integer() {
        return value.count();
    }
    if value.is_false() {
        return Some(0);
    }
    value.mistyped("a whole number from 1, or false for none");
    None
}
