//! What a hooks.toml is made of, to say what has changed in it without saying what it holds.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value, json};
use toml::{Table, Value as Toml};

use super::load::read_text;

/// The parts of a file that are named one by one; what else stands in it is named by its section.
const NAMED: [&str; 3] = ["events", "tables", "hooks"];

/// The parts of a file as they concern one database: sections, and the names in them, with their text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outline(BTreeMap<(String, Option<String>), Toml>);

impl Outline {
    /// The outline of the file at `path` for the database of this name. That of a file that cannot be read is empty.
    pub fn read(path: &Path, database: Option<&str>) -> Self {
        let text = read_text(path).ok();
        text.map_or_else(Self::default, |text| Self::of(&text, database))
    }

    fn of(text: &str, database: Option<&str>) -> Self {
        let mut outline = Self::default();
        let Ok(mut file) = text.parse::<Table>() else {
            return outline;
        };
        let databases = file.remove("databases");
        if let (Some(name), Some(Toml::Array(databases))) = (database, databases) {
            let named = |one: &Toml| one.get("name").and_then(Toml::as_str) == Some(name);
            if let Some(Toml::Table(own)) = databases.into_iter().find(named) {
                let (parts, own) = own
                    .into_iter()
                    .partition(|(key, _)| matches!(&**key, "events" | "tables" | "hook_table"));
                outline.add(parts);
                outline
                    .0
                    .insert(("database".to_owned(), None), Toml::Table(own));
            }
        }
        outline.add(file);
        outline
    }

    fn add(&mut self, sections: Table) {
        for (section, value) in sections {
            match value {
                Toml::Table(parts) if NAMED.contains(&&*section) => {
                    for (name, part) in parts {
                        self.0.insert((section.clone(), Some(name)), part);
                    }
                }
                Toml::Array(hooks) if section == "hooks" => {
                    for hook in hooks {
                        let name = hook.get("name").and_then(Toml::as_str).map(str::to_owned);
                        self.0.insert((section.clone(), name), hook);
                    }
                }
                value => {
                    self.0.insert((section, None), value);
                }
            }
        }
    }

    /// What is different in `after`: names of events, tables, hooks and sections, and no value of them.
    pub fn changes(&self, after: &Self) -> Map<String, Value> {
        let mut changes: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
        let gone = self.0.keys().filter(|part| !after.0.contains_key(*part));
        let gone = gone.map(|part| (part, "removed"));
        let other = after.0.iter().filter_map(|(part, value)| {
            let how = match self.0.get(part) {
                None => "added",
                Some(before) if before != value => "changed",
                Some(_) => return None,
            };
            Some((part, how))
        });
        for ((section, name), how) in gone.chain(other) {
            let (section, name) = match name {
                Some(name) => (section.as_str(), name.as_str()),
                None => ("sections", section.as_str()),
            };
            let of_section = changes.entry(section).or_default();
            of_section.entry(how).or_default().push(name);
        }
        let changes = changes.into_iter();
        changes
            .map(|(section, changed)| (section.to_owned(), json!(changed)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_named_and_not_shown() {
        let before = Outline::of(
            "[events]\n\"a\" = \"x.created\"\n\"b\" = \"x.updated\"\n[[hooks]]\nname = \"one\"\nsecret = \"marker\"\n[delivery]\ntimeout = \"1s\"",
            None,
        );
        let after = Outline::of(
            "[events]\n\"b\" = \"y.updated\"\n\"c\" = \"x.deleted\"\n[[hooks]]\nname = \"one\"\nsecret = \"marker2\"\n[[hooks]]\nname = \"two\"\n[delivery]\ntimeout = \"2s\"",
            None,
        );
        assert_eq!(
            Value::Object(before.changes(&after)),
            json!({
                "events": {"added": ["c"], "changed": ["b"], "removed": ["a"]},
                "hooks": {"added": ["two"], "changed": ["one"]},
                "sections": {"changed": ["delivery"]},
            })
        );
        assert!(before.changes(&before).is_empty());
    }

    #[test]
    fn a_database_has_its_own_events_and_what_is_shared() {
        let text = |event: &str, limit: u32| {
            format!(
                "[[databases]]\nname = \"a\"\nurl = \"x\"\n[databases.events]\n\"{event}\" = \"x.created\"\n[[databases]]\nname = \"b\"\n[limits]\nhooks = {limit}"
            )
        };
        let (before, after) = (text("one", 1), text("two", 2));
        let changes = |name| {
            let of = |text: &str| Outline::of(text, Some(name));
            Value::Object(of(&before).changes(&of(&after)))
        };
        assert_eq!(
            changes("a"),
            json!({"events": {"added": ["two"], "removed": ["one"]}, "sections": {"changed": ["limits"]}})
        );
        assert_eq!(changes("b"), json!({"sections": {"changed": ["limits"]}}));
    }
}
