//! What the user wrote in hooks.toml, as checked types.
//!
//! Nothing after this module checks a key again. What only the database can tell (does the table exist, does the filter
//! fit its columns) is checked against it by `rowhook check` and at the start of `rowhook run`.

mod access;
mod batch;
mod console;
mod database;
mod delivery;
mod environment;
mod events;
mod history;
mod hook_table;
pub(crate) mod hooks;
mod jwt;
pub(crate) mod load;
mod mistake;
mod model;
mod name;
mod quantity;
pub(crate) mod reader;
pub(crate) mod retries;
mod server;
mod signature;
mod tables;
mod tracing;

use std::{fmt, num::NonZeroUsize, path::PathBuf, time::Duration};

use http::header::HeaderName;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

pub(crate) use self::quantity::duration;
use crate::expression::{question::Question, template::Template};

pub use self::{
    load::KEYS,
    mistake::{Mistake, Mistakes},
    model::Model,
};
pub use crate::secret::Secret;
use crate::send::tls::Tls;

pub(crate) use self::name::event_mistake;

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

/// As a user writes it: `table.action`, or `custom`.
impl fmt::Display for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { table, action, .. } => write!(f, "{table}.{action}"),
            Self::Custom => f.write_str("custom"),
        }
    }
}

impl EventSource {
    /// The table whose rows it is about.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Self::Row { table, .. } => Some(table),
            Self::Custom => None,
        }
    }
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
    /// Columns that are shown by another name: their own, and that one.
    pub rename: Vec<(String, String)>,
    /// What is looked up for each of its rows, in the order of the file.
    pub enrich: Vec<Enrich>,
    /// A template that is sent in place of the plain row.
    pub payload: Option<Template>,
    /// Which owners may see a row; `None`: whoever hears of it.
    pub visible: Option<Question>,
    /// Where the table's rules begin.
    pub place: Place,
}

/// One line of `[tables.NAME.enrich]`: `key = "query"`.
#[derive(Debug, Clone)]
pub struct Enrich {
    /// The key under which what is found is shown.
    pub key: String,
    /// The query.
    pub question: Question,
    /// Where it stands.
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
    /// A note of the operator.
    pub description: Option<String>,
    /// Events or patterns: `book.added`, `book.*`, `*`.
    pub events: Vec<Pattern>,
    /// Where it is sent.
    pub target: Url,
    /// Default `POST`.
    pub method: Method,
    /// What it is let in with; `None` beside credentials in `target`, or a header of the hook.
    pub auth: Option<Credentials>,
    /// A certificate that it shows, and the authority of its endpoint.
    pub tls: Option<Tls>,
    /// Key for signatures; `None`: unsigned.
    pub secret: Option<Secret>,
    /// The key before it, which signs too while it is being replaced.
    pub previous_secret: Option<Secret>,
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
            .field("description", &self.description)
            .field("events", &self.events)
            .field("target", &self.target.origin().ascii_serialization())
            .field("method", &self.method)
            .field("auth", &self.auth)
            .field("tls", &self.tls)
            .field("secret", &self.secret)
            .field("previous_secret", &self.previous_secret)
            .field("owner", &self.owner)
            .field("headers", &self.headers)
            .field("filter", &self.filter)
            .field("delivery", &self.delivery)
            .field("place", &self.place)
            .finish()
    }
}

/// How a hook is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// POST
    #[default]
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
}

/// What a hook is let in with, in its Authorization header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Basic.
    Basic {
        /// Without a colon.
        user: String,
        /// Any text.
        password: Secret,
    },
    /// A bearer token that can stand in a header.
    Bearer(Secret),
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
    /// The signing secret before it, which signs too until it is removed.
    pub previous_secret: Option<String>,
    /// `standard`, or a JSON object, where it differs from `[delivery]`.
    pub signature: Option<String>,
    /// A CEL expression.
    pub filter: Option<String>,
    /// A JSON object of the headers to add.
    pub headers: Option<String>,
    /// The name of a payload, where it differs from `[delivery]`.
    pub payload: Option<String>,
    /// When the hook was made.
    pub created: Option<String>,
    /// A note of whoever made it.
    pub description: Option<String>,
    /// What a 410 does to the row. Default `disable` where `active` is named, else `delete`.
    pub on_gone: OnGone,
    /// Where the table stands.
    pub place: Place,
}

impl HookTable {
    /// The keys that name a column, and the columns.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let always = [
            ("id", &self.id),
            ("owner", &self.owner),
            ("event", &self.event),
            ("target", &self.target),
        ];
        let named = [
            ("active", &self.active),
            ("secret", &self.secret),
            ("previous_secret", &self.previous_secret),
            ("signature", &self.signature),
            ("filter", &self.filter),
            ("headers", &self.headers),
            ("payload", &self.payload),
            ("created", &self.created),
            ("description", &self.description),
        ];
        let always = always.map(|(key, column)| (key, column.as_str()));
        let named = named.map(|(key, column)| Some((key, column.as_deref()?)));
        always.into_iter().chain(named.into_iter().flatten())
    }
}

