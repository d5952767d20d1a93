//! `[[databases]]`: several databases in one file, each with its own events, tables and hook table. A file with
//! `[database]` has one, and these sections stand on top.

use std::collections::HashSet;

use super::{
    database::{self, Database},
    events::Events,
    hook_table::{self, HookTable, OwnerExists},
    reader::{Table, Value},
    tables::{self, TableRules},
};

/// The keys of `[[databases]]` beside those of `[database]` and the sections.
pub(super) const OWN_KEYS: &[&str] = &["name"];
/// The sections that stand in each of `[[databases]]`, and on top beside `[database]`.
const SECTIONS: [&str; 3] = ["events", "tables", "hook_table"];
/// The most bytes of a name: `rowhook_<name>` must fit into the 63 bytes of a slot's name.
const LONGEST_NAME: usize = 55;

/// What the file says of one database.
pub(super) struct Part {
    /// Its name; `None`: it is that of `[database]`.
    pub(super) name: Option<String>,
    /// `None` where it has a mistake.
    pub(super) database: Option<Database>,
    pub(super) events: Events,
    pub(super) tables: Vec<TableRules>,
    pub(super) hook_table: Option<HookTable>,
    pub(super) owner_exists: Option<OwnerExists>,
}

impl Part {
    /// Reads `[database]` and the sections beside it.
    pub(super) fn of_file(file: &Table<'_>, has_key: bool) -> Self {
        let database = file
            .need("database", "[database] with url = \"${DATABASE_URL}\"")
            .and_then(|value| value.table(&database::KEYS))
            .and_then(|section| database::read(&section, "rowhook"));
        Self::read(file, None, database, has_key)
    }

    /// `has_key`: there is a key that secrets can be sealed with.
    fn read(
        section: &Table<'_>,
        name: Option<String>,
        database: Option<Database>,
        has_key: bool,
    ) -> Self {
        let tables = section.find("tables").and_then(Value::open_table);
        let models = tables.as_ref().map(tables::models).unwrap_or_default();
        let remedy = match &*section.name {
            "" => "[events] with \"book.added\" = \"book.created\"",
            _ => "[databases.events] with \"book.added\" = \"book.created\" below it",
        };
        let events = section
            .need("events", remedy)
            .and_then(Value::open_table)
            .map_or_else(Events::unknown, |section| Events::read(&section, models));
        let hooks = section.find("hook_table");
        let hooks = hooks.and_then(|value| value.table(&hook_table::KEYS));
        let hook_table = hooks.as_ref().and_then(hook_table::read);
        let sealed = hooks.as_ref().and_then(|section| section.find("sealed"));
        if let Some(sealed) = sealed.filter(|_| !has_key) {
            sealed.wrong(format!(
                "{} needs a key; give one in [secrets], or leave it out",
                sealed.key
            ));
        }
        let of_hooks = hook_table.as_ref().map(|hooks| &hooks.columns.table);
        let tables = tables.map(|section| tables::read(&section, &events, of_hooks));
        Self {
            name,
            database,
            tables: tables.unwrap_or_default(),
            owner_exists: hooks.as_ref().and_then(hook_table::owner_exists),
            hook_table,
            events,
        }
    }
}

