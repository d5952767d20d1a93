//! `[events]`: the events, and what causes each.

use super::mistake::Location;
use super::{
    before::{self, Silence, WITH_BEFORE},
    model::Model,
    name,
    reader::{Keys, Table, Value},
};
use crate::postgres::TableName;
use crate::{
    expression::{self, filter::Filter},
    nearest::nearest,
};
use indexmap::IndexSet;
use serde_json::value::RawValue;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    sync::Arc,
    time::Duration,
};

/// One line of `[events]`.
#[derive(Debug, Clone)]
pub struct EventRule {
    /// The event's name: `book.added`.
    pub name: String,
    /// What causes it.
    pub source: EventSource,
    /// `+`: it is sent to the hooks of all owners.
    pub all_owners: bool,
    /// What it means, for those who choose events.
    pub description: Option<String>,
    /// What SQL passes, by way of example. For `custom` only.
    pub example: Option<Box<RawValue>>,
    /// Where the rule stands in hooks.toml.
    pub place: Location,
}

/// An event that endpoints are asked about before its transaction commits.
#[derive(Debug, Clone)]
pub struct BeforeRule {
    /// The event, with what it is about: rows that are created, updated or deleted, or what `rowhook.ask` passes.
    pub rule: EventRule,
    /// How long an endpoint may take to answer. Default 2 s.
    pub timeout: Duration,
    /// What it means when one does not, or nobody is there to ask. Default [`Silence::Allow`].
    pub silence: Silence,
}

impl BeforeRule {
    /// The letter by which the trigger of the table knows the action; `None` where there is no row that it could see.
    pub fn letter(&self) -> Option<char> {
        match &self.rule.source {
            EventSource::Row { action, .. } => match action {
                Action::Created => Some('i'),
                Action::Updated => Some('u'),
                Action::Deleted => Some('d'),
                Action::Truncated | Action::Named(_) => None,
            },
            EventSource::Custom => None,
        }
    }
}

/// What causes an event.
#[derive(Debug, Clone, PartialEq)]
pub enum EventSource {
    /// A change of a row, or a user-defined action that SQL fired on a row.
    Row {
        /// The table.
        table: TableName,
        /// What happens to the row.
        action: Action,
        /// With `updated`: only when one of these columns changed. Empty: always.
        changed: Vec<String>,
        /// Only when this expression is true.
        when: Option<Arc<Filter>>,
    },
    /// A message that SQL emitted, with any payload.
    Custom,
}

/// Shows the source as a user writes it: `table.action` or `custom`.
impl fmt::Display for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { table, action, .. } => write!(f, "{table}.{action}"),
            Self::Custom => f.write_str("custom"),
        }
    }
}

/// The payload that `example` shows.
fn example_payload(value: &Value<'_>) -> Option<Box<RawValue>> {
    let text = value.string()?;
    match RawValue::from_string(text) {
        Ok(payload) => Some(payload),
        Err(error) => {
            value.wrong(format!(
                "{} is no JSON ({error}); write such as '{{\"from\": \"10.1.2.3\"}}'",
                value.quote(value.name)
            ));
            None
        }
    }
}

impl EventSource {
    /// The table of the row; `None` for a message.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Self::Row { table, .. } => Some(table),
            Self::Custom => None,
        }
    }
}

/// What happens to a row: the last word of `table.action`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// A row was inserted.
    Created,
    /// A row was updated.
    Updated,
    /// A row was deleted.
    Deleted,
    /// All rows of the table were removed at once, by TRUNCATE. There is no row that it happened to.
    Truncated,
    /// SQL fired the user-defined action of this name on a row.
    Named(String),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Truncated => "truncated",
            Self::Named(name) => name,
        })
    }
}

pub(super) const KEYS: Keys = Keys {
    known: &[
        "on",
        "before",
        "timeout",
        "silence",
        "changed",
        "when",
        "description",
        "example",
    ],
    later: &[],
};

