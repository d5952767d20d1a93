//! Reads the text of a hooks.toml: into a [`Config`], or into the list of its mistakes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::de::DeTable;

use super::{
    admins,
    audit::{self, Audit},
    certificates::{self, Certificate},
    cluster::{self, Cluster},
    console::{self, Console},
    database::{self, Database},
    databases::{self, Part},
    delivery::{self, Delivery},
    events::{self, BeforeRule, EventRule},
    history::{self, History},
    hook_table::{self, HookColumns, HookTable, OwnerExists},
    hooks::{self, FileHook},
    jwt,
    limits::{self, Limits},
    mistake::{Location, Mistake, Mistakes},
    model::Model,
    oidc,
    portal::{self, Portal},
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
        "databases",
        "events",
        "tables",
        "hooks",
        "hook_table",
        "certificates",
        "secrets",
        "limits",
        "delivery",
        "history",
        "audit",
        "server",
        "portal",
        "console",
        "cluster",
        "tracing",
    ],
    later: &[],
};

/// Every section with the keys that this version reads in it. A test compares them with the manual.
pub const KEYS: [(&str, &[&str]); 20] = [
    ("database", database::KEYS.known),
    ("databases", databases::OWN_KEYS),
    ("events", events::KEYS.known),
    ("tables", tables::KEYS.known),
    ("hooks", hooks::KEYS.known),
    ("hook_table", hook_table::KEYS.known),
    ("certificates", certificates::KEYS.known),
    ("secrets", secrets::KEYS.known),
    ("limits", limits::KEYS.known),
    ("delivery", delivery::KEYS.known),
    ("history", history::KEYS.known),
    ("audit", audit::KEYS.known),
    ("server", server::KEYS.known),
    ("server.jwt", jwt::KEYS.known),
    ("server.admins", admins::KEYS.known),
    ("server.oidc", oidc::KEYS.known),
    ("portal", portal::KEYS.known),
    ("console", console::KEYS.known),
    ("cluster", cluster::KEYS.known),
    ("tracing", tracing::KEYS.known),
];

