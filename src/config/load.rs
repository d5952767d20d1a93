//! Reads the text of a hooks.toml: into a [`Config`], or into the list of its mistakes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use super::{
    console::{self, Console},
    database::{self, Database},
    delivery::{self, Delivery},
    events::{self, EventRule, Events},
    history::{self, History},
    hook_table::{self, HookColumns, HookTable, OwnerExists},
    hooks::{self, FileHook},
    jwt,
    limits::{self, Limits},
    mistake::{Location, Mistake, Mistakes},
    model::Model,
    reader::{Keys, Reader, Table},
    secrets::{self, Secrets},
    server::{self, Server},
    tables::{self, TableRules},
    tracing::{self, Tracing},
};
use crate::postgres::TableName;

const SECTIONS: Keys = Keys {
    known: &[
        "database",
        "events",
        "tables",
        "hooks",
        "hook_table",
        "secrets",
        "limits",
        "delivery",
        "history",
        "server",
        "console",
        "tracing",
    ],
    later: &[],
};

/// Every section with the keys that this version reads in it. A test compares them with the manual.
pub const KEYS: [(&str, &[&str]); 13] = [
    ("database", database::KEYS.known),
    ("events", events::KEYS.known),
    ("tables", tables::KEYS.known),
    ("hooks", hooks::KEYS.known),
    ("hook_table", hook_table::KEYS.known),
    ("secrets", secrets::KEYS.known),
    ("limits", limits::KEYS.known),
    ("delivery", delivery::KEYS.known),
    ("history", history::KEYS.known),
    ("server", server::KEYS.known),
    ("server.jwt", jwt::KEYS.known),
    ("console", console::KEYS.known),
    ("tracing", tracing::KEYS.known),
];