/// The rules of `[events]`, and the names that it uses even in lines with mistakes, so that one mistake does not cause
/// others.
#[derive(Default)]
pub(super) struct Events {
    pub(super) rules: Vec<EventRule>,
    /// What is asked about before it is committed. No hook of a table hears of it.
    pub(super) before: Vec<BeforeRule>,
    /// Sorted, so that those with a prefix stand together.
    pub(super) names: BTreeSet<String>,
    pub(super) tables: HashSet<TableName>,
    /// The tables of Django models. Those that `[tables]` names come first, because they differ from Django's default.
    pub(super) models: Vec<(TableName, Model)>,
    /// The first table of each model.
    by_model: HashMap<Model, TableName>,
    /// The models of more than one table.
    pub(super) shared_models: HashSet<Model>,
    /// Some event is not among `names`, because its line has a mistake.
    pub(super) names_unclear: bool,
    /// Some table is not among `tables`, because its line has a mistake.
    pub(super) tables_unclear: bool,
}

impl Events {
    /// Stands for a missing or unreadable `[events]`, against which nothing can be checked.
    pub(super) fn unknown() -> Self {
        Self {
            names_unclear: true,
            tables_unclear: true,
            ..Self::default()
        }
    }

    /// Reads `[events]`. `models` are the tables of models that `[tables]` names.
    pub(super) fn read(table: &Table<'_>, models: Vec<(TableName, Model)>) -> Self {
        let mut events = Self::default();
        for (table, model) in models {
            events.add_model(table, model);
        }
        if table.iter().next().is_none() {
            table.reader.wrong(
                table.place,
                "[events] is empty; name an event, such as \"book.added\" = \"book.created\"",
            );
        }
        let mut conditions = Vec::new();
        for value in table.iter() {
            events.read_one(value, &mut conditions);
        }
        events.compile(conditions);
        events
    }