/// Reads `[[databases]]`. What a file with one database has on top is refused beside it. `has_key`: there is a key that
/// secrets can be sealed with.
pub(super) fn read(file: &Table<'_>, value: &Value<'_>, has_key: bool) -> Vec<Part> {
    for section in ["database"].iter().chain(&SECTIONS) {
        let Some(found) = file.find(section) else {
            continue;
        };
        let remedy = match *section {
            "database" => "make it one of [[databases]], with a name".to_owned(),
            section => format!("move it into one of them, as [databases.{section}]"),
        };
        let place = found.key_place;
        let text = format!("[{section}] stands beside [[databases]]; {remedy}");
        file.reader.wrong(place, text);
    }
    if value.is_table() {
        value.reader.wrong(
            value.key_place,
            "databases is a table; write [[databases]], in double brackets, above each database",
        );
        return Vec::new();
    }
    let databases = value.list("[[databases]] above each database");
    let databases = databases.unwrap_or_default();
    if databases.is_empty() {
        value.wrong("databases is empty; write [[databases]] above each database");
    }
    let mut parts = Vec::new();
    let mut names = HashSet::new();
    for value in &databases {
        let Some(section) = value.open_table() else {
            continue;
        };
        let known = [OWN_KEYS, database::KEYS.known, &SECTIONS].concat();
        section.refuse_all_but(&known, database::KEYS.later);
        let named = section.need("name", "name = \"shop\"");
        let name = named.and_then(|value| name(value, &mut names));
        let slot = format!("rowhook_{}", name.as_deref().unwrap_or_default());
        let database = database::read(&section, &slot);
        if let Some(database) = &database {
            refuse_same(&section, database, &parts);
        }
        // Without a name, what follows is read for its mistakes alone.
        parts.push(Part::read(
            &section,
            Some(name.unwrap_or_default()),
            database,
            has_key,
        ));
    }
    parts
}

/// A name is part of the name of the slot, and of addresses.
fn name(value: &Value<'_>, names: &mut HashSet<String>) -> Option<String> {
    let name = value.string()?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let letter = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !letter || !name.chars().all(allowed) || name.len() > LONGEST_NAME {
        value.wrong(format!(
            "{} cannot name a database here; begin with a letter, then use up to {} of a-z, 0-9 and _",
            value.quote(&name),
            LONGEST_NAME - 1
        ));
        return None;
    }
    if !names.insert(name.clone()) {
        value.wrong(format!(
            "{} names another database already; give each its own name",
            value.quote(&name)
        ));
    }
    Some(name)
}

/// Refuses what would take another one's slot, publications or tables for its own.
fn refuse_same(section: &Table<'_>, database: &Database, others: &[Part]) {
    for other in others {
        let Some(Database {
            address,
            slot,
            publication,
            schema,
            ..
        }) = &other.database
        else {
            continue;
        };
        let place = |key| section.find(key).map_or(section.place, |value| value.place);
        let whose = other.name.as_deref().unwrap_or_default();
        let is_same_server = address.hosts == database.address.hosts;
        if is_same_server && *slot == database.slot {
            let text = format!(
                "the slot {slot:?} is that of the database {whose:?}, and the slots of a server share their names; choose another slot"
            );
            section.reader.wrong(place("slot"), text);
        }
        if !is_same_server || address.database != database.address.database {
            continue;
        }
        for (key, theirs, ours) in [
            ("publication", publication, &database.publication),
            ("schema", schema, &database.schema),
        ] {
            if theirs == ours {
                let text = format!(
                    "{key} {ours:?} is that of {whose:?}, which has the same database; choose another {key}, or put both into one of [[databases]]"
                );
                section.reader.wrong(place(key), text);
            }
        }
    }
}

/// Reads the names of databases in a hook.
pub(super) fn named(value: &Value<'_>, parts: &[Part]) -> Option<Vec<String>> {
    let known: Vec<&str> = parts
        .iter()
        .filter_map(|part| part.name.as_deref())
        .collect();
    if known.is_empty() {
        value.reader.wrong(
            value.key_place,
            format!(
                "{} names some of [[databases]], and there are none; leave it out",
                value.key
            ),
        );
        return None;
    }
    let names = value.strings()?;
    let is_unknown = |name: &&String| !known.contains(&name.as_str());
    let Some(unknown) = names.iter().find(is_unknown) else {
        return Some(names);
    };
    let known: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
    let known = known.join(" or ");
    let unknown = value.quote(unknown);
    value.wrong(format!(
        "{unknown} is not among [[databases]]; write {known}"
    ));
    None
}