/// `owner_exists = "auth_user.id"`: where the owners of hooks are kept. Hooks of others are disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerExists {
    /// The table of the owners.
    pub table: TableName,
    /// Its column with what hooks call their owner.
    pub column: String,
    /// Where the key stands.
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
    /// Send several deliveries in one request. Default: each alone.
    pub batch: Option<Batch>,
    /// Allow targets without TLS. Default false.
    pub allow_http: bool,
    /// Networks that targets may reach although they are not public. Default none.
    pub allow_networks: Vec<IpNet>,
    /// Bytes of deliveries, and of large rows that are being read, that may be in memory at once. Default 64 MiB.
    pub memory: usize,
    /// How long SIGTERM waits for requests in flight. Default 20 s.
    pub grace: Duration,
}

/// How deliveries are gathered into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// At most so many, 1 to 200. Default 100.
    pub max: NonZeroUsize,
    /// So long the oldest waits for others, up to a minute. Default 1 s.
    pub wait: Duration,
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

/// `[tracing]`: where spans of attempts are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// Where a collector takes traces, by OTLP over HTTP: `endpoint` with `/v1/traces` behind it.
    pub endpoint: Url,
    /// The part of all traces that is sent, from 0 to 1. Default 1.
    pub sample: f64,
    /// What rowhook is called there. Default `rowhook`.
    pub service: String,
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
    /// As django-rest-hooks sends a model without `serialize_hook`.
    Django,
    /// CloudEvents 1.0, structured JSON.
    Cloudevents,
    /// As NetBox sends its webhooks.
    Netbox,
    /// The row alone.
    Row,
}

/// How a body is signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SignatureScheme {
    /// Standard Webhooks 1.0.0: `webhook-signature`.
    #[default]
    Standard,
    /// A header of the receiver's choice.
    Header(HeaderSignature),
}

/// The HMAC of the body, in a header of the receiver's choice. Its key is the text of the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderSignature {
    /// None that HTTP or rowhook sets.
    pub header: HeaderName,
    /// Default `sha256`.
    pub algorithm: Algorithm,
    /// Default `hex`.
    pub encoding: Encoding,
    /// What stands before the code, such as `sha256=`. Default: nothing.
    pub prefix: String,
}

/// The hash that an HMAC is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// For receivers that know nothing better.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How the bytes of an HMAC are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Lower-case digits.
    #[default]
    Hex,
    /// With padding.
    Base64,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// Where the API, the page, metrics and health listen.
    pub listen: std::net::SocketAddr,
    /// Token of the operator.
    pub admin_token: Option<Secret>,
    /// How a target has to prove that it wants what it gets. Default: not at all.
    pub verify: Verify,
    /// So many requests of one caller are answered in a minute. Default 600.
    pub requests_per_minute: u32,
    /// The most bytes that a request may have. Default 1 MiB.
    pub max_request: usize,
    /// Origins whose pages may use the API from a browser. Default none.
    pub cors: Vec<String>,
    /// The application's own logins.
    pub jwt: Option<Jwt>,
}

/// `[console]`
#[derive(Debug, Clone)]
pub struct Console {
    /// Where `psql` connects to: an address of this host alone.
    pub listen: std::net::SocketAddr,
    /// What it is asked for; any user name will do.
    pub password: Secret,
}

/// How a target proves that it wants what it gets, before a hook is made through the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// It need not.
    #[default]
    None,
    /// It accepts a test.
    Ping,
    /// It answers with the `X-Hook-Secret` that it was sent.
    SecretEcho,
}

/// `[server.jwt]`
#[derive(Debug, Clone)]
pub struct Jwt {
    /// What tokens may be signed with.
    pub algorithms: Vec<JwtAlgorithm>,
    /// What their signatures are checked with.
    pub keys: JwtKeys,
    /// The claim that says whose hooks a token opens: text or a whole number. Default `sub`.
    pub owner_claim: String,
    /// What `iss` must be, if it is to be checked.
    pub issuer: Option<String>,
    /// What `aud` must hold, if it is to be checked.
    pub audience: Option<String>,
}

/// What JWTs are checked with.
#[derive(Debug, Clone)]
pub enum JwtKeys {
    /// One secret for who signs and who checks.
    Secret(Secret),
    /// A file with a public key in PEM.
    PublicKey(PathBuf),
    /// A file with a JSON Web Key Set.
    Jwks(PathBuf),
}

/// How a JWT is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are what RFC 7518 calls them")]
pub enum JwtAlgorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl JwtAlgorithm {
    /// Is the key a secret that both sides know?
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}