    fn read_one<'a>(&mut self, value: &Value<'a>, conditions: &mut Vec<Condition<'a>>) {
        if is_unquoted(value) {
            value.reader.wrong(
                value.key_place,
                format!(
                    "{} is no event; write names with dots in quotes: \"{}.added\" = …",
                    value.key, value.name
                ),
            );
            self.names_unclear = true;
            self.tables_unclear = true;
            return;
        }
        self.names.insert(value.name.to_owned());
        if let Some(remedy) = name::event_mistake(value.name) {
            value.reader.wrong(
                value.key_place,
                format!("{:?} cannot name an event; {remedy}", value.name),
            );
        }
        let rule = match value.is_table() {
            true => self.long_form(value, conditions),
            false => self.short_form(value),
        };
        self.rules.extend(rule);
    }

    /// Reads `"name" = "table.action"`.
    fn short_form(&mut self, value: &Value<'_>) -> Option<EventRule> {
        if !value.is_string() {
            value.mistyped("\"table.action\"");
            self.tables_unclear = true;
            return None;
        }
        let (source, all_owners) = self.bare_source(value)?;
        Some(EventRule {
            name: value.name.to_owned(),
            source,
            all_owners,
            description: None,
            example: None,
            place: value.key_place,
        })
    }

    /// Reads `"name" = { on = "table.action", … }`. Its `when` is added to `conditions`.
    fn long_form<'a>(
        &mut self,
        value: &Value<'a>,
        conditions: &mut Vec<Condition<'a>>,
    ) -> Option<EventRule> {
        let table = value.table(&KEYS)?;
        if let Some(on) = table.find("before") {
            let before = self.before_form(value, &table, on);
            self.before.extend(before);
            return None;
        }
        for name in WITH_BEFORE {
            if let Some(value) = table.find(name) {
                value.reader.wrong(
                    value.key_place,
                    format!(
                        "{} is for events that are asked about; write before = \"table.action\" in place of on, or leave it out",
                        value.key
                    ),
                );
            }
        }
        let on = table.need("on", "on = \"table.action\"");
        self.tables_unclear |= on.is_none();
        let on = on.and_then(|on| self.bare_source(on));
        let changed = table.find("changed");
        let columns = changed.and_then(Value::strings);
        let condition = table.find("when");
        let has_row = matches!(on, Some((EventSource::Row { .. }, _)));
        let next = self.rules.len();
        let description = table.find("description").and_then(Value::string);
        let example = table.find("example");
        let payload = example.and_then(example_payload);
        conditions.extend(condition.and_then(|value| {
            Some(Condition {
                text: value.string()?,
                value: value.clone(),
                rule: has_row.then_some(next),
            })
        }));
        let (mut source, all_owners) = on?;
        match &mut source {
            EventSource::Row {
                action,
                changed: rule_changed,
                ..
            } => {
                if let Some(changed) = changed.filter(|_| *action != Action::Updated) {
                    changed.reader.wrong(
                        changed.key_place,
                        format!(
                            "{} does not fit {action}; only updated knows what changed, leave it out",
                            changed.key
                        ),
                    );
                }
                if let Some(condition) = condition.filter(|_| *action == Action::Truncated) {
                    condition.reader.wrong(
                        condition.key_place,
                        format!(
                            "{} does not fit truncated, which has no row; leave it out",
                            condition.key
                        ),
                    );
                }
                if let Some(example) = example {
                    example.reader.wrong(
                        example.key_place,
                        format!(
                            "{} is for custom events; that of a row is made from its table, leave it out",
                            example.key
                        ),
                    );
                }
                *rule_changed = columns.unwrap_or_default();
            }
            EventSource::Custom => {
                for value in changed.into_iter().chain(condition) {
                    value.reader.wrong(
                        value.key_place,
                        format!(
                            "{} does not fit custom, which has no row; leave it out",
                            value.key
                        ),
                    );
                }
            }
        }
        Some(EventRule {
            name: value.name.to_owned(),
            source,
            all_owners,
            description,
            example: payload,
            place: value.key_place,
        })
    }

    /// Reads `"name" = { before = "table.action", … }`.
    fn before_form(
        &mut self,
        value: &Value<'_>,
        table: &Table<'_>,
        on: &Value<'_>,
    ) -> Option<BeforeRule> {
        for name in ["on", "example"] {
            if let Some(value) = table.find(name) {
                value.reader.wrong(
                    value.key_place,
                    format!("{} does not fit before; leave it out", value.key),
                );
            }
        }
        let columns = table.find("changed").and_then(Value::strings);
        let condition = table.find("when").and_then(expression);
        let description = table.find("description").and_then(Value::string);
        let (mut source, all_owners) = self.bare_source(on)?;
        let (updated, has_row) = match &mut source {
            EventSource::Row {
                action,
                changed,
                when,
                ..
            } => {
                *changed = columns.unwrap_or_default();
                *when = condition;
                (*action == Action::Updated, true)
            }
            EventSource::Custom => (false, false),
        };
        for (name, fits, why) in [
            ("changed", updated, "only updated knows what changed"),
            ("when", has_row, "custom has no row"),
        ] {
            if let Some(value) = table.find(name).filter(|_| !fits) {
                value.reader.wrong(
                    value.key_place,
                    format!(
                        "{} does not fit here, because {why}; leave it out",
                        value.key
                    ),
                );
            }
        }
        let rule = EventRule {
            name: value.name.to_owned(),
            source,
            all_owners,
            description,
            example: None,
            place: value.key_place,
        };
        if all_owners {
            on.wrong(format!(
                "{} is heard by the operator's hooks alone; leave the + out",
                on.key
            ));
        }
        let (timeout, silence) = before::read(table);
        let before = BeforeRule {
            rule,
            timeout,
            silence,
        };
        if before.letter().is_none() && before.rule.source != EventSource::Custom {
            on.wrong(format!(
                "{} cannot be that; write created, updated or deleted, or custom for what rowhook.ask asks",
                on.key
            ));
        }
        Some(before)
    }

    /// Compiles all conditions at once, and each text once, because a file may have thousands of them.
    fn compile(&mut self, conditions: Vec<Condition<'_>>) {
        let texts = conditions.iter().map(|condition| condition.text.as_str());
        let texts: IndexSet<&str> = texts.collect();
        let texts = Vec::from_iter(texts);
        let compiled = Filter::compile_all(&texts).into_iter();
        let compiled = compiled.map(|compiled| compiled.map(Arc::new));
        let compiled: HashMap<&str, _> = texts.iter().copied().zip(compiled).collect();
        for Condition { value, text, rule } in &conditions {
            let Some(compiled) = compiled.get(text.as_str()) else {
                continue;
            };
            let filter = compiled.as_ref().map_err(|error| unfit(value, error)).ok();
            let rule = rule.and_then(|rule| self.rules.get_mut(rule));
            if let Some(EventSource::Row { when, .. }) = rule.map(|rule| &mut rule.source) {
                *when = filter.cloned();
            }
        }
    }

    /// Reads `[schema.]table.action`, `app.Model.action` or `custom`, with or without a `+`.
    fn bare_source(&mut self, value: &Value<'_>) -> Option<(EventSource, bool)> {
        let Some(text) = value.string() else {
            self.tables_unclear = true;
            return None;
        };
        let (bare, all_owners) = match text.strip_suffix('+') {
            Some(bare) => (bare, true),
            None => (&*text, false),
        };
        if bare == "custom" {
            return Some((EventSource::Custom, all_owners));
        }
        if let Some((model, action)) = Model::parse_with_action(bare) {
            let table = self.table_of(model);
            let source = self.row_source(value, table, action)?;
            return Some((source, all_owners));
        }
        let parts = name::parts(bare);
        if parts.as_ref().is_some_and(|parts| parts.len() == 1) {
            let table = if value.is_filled() { "table" } else { bare };
            let [created, updated, deleted] =
                ["created", "updated", "deleted"].map(|action| format!("{table}.{action}"));
            value.wrong(format!(
                "{} names no action; write {created:?}, {updated:?} or {deleted:?}",
                value.quote(&text)
            ));
            self.tables_unclear = true;
            return None;
        }
        let split = parts.and_then(|mut parts| Some((parts.pop()?, TableName::from_parts(parts)?)));
        let Some((action, table)) = split else {
            value.wrong(format!(
                "{} is no source; write \"[schema.]table.action\", with \"double quotes\" around odd names, \"app.Model.action\", or \"custom\"",
                value.quote(&text)
            ));
            self.tables_unclear = true;
            return None;
        };
        let source = self.row_source(value, table, &action)?;
        Some((source, all_owners))
    }

    /// The table of a Django model.
    fn table_of(&mut self, model: Model) -> TableName {
        if let Some(table) = self.by_model.get(&model) {
            return table.clone();
        }
        let table = model.table();
        self.add_model(table.clone(), model);
        table
    }

    fn add_model(&mut self, table: TableName, model: Model) {
        if self.by_model.contains_key(&model) {
            self.shared_models.insert(model.clone());
        } else {
            self.by_model.insert(model.clone(), table.clone());
        }
        self.models.push((table, model));
    }

    fn row_source(
        &mut self,
        value: &Value<'_>,
        table: TableName,
        action: &str,
    ) -> Option<EventSource> {
        self.tables.insert(table.clone());
        let action = match action {
            "created" => Action::Created,
            "updated" => Action::Updated,
            "deleted" => Action::Deleted,
            "truncated" => Action::Truncated,
            own => Action::Named(named(value, own)?),
        };
        Some(EventSource::Row {
            table,
            action,
            changed: Vec::new(),
            when: None,
        })
    }
}