/// What a hooks.toml says of one database, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The path of the file, as the user wrote it.
    pub path: PathBuf,
    /// Its name in `[[databases]]`; `None`: it is that of `[database]`, the only one of the file.
    pub name: Option<String>,
    /// `[database]`
    pub database: Database,
    /// `[events]`, in the order of the file.
    pub events: Vec<EventRule>,
    /// Those of `[events]` that are asked about before their transaction commits, in the order of the file.
    pub before: Vec<BeforeRule>,
    /// `[tables]`, in the order of the file.
    pub tables: Vec<TableRules>,
    /// Tables and their Django models, which `[events]` and `model` in `[tables]` name.
    pub models: Vec<(TableName, Model)>,
    /// Those of `[[hooks]]` that hear events of this database, in the order of the file.
    pub hooks: Vec<FileHook>,
    /// `[hook_table]`; `None`: hooks are in rowhook's own table.
    pub hook_table: Option<HookTable>,
    /// `[hook_table] owner_exists`
    pub owner_exists: Option<OwnerExists>,
    /// `[[certificates]]`, in the order of the file.
    pub certificates: Vec<Certificate>,
    /// `[secrets]`; secrets are stored as they are without it.
    pub secrets: Secrets,
    /// `[limits]`
    pub limits: Limits,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[history]`
    pub history: History,
    /// `[audit]`
    pub audit: Audit,
    /// `[server]`; `None`: rowhook listens on no port.
    pub server: Option<Server>,
    /// `[portal]`; `None`: there is no portal.
    pub portal: Option<Portal>,
    /// `[console]`; `None`: there is no console.
    pub console: Option<Console>,
    /// `[cluster]`; `None`: this process reads and sends, and there is no other.
    pub cluster: Option<Cluster>,
    /// `[tracing]`; `None`: no spans are sent.
    pub tracing: Option<Tracing>,
}

/// A whole hooks.toml, checked: what it says of each of its databases. One that has been read has one at least.
#[derive(Debug, Clone)]
pub struct Databases(Vec<Arc<Config>>);

impl Config {
    /// What the addresses of this database begin with: `/databases/NAME`, or nothing for that of `[database]`.
    pub fn root(&self) -> String {
        let name = self.name.as_ref();
        name.map_or_else(String::new, |name| format!("/databases/{name}"))
    }

    /// The table that holds the users' hooks: that of `[hook_table]`, or rowhook's own.
    pub fn hook_columns(&self) -> HookColumns {
        match &self.hook_table {
            Some(table) => table.columns.clone(),
            None => HookColumns::own(&self.database.schema),
        }
    }

    /// The same file as if what is asked about before a commit were all that happens.
    pub fn of_before(&self) -> Self {
        let rules = self.before.iter().map(|before| before.rule.clone());
        Self {
            events: rules.collect(),
            ..self.clone()
        }
    }

    /// Reads and checks the file at `path`, which has one database. `env` looks up a variable of the environment.
    ///
    /// # Errors
    /// As [`Databases::load`], and when the file has several databases.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        Databases::load(path, env)?.one(path, None)
    }

    /// Checks `text`, which has one database. Messages name it by `path`.
    ///
    /// # Errors
    /// As [`Databases::parse`], and when the text has several databases.
    pub fn parse(
        path: &Path,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Mistakes> {
        Databases::parse(path, text, env)?.one(path, None)
    }
}

impl Databases {
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

    /// What the file says of each of its databases, in its order.
    pub fn all(&self) -> &[Arc<Config>] {
        &self.0
    }

    /// The names of `[[databases]]`; none where the file has a `[database]`.
    pub fn names(&self) -> Vec<&str> {
        let names = self.0.iter().map(|config| config.name.as_deref());
        names.flatten().collect()
    }

    /// Those that a command is about: the one of this name, or all.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn named(&self, path: &Path, name: Option<&str>) -> Result<Vec<Arc<Config>>, Mistakes> {
        let Some(name) = name else {
            return Ok(self.0.clone());
        };
        let named = self
            .0
            .iter()
            .find(|config| config.name.as_deref() == Some(name));
        named.map(|config| vec![Arc::clone(config)]).ok_or_else(|| {
            self.unclear(
                path,
                match self.names()[..] {
                    [] => "has a [database] without a name; leave --database out".to_owned(),
                    _ => format!("has no database {name:?}; write {}", self.choices()),
                },
            )
        })
    }

    /// The one that a command is about: that of this name, or the only one.
    ///
    /// # Errors
    /// When there is none of this name, or there are several and none is named.
    pub fn one(&self, path: &Path, name: Option<&str>) -> Result<Config, Mistakes> {
        match &self.named(path, name)?[..] {
            [config] => Ok(Config::clone(config)),
            _ => Err(self.unclear(
                path,
                format!(
                    "has several databases, and this is about one; write {}",
                    self.choices()
                ),
            )),
        }
    }

    fn choices(&self) -> String {
        let choices = self
            .names()
            .into_iter()
            .map(|name| format!("--database {name}"));
        choices.collect::<Vec<_>>().join(" or ")
    }

    fn unclear(&self, path: &Path, text: String) -> Mistakes {
        Mistakes::new(path, vec![Mistake { place: None, text }])
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

/// Reads the whole file: what it says of each of its databases, and of all of them.
fn read(path: &Path, file: &Table<'_>) -> Option<Databases> {
    let folder = path.parent().unwrap_or(Path::new(""));
    file.refuse_unknown(&SECTIONS);
    let section = |name: &str, keys: &Keys| file.find(name).and_then(|value| value.table(keys));
    let secrets = section("secrets", &secrets::KEYS).map(|section| secrets::read(&section));
    let has_key = secrets.is_some();
    let secrets = secrets.unwrap_or_default();
    let parts = match file.find("databases") {
        Some(databases) => databases::read(file, databases, has_key),
        None => vec![Part::of_file(file, has_key)],
    };
    let delivery = section("delivery", &delivery::KEYS).map(|section| delivery::read(&section));
    let delivery = delivery.unwrap_or_default();
    let hooks = file.find("hooks");
    let hooks = hooks.map(|value| hooks::read(value, &parts, &delivery, folder));
    let hooks = hooks.unwrap_or_default();
    let certificates = file.find("certificates");
    let certificates = certificates.map(|value| certificates::read(value, folder));
    let certificates = certificates.unwrap_or_default();
    let history = section("history", &history::KEYS).map(|section| history::read(&section));
    let history = history.unwrap_or_default();
    let audit = section("audit", &audit::KEYS).map(|section| audit::read(&section));
    let audit = audit.unwrap_or_default();
    let limits = section("limits", &limits::KEYS).map(|section| limits::read(&section));
    let limits = limits.unwrap_or_default();
    let server = section("server", &server::KEYS).and_then(|section| server::read(&section));
    let has_server = file.find("server").is_some();
    let portal = section("portal", &portal::KEYS)
        .and_then(|section| portal::read(&section, has_server, folder));
    let console = section("console", &console::KEYS).and_then(|section| console::read(&section));
    let cluster =
        section("cluster", &cluster::KEYS).and_then(|section| cluster::read(&section, folder));
    let tracing = section("tracing", &tracing::KEYS).and_then(|section| tracing::read(&section));
    let delivery = delivery.shared_by(parts.len());
    let configs = parts.into_iter().map(|part| {
        let heard = |hook: &&FileHook| hook.is_for(&part);
        let mut history = history.clone();
        history.redact = history.redact.in_bodies(&part.tables, &part.events.rules);
        Some(Config {
            path: path.to_owned(),
            hooks: hooks.iter().filter(heard).cloned().collect(),
            name: part.name,
            database: part.database?,
            events: part.events.rules,
            before: part.events.before,
            models: part.events.models,
            tables: part.tables,
            hook_table: part.hook_table,
            owner_exists: part.owner_exists,
            certificates: certificates.clone(),
            secrets: secrets.clone(),
            limits,
            delivery: delivery.clone(),
            history,
            audit,
            server: server.clone(),
            portal: portal.clone(),
            console: console.clone(),
            cluster: cluster.clone(),
            tracing: tracing.clone(),
        })
    });
    let configs: Option<Vec<Config>> = configs.collect();
    let configs = configs?.into_iter().map(Arc::new).collect();
    Some(Databases(configs))
}