/// A whole hooks.toml, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The path of the file, as the user wrote it.
    pub path: PathBuf,
    /// `[database]`
    pub database: Database,
    /// `[events]`, in the order of the file.
    pub events: Vec<EventRule>,
    /// `[tables]`, in the order of the file.
    pub tables: Vec<TableRules>,
    /// Tables and their Django models, which `[events]` and `model` in `[tables]` name.
    pub models: Vec<(TableName, Model)>,
    /// `[[hooks]]`, in the order of the file.
    pub hooks: Vec<FileHook>,
    /// `[hook_table]`; `None`: hooks are in rowhook's own table.
    pub hook_table: Option<HookTable>,
    /// `[hook_table] owner_exists`
    pub owner_exists: Option<OwnerExists>,
    /// `[secrets]`; secrets are stored as they are without it.
    pub secrets: Secrets,
    /// `[limits]`
    pub limits: Limits,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[history]`
    pub history: History,
    /// `[server]`; `None`: rowhook listens on no port.
    pub server: Option<Server>,
    /// `[console]`; `None`: there is no console.
    pub console: Option<Console>,
    /// `[tracing]`; `None`: no spans are sent.
    pub tracing: Option<Tracing>,
}

impl Config {
    /// The table that holds the users' hooks: that of `[hook_table]`, or rowhook's own.
    pub fn hook_columns(&self) -> HookColumns {
        match &self.hook_table {
            Some(table) => table.columns.clone(),
            None => HookColumns::own(&self.database.schema),
        }
    }

    /// Reads and checks the file at `path`. `env` looks up a variable of the environment.
    ///
    /// # Errors
    /// When the file cannot be read, and when it has mistakes.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        Self::parse(path, &read_text(path)?, env)
    }

    /// Checks `text`. Messages name it by `path`.
    ///
    /// # Errors
    /// All mistakes, in the order of the file. Of a text that is not TOML only the syntax errors are reported, because
    /// whatever else could be read from it would be a guess.
    pub fn parse(
        path: &Path,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Mistakes> {
        let read = |file: &Table<'_>| read(path, file);
        parse_text(path, "hooks.toml", text, env, read)
    }
}

/// The text of a file, which must be UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String, Mistakes> {
    let wrong = |place, text| Err(Mistakes::new(path, vec![Mistake { place, text }]));
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return wrong(None, format!("cannot be read: {error}")),
    };
    String::from_utf8(bytes).or_else(|error| {
        let good = error.utf8_error().valid_up_to();
        let good = String::from_utf8_lossy(&error.as_bytes()[..good]);
        let place = Reader::new(&good, "", &|_| None).place(good.len());
        let text = "this is not UTF-8; save the file in that encoding".to_owned();
        wrong(Some(place), text)
    })
}

/// Parses `text` as TOML and hands it to `read`. Returns its result, or all mistakes. `kind` is the name that messages
/// have for a file of this kind.
pub(crate) fn parse_text<T>(
    path: &Path,
    kind: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    read: impl FnOnce(&Table<'_>) -> Option<T>,
) -> Result<T, Mistakes> {
    let reader = Reader::new(text, kind, env);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let start = error.span().map_or(0, |span| span.start);
        let reason: Vec<&str> = error.message().split_whitespace().collect();
        let text = format!("this is not TOML: {}", reason.join(" "));
        reader.wrong(reader.place(start), text);
    }
    let found = if errors.is_empty() {
        let start = Location { line: 1, column: 1 };
        read(&Table::new(&reader, "", start, root.get_ref()))
    } else {
        None
    };
    let mistakes = reader.finish();
    match found {
        Some(found) if mistakes.is_empty() => Ok(found),
        _ => Err(Mistakes::new(path, mistakes)),
    }
}

fn read(path: &Path, file: &Table<'_>) -> Option<Config> {
    let folder = path.parent().unwrap_or(Path::new(""));
    file.refuse_unknown(&SECTIONS);
    let section = |name: &str, keys: &Keys| file.find(name).and_then(|value| value.table(keys));
    let database = file
        .need("database", "[database] with url = \"${DATABASE_URL}\"")
        .and_then(|value| value.table(&database::KEYS))
        .and_then(|section| database::read(&section));
    let tables = file.find("tables").and_then(|value| value.open_table());
    let models = tables.as_ref().map(tables::models).unwrap_or_default();
    let events = file
        .need("events", "[events] with \"book.added\" = \"book.created\"")
        .and_then(|value| value.open_table())
        .map_or_else(Events::unknown, |section| Events::read(&section, models));
    let hook_section = section("hook_table", &hook_table::KEYS);
    let hook_table = hook_section.as_ref().and_then(hook_table::read);
    let secrets = section("secrets", &secrets::KEYS).map(|section| secrets::read(&section));
    if let (None, Some(sealed)) = (
        &secrets,
        hook_section
            .as_ref()
            .and_then(|section| section.find("sealed")),
    ) {
        sealed.wrong(format!(
            "{} needs a key; give one in [secrets], or leave it out",
            sealed.key
        ));
    }
    let of_hooks = hook_table.as_ref().map(|hooks| &hooks.columns.table);
    let tables = tables.map(|section| tables::read(&section, &events, of_hooks));
    let delivery = section("delivery", &delivery::KEYS).map(|section| delivery::read(&section));
    let delivery = delivery.unwrap_or_default();
    let hooks = file.find("hooks");
    let hooks = hooks.map(|value| hooks::read(value, &events, &delivery, folder));
    let history = section("history", &history::KEYS).map(|section| history::read(&section));
    let mut history = history.unwrap_or_default();
    let tables = tables.unwrap_or_default();
    history.redact = history.redact.in_bodies(&tables, &events.rules);
    let config = Config {
        path: path.to_owned(),
        tables,
        hooks: hooks.unwrap_or_default(),
        owner_exists: hook_section.as_ref().and_then(hook_table::owner_exists),
        hook_table,
        secrets: secrets.unwrap_or_default(),
        limits: section("limits", &limits::KEYS)
            .map(|section| limits::read(&section))
            .unwrap_or_default(),
        history,
        server: section("server", &server::KEYS).and_then(|section| server::read(&section)),
        console: section("console", &console::KEYS).and_then(|section| console::read(&section)),
        tracing: section("tracing", &tracing::KEYS).and_then(|section| tracing::read(&section)),
        events: events.rules,
        models: events.models,
        delivery,
        database: database?,
    };
    Some(config)
}
