//! What the user wrote in hooks.toml, as checked types.
//!
//! Nothing after this module checks a key again. What only the database can tell (does the table exist, does the filter
//! fit its columns) is checked against it by `rowhook check` and at the start of `rowhook run`.

mod database;
mod delivery;
mod environment;
mod events;
mod history;
mod hook_table;
mod hooks;
mod load;
mod mistake;
mod name;
mod quantity;
mod reader;
pub mod receive;
mod secret;
mod server;
mod tables;

use std::{fmt, num::NonZeroUsize, path::PathBuf, time::Duration};

use ipnet::IpNet;
use url::Url;

pub(crate) use self::quantity::duration;
pub use self::{
    load::KEYS,
    mistake::{Mistake, Mistakes},
    secret::Secret,
};

/// A hook has been disabled by rowhook; hooks of its owner may listen to that.
pub const HOOK_DISABLED: &str = "hook.disabled";
/// Changes were lost; all hooks may listen to that.
pub const GAP: &str = "rowhook.gap";
/// Events that rowhook fires itself.
pub const OWN_EVENTS: [&str; 2] = [HOOK_DISABLED, GAP];

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
    /// `[[hooks]]`, in the order of the file.
    pub hooks: Vec<FileHook>,
    /// `[hook_table]`; `None` means rowhook's own `hook` table.
    pub hook_table: Option<HookTable>,
    /// `[delivery]`
    pub delivery: Delivery,
    /// `[history]`
    pub history: History,
    /// `[server]`; `None` means that nothing listens.
    pub server: Option<Server>,
    /// Keys that are understood but do nothing in this version, by name and place.
    pub not_yet: Vec<NotYet>,
}

/// A line and column of hooks.toml, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A key whose behaviour comes in a later version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotYet {
    /// The key's full name: `delivery.retention`.
    pub key: String,
    /// Where it stands.
    pub place: Place,
}

/// `[database]`: what is attached to.
#[derive(Debug, Clone)]
pub struct Database {
    /// libpq URL; carries the password.
    pub url: Secret,
    /// Name of the replication slot. Default `rowhook`.
    pub slot: String,
    /// Name of the publication; tables without replica identity go into `<publication>_inserts`. Default `rowhook`.
    pub publication: String,
    /// Schema of rowhook's own tables. Default `rowhook`.
    pub schema: String,
    /// Another database for rowhook's own tables. Default: the same one.
    pub store: Option<Secret>,
}

impl Database {
    /// The publication of the tables that have no replica identity.
    pub fn inserts_publication(&self) -> String {
        format!("{}_inserts", self.publication)
    }
}

/// A table with its schema; `public` where the file names none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Schema, unquoted.
    pub schema: String,
    /// Table, unquoted.
    pub name: String,
}

impl TableName {
    /// A table of the schema `public`.
    pub fn public(name: impl Into<String>) -> Self {
        Self {
            schema: "public".into(),
            name: name.into(),
        }
    }
}

/// As a user writes it: without the schema where that is `public`.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema != "public" {
            write!(f, "{}.", self.schema)?;
        }
        f.write_str(&self.name)
    }
}

/// One line of `[events]`.
#[derive(Debug, Clone)]
pub struct EventRule {
    /// The event's name: `book.added`.
    pub name: String,
    /// What makes it happen.
    pub source: EventSource,
    /// `+`: hooks of all owners hear it.
    pub all_owners: bool,
    /// Where the rule stands.
    pub place: Place,
}

/// What makes an event happen.
#[derive(Debug, Clone, PartialEq)]
pub enum EventSource {
    /// A row change, or an action of the user's own fired from SQL on a row.
    Row {
        /// The table.
        table: TableName,
        /// What happens to its row.
        action: Action,
        /// Only when one of these columns changed; empty: always. Only with `updated`.
        changed: Vec<String>,
        /// Only when this CEL expression is true.
        when: Option<String>,
    },
    /// Any payload, fired from SQL.
    Custom,
}

/// The last word of `table.action`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// A row was inserted.
    Created,
    /// A row was updated.
    Updated,
    /// A row was deleted.
    Deleted,
    /// Fired from SQL on a row, by this name.
    Named(String),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Named(name) => name,
        })
    }
}

/// `[tables.NAME]`
#[derive(Debug, Clone)]
pub struct TableRules {
    /// The table.
    pub table: TableName,
    /// How its rows' owner is found; `None`: by `user_id` where the table has that column.
    pub owner: Option<OwnerRule>,
    /// Let setup set REPLICA IDENTITY FULL.
    pub identity_full: bool,
    /// Which columns a payload shows.
    pub columns: Columns,
    /// Where the table's rules begin.
    pub place: Place,
}

/// Which columns of a table are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Columns {
    /// All of them, later ones included.
    #[default]
    All,
    /// These.
    Only(Vec<String>),
    /// All but these.
    Except(Vec<String>),
}

/// How the owner of a row is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRule {
    /// The row's own column: the owner itself when there are no steps, else the key that the first step looks up.
    pub column: String,
    /// Tables to go through, in order: `shelf_id -> shelf.user_id` has one step.
    pub steps: Vec<OwnerStep>,
}