/// The name of a user-defined action. One that resembles a built-in action is refused as a typing error, because its
/// event would never happen.
fn named(value: &Value<'_>, action: &str) -> Option<String> {
    if let Some(near) = nearest(action, ["created", "updated", "deleted", "truncated"]) {
        value.wrong(format!(
            "{} is not an action, did you mean {near:?}? An action of your own, which SQL fires, needs a name that is less like it",
            value.quote(action)
        ));
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !action.chars().all(plain) {
        value.wrong(format!(
            "{} is not an action; it is created, updated, deleted, truncated, or a name of letters, digits, _ and - for an action that SQL fires",
            value.quote(action)
        ));
        return None;
    }
    Some(action.to_owned())
}

/// A `when` that is not compiled yet.
struct Condition<'a> {
    value: Value<'a>,
    text: String,
    /// The index of its rule; `None` where it can have none.
    rule: Option<usize>,
}

/// Reads a CEL expression, and compiles it.
pub(super) fn expression(value: &Value<'_>) -> Option<Arc<Filter>> {
    let compiled = Filter::compile(&value.string()?);
    let filter = compiled.map_err(|error| unfit(value, &error)).ok();
    filter.map(Arc::new)
}

/// Records that the value is no expression.
fn unfit(value: &Value<'_>, error: &expression::error::Error) {
    if value.is_filled() {
        // The variable that was put in may be a secret.
        value.wrong(format!(
            "{} is not a CEL expression over new, old, changed, event and owner once its ${{NAME}} is put in; correct either",
            value.key
        ));
    } else {
        value.wrong(error.to_string());
    }
}

/// Is it `book.added = …` without quotes, which TOML reads as the table `book`?
fn is_unquoted(value: &Value<'_>) -> bool {
    value.has_no_key_of(KEYS.known)
}
