//! From the text of a hooks.toml to a [`Config`], or to everything that is wrong with it.

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
    mistake::{Mistake, Mistakes, Place},
    model::Model,
    reader::{Keys, Reader, Table},
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
        "delivery",
        "history",
        "server",
        "console",
        "tracing",
    ],
    later: &[],
};

/// Every section and the keys that this version reads in it, so that the manual can be held against them.
pub const KEYS: [(&str, &[&str]); 11] = [
    ("database", database::KEYS.known),
    ("events", events::KEYS.known),
    ("tables", tables::KEYS.known),
    ("hooks", hooks::KEYS.known),
    ("hook_table", hook_table::KEYS.known),
    ("delivery", delivery::KEYS.known),
    ("history", history::KEYS.known),
    ("server", server::KEYS.known),
    ("server.jwt", jwt::KEYS.known),
    ("console", console::KEYS.known),
    ("tracing", tracing::KEYS.known),
];

/// A whole hooks.toml.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the file was read from, as the user named it.
    pub path: PathBuf,
    /// `[database]`
    pub database: Database,
    /// `[events]`, in the order of the file.
    pub events: Vec<EventRule>,
    /// `[tables]`, in the order of the file.
    pub tables: Vec<TableRules>,
    /// The Django models of tables, as labels in `[events]` and `model` in `[tables]` name them.
    pub models: Vec<(TableName, Model)>,
    /// `[[hooks]]`, in the order of the file.
    pub hooks: Vec<FileHook>,
    /// `[hook_table]`; `None` means rowhook's own `hook` table.
    pub hook_table: Option<HookTable>,
    /// `[hook_table] owner_exists`
    pub owner_exists: Option<OwnerExists>,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[history]`
    pub history: History,
    /// `[server]`; `None` means that nothing listens.
    pub server: Option<Server>,
    /// `[console]`; `None` means that there is none.
    pub console: Option<Console>,
    /// `[tracing]`; `None` means that there are no traces.
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

    /// Reads and checks the file at `path`. `env` answers what the environment says of a name.
    ///
    /// # Errors
    /// When the file cannot be read, and as [`Config::parse`].
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        Self::parse(path, &read_text(path)?, env)
    }

    /// Checks `text`, which messages call by the name `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file. A text that is not TOML is not looked at further: what
    /// could be made of it would be a guess.
    pub fn parse(
        path: &Path,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Mistakes> {
        let read = |file: &Table<'_>| read(path, file);
        parse_text(path, "hooks.toml", text, env, read)
    }
}

/// The text of a file.
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

/// What `read` makes of `text`, or everything that is wrong with it. `kind` is what messages call a file of this kind.
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
        let start = Place { line: 1, column: 1 };
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
    let tables = tables
        .map(|section| tables::read(&section, &events))
        .unwrap_or_default();
    let delivery = file
        .find("delivery")
        .and_then(|value| value.table(&delivery::KEYS))
        .map_or_else(Delivery::default, |section| delivery::read(&section));
    let hooks = file
        .find("hooks")
        .map(|value| hooks::read(value, &events, &delivery, folder))
        .unwrap_or_default();
    let hooks_in = file
        .find("hook_table")
        .and_then(|value| value.table(&hook_table::KEYS));
    let hook_table = hooks_in.as_ref().and_then(hook_table::read);
    let owner_exists = hooks_in.as_ref().and_then(hook_table::owner_exists);
    let history = file
        .find("history")
        .and_then(|value| value.table(&history::KEYS))
        .map(|section| history::read(&section))
        .unwrap_or_default();
    let server = file
        .find("server")
        .and_then(|value| value.table(&server::KEYS))
        .and_then(|section| server::read(&section));
    let console = file
        .find("console")
        .and_then(|value| value.table(&console::KEYS))
        .and_then(|section| console::read(&section));
    let tracing = file
        .find("tracing")
        .and_then(|value| value.table(&tracing::KEYS))
        .and_then(|section| tracing::read(&section));
    Some(Config {
        path: path.to_owned(),
        database: database?,
        events: events.rules,
        tables,
        models: events.models,
        hooks,
        hook_table,
        owner_exists,
        delivery,
        history,
        server,
        console,
        tracing,
    })
}
