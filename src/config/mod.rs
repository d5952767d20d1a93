//! The configuration in hooks.toml, as checked types.
//!
//! A [`Config`] holds what was parsed and checked: addresses, expressions, templates, queries, and the targets, headers
//! and signers of hooks. Nothing after this module parses a key again. What only the database can tell (does the table
//! exist, does the filter fit its columns) is checked against it by `rowhook check` and at the start of `rowhook run`.

pub(crate) mod access;
mod batch;
pub mod bounds;
pub mod certificate;
mod console;
pub mod content;
mod database;
mod delivery;
mod environment;
mod events;
mod history;
mod hook_table;
pub(crate) mod hooks;
mod jwt;
mod limits;
pub(crate) mod load;
mod mistake;
mod model;
mod name;
mod oauth2;
mod places;
mod proxy;
mod quantity;
pub(crate) mod reader;
pub(crate) mod retries;
mod server;
mod signature;
mod tables;
mod tracing;

pub use self::{
    batch::Batch,
    certificate::{BadTls, Tls},
    console::Console,
    content::{Content, Encoding},
    database::Database,
    delivery::{Delivery, DisableAfter, NetboxVersion, Order, PayloadFormat},
    events::{Action, EventRule, EventSource},
    history::History,
    hook_table::{HookColumns, HookTable, OnGone, OwnerExists},
    hooks::FileHook,
    jwt::{Jwt, JwtAlgorithm, JwtKeys},
    limits::Limits,
    load::{Config, KEYS},
    mistake::{Location, Mistake, Mistakes},
    model::Model,
    name::Pattern,
    oauth2::ClientCredentials,
    proxy::Proxy,
    server::{Server, Verify},
    tables::{Columns, Enrich, OwnerRule, OwnerStep, TableRules},
    tracing::Tracing,
};
pub(crate) use self::{name::event_mistake, quantity::duration};
