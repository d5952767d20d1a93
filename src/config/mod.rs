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

use std::path::PathBuf;

use crate::postgres::TableName;

pub use self::{
    access::Credentials,
    batch::Batch,
    console::Console,
    database::Database,
    delivery::{Delivery, DisableAfter, Order, PayloadFormat},
    events::{Action, EventRule, EventSource},
    history::History,
    hook_table::{HookTable, OnGone, OwnerExists},
    hooks::{FileHook, Method},
    jwt::{Jwt, JwtAlgorithm, JwtKeys},
    load::KEYS,
    mistake::{Mistake, Mistakes, Place},
    model::Model,
    name::Pattern,
    server::{Server, Verify},
    tables::{Columns, Enrich, OwnerRule, OwnerStep, TableRules},
    tracing::Tracing,
};
pub(crate) use self::{name::event_mistake, quantity::duration};

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
