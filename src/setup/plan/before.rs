//! The triggers of the events that endpoints are asked about before a commit. Only tables of such events have one.

use std::collections::BTreeMap;

use super::step::{Runs, Step};
use crate::{
    config::{Config, EventSource, Silence},
    postgres::{TableName, quote},
    setup::catalog::{BeforeEvent, BeforeTrigger, Facts, Kind},
};

/// The steps that make the database ask what the file wants, and nothing else.
pub(super) fn steps(config: &Config, facts: &Facts) -> Vec<Step> {
    let mut steps: Vec<Step> = events(config, facts).into_iter().collect();
    let wanted = wanted_triggers(config);
    for trigger in &facts.before_triggers {
        if !wanted.contains_key(&trigger.table) {
            let table = &trigger.table;
            steps.push(Step {
                reason: format!(
                    "the trigger {} of {table} is left over, since no event asks about it any more",
                    trigger.name
                ),
                sql: format!("{};\n", drop_trigger(trigger)),
                runs: Runs::InTransaction,
                alters: Some(table.clone()),
            });
        }
    }
    for (table, wanted) in wanted {
        let found: Vec<&BeforeTrigger> = facts
            .before_triggers
            .iter()
            .filter(|trigger| trigger.table == table)
            .collect();
        let is_there = |table: &TableName| {
            let table = facts.table(table);
            table.is_some_and(|table| !matches!(table.kind, Kind::Unpublishable(_)))
        };
        if matches!(found[..], [found] if wanted.is(&table, found)) || !is_there(&table) {
            continue;
        }
        let mut sql = String::new();
        for trigger in found {
            sql.push_str(&format!("{};\n", drop_trigger(trigger)));
        }
        sql.push_str(&wanted.create(config, &table));
        steps.push(Step {
            reason: format!("{table} asks before its changes are committed"),
            sql,
            runs: Runs::InTransaction,
            alters: Some(table),
        });
    }
    steps
}

/// The statement that drops a trigger.
pub(in crate::setup) fn drop_trigger(trigger: &BeforeTrigger) -> String {
    format!(
        "drop trigger if exists {} on {}",
        quote::name(&trigger.name),
        quote::table(&trigger.table)
    )
}

/// A step that copies the events into the table `before_event`, where `rowhook.ask` finds them.
fn events(config: &Config, facts: &Facts) -> Option<Step> {
    let mut wanted: Vec<BeforeEvent> = config
        .before
        .iter()
        .map(|before| BeforeEvent {
            name: before.rule.name.clone(),
            source: before.rule.source.to_string(),
            timeout_ms: millis(before.timeout),
            refuses: before.silence == Silence::Refuse,
        })
        .collect();
    wanted.sort_by(|a, b| a.name.cmp(&b.name));
    let there = facts.schema.as_ref();
    let mut there = there.map_or_else(Vec::new, |schema| schema.before_events.clone());
    there.sort_by(|a, b| a.name.cmp(&b.name));
    if wanted == there {
        return None;
    }
    let table = format!("{}.before_event", quote::name(&config.database.schema));
    let mut sql = format!("delete from {table};\n");
    if !wanted.is_empty() {
        let rows = wanted.iter().map(|event| {
            format!(
                "({}, {}, {}, {})",
                quote::text(&event.name),
                quote::text(&event.source),
                event.timeout_ms,
                event.refuses
            )
        });
        let rows: Vec<String> = rows.collect();
        sql.push_str(&format!(
            "insert into {table} (name, source, timeout_ms, refuses)\nvalues\n    {};\n",
            rows.join(",\n    ")
        ));
    }
    Some(Step {
        reason: "the events that endpoints are asked about before a commit".into(),
        sql,
        runs: Runs::InTransaction,
        alters: None,
    })
}

fn millis(timeout: std::time::Duration) -> i32 {
    i32::try_from(timeout.as_millis().max(1)).unwrap_or(i32::MAX)
}

/// What the trigger of a table has to be.
#[derive(Debug, Default)]
struct Wanted {
    /// The letters of the actions that are asked about, in the order `iud`.
    letters: String,
    timeout_ms: i32,
    refuses: bool,
}

/// The tables that need a trigger.
fn wanted_triggers(config: &Config) -> BTreeMap<TableName, Wanted> {
    let mut all: BTreeMap<TableName, Wanted> = BTreeMap::new();
    for letter in "iud".chars() {
        for before in &config.before {
            let EventSource::Row { table, .. } = &before.rule.source else {
                continue;
            };
            if before.letter() != Some(letter) {
                continue;
            }
            let wanted = all.entry(table.clone()).or_default();
            if !wanted.letters.ends_with(letter) {
                wanted.letters.push(letter);
            }
            wanted.timeout_ms = wanted.timeout_ms.max(millis(before.timeout));
            wanted.refuses |= before.silence == Silence::Refuse;
        }
    }
    all
}

impl Wanted {
    /// Whether it hears insertions, updates and deletions. A row that is asked about can be changed again.
    fn heard(&self) -> [bool; 3] {
        let inserts = self.letters.contains('i');
        let updates = inserts || self.letters.contains('u');
        [inserts, updates, true]
    }

    fn arguments(&self, table: &TableName) -> [String; 5] {
        [
            table.schema.clone(),
            table.name.clone(),
            self.letters.clone(),
            self.timeout_ms.to_string(),
            self.refuses.to_string(),
        ]
    }

    fn is(&self, table: &TableName, found: &BeforeTrigger) -> bool {
        found.hears == self.heard() && found.arguments == self.arguments(table)
    }

    fn create(&self, config: &Config, table: &TableName) -> String {
        let schema = &config.database.schema;
        let words = ["insert", "update", "delete"].into_iter().zip(self.heard());
        let heard: Vec<&str> = words
            .filter_map(|(word, heard)| heard.then_some(word))
            .collect();
        let arguments = self.arguments(table).map(|argument| quote::text(&argument));
        format!(
            "create constraint trigger {} after {} on {}\n    deferrable initially deferred\n    for each row execute function {}.ask_row({});\n",
            quote::name(&trigger_name(schema)),
            heard.join(" or "),
            quote::table(table),
            quote::name(schema),
            arguments.join(", ")
        )
    }
}

/// The name of the triggers: that of the schema, and what they do.
fn trigger_name(schema: &str) -> String {
    let end = (0..=56.min(schema.len())).rev();
    let end = end.into_iter().find(|end| schema.is_char_boundary(*end));
    let stem = schema.get(..end.unwrap_or_default());
    format!("{}_before", stem.unwrap_or_default())
}