/// One `-> table.column` of an owner path. The table is entered by its primary key, which must be one column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnerStep {
    /// The table that the key before points to.
    pub table: TableName,
    /// Its column with the owner, or with the key of the next step.
    pub column: String,
}

/// One `[[hooks]]`: a hook of the operator, known by its name.
#[derive(Clone)]
pub struct FileHook {
    /// Its name, which is its id too.
    pub name: String,
    /// Events or patterns: `book.added`, `book.*`, `*`.
    pub events: Vec<Pattern>,
    /// Where it is POSTed to.
    pub target: Url,
    /// Key for signatures; `None`: unsigned.
    pub secret: Option<Secret>,
    /// Whose rows it hears; `None`: everyone's.
    pub owner: Option<String>,
    /// Headers to add, checked: names are not those that rowhook or HTTP sets.
    pub headers: Vec<(String, Secret)>,
    /// Only when this CEL expression is true.
    pub filter: Option<String>,
    /// What differs from `[delivery]`, already merged with it.
    pub delivery: Delivery,
    /// Where the hook stands.
    pub place: Place,
}

/// Of the target only its origin: the rest may carry a password or a token.
impl fmt::Debug for FileHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileHook")
            .field("name", &self.name)
            .field("events", &self.events)
            .field("target", &self.target.origin().ascii_serialization())
            .field("secret", &self.secret)
            .field("owner", &self.owner)
            .field("headers", &self.headers)
            .field("filter", &self.filter)
            .field("delivery", &self.delivery)
            .field("place", &self.place)
            .finish()
    }
}

/// What a hook listens to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `*`
    Any,
    /// `book.*`, kept as `book.`: every event whose name begins so.
    Prefix(String),
    /// `book.added`
    Exact(String),
}

impl Pattern {
    /// Does a hook with this pattern hear `event`?
    pub fn matches(&self, event: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Prefix(prefix) => event.starts_with(prefix.as_str()),
            Self::Exact(name) => name == event,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

/// `[hook_table]`: a table of the application that holds the users' hooks. Each field is a column's name.
#[derive(Debug, Clone)]
pub struct HookTable {
    /// The table.
    pub table: TableName,
    /// Default `id`.
    pub id: String,
    /// Default `user_id`.
    pub owner: String,
    /// Default `event`.
    pub event: String,
    /// Default `target`.
    pub target: String,
    /// A boolean; hooks where it is not true hear nothing.
    pub active: Option<String>,
    /// A signing secret.
    pub secret: Option<String>,
    /// A CEL expression.
    pub filter: Option<String>,
    /// What a 410 does to the row. Default `disable` where `active` is named, else `delete`.
    pub on_gone: OnGone,
    /// Where the table stands.
    pub place: Place,
}

/// What a 410 does to a row of `[hook_table]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGone {
    /// Sets its `active` column to false.
    Disable,
    /// Deletes it.
    Delete,
}

/// `[delivery]`, or what a hook makes of it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// From the start of connecting to the last byte of the answer. Default 15 s.
    pub timeout: Duration,
    /// The pauses between attempts; empty for `false`: one attempt. Default: Standard Webhooks' schedule.
    pub retries: Vec<Duration>,
    /// Default `row`.
    pub order: Order,
    /// Requests in flight per hook. Default 16.
    pub concurrency: NonZeroUsize,
    /// Bodies above this many bytes are replaced by a thin one. Default 20 MiB.
    pub max_body: usize,
    /// How long dead deliveries and those of disabled hooks are kept. Default 30 days.
    pub retention: Duration,
    /// When a hook that only fails is disabled. Default: after 5 days.
    pub disable_after: DisableAfter,
    /// Default `rest-hooks`.
    pub payload: PayloadFormat,
    /// Default `standard`.
    pub signature: SignatureScheme,
    /// Allow targets without TLS. Default false.
    pub allow_http: bool,
    /// Networks that targets may reach although they are not public. Default none.
    pub allow_networks: Vec<IpNet>,
    /// Bytes of deliveries that may be in memory at once. Default 64 MiB.
    pub memory: usize,
    /// How long SIGTERM waits for requests in flight. Default 20 s.
    pub grace: Duration,
}

/// What must not overtake what, within one hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Events of one row arrive in commit order.
    #[default]
    Row,
    /// All events of the hook arrive in commit order.
    Hook,
    /// No order.
    None,
}

/// `[history]`: what is remembered of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// So many successes of each hook, the last ones. Default 100; 0 where it is `false`.
    pub successes: u32,
    /// How long failures are remembered. Default `30d`.
    pub failures_for: Duration,
    /// Remember bodies too. Default true.
    pub bodies: bool,
}

/// When a hook that only fails is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableAfter {
    /// Failing for so long without one success.
    Time(Duration),
    /// So many failures in a row.
    Failures(u32),
}

/// The shape of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PayloadFormat {
    /// `{"hook": {"id", "event", "target"}, "data": ROW}`
    #[default]
    RestHooks,
    /// `{"type", "timestamp", "data", …}`
    Standard,
    /// The row alone.
    Row,
}

/// How a body is signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SignatureScheme {
    /// Standard Webhooks 1.0.0: `webhook-signature`.
    #[default]
    Standard,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// Where the API, the page, metrics and health listen.
    pub listen: std::net::SocketAddr,
    /// Token of the operator.
    pub admin_token: Option<Secret>,
}
