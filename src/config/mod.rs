//! The configuration in hooks.toml, as checked types.
//!
//! A [`Config`] holds what was parsed and checked of one database: addresses, expressions, templates, queries, and the
//! targets, headers and signers of hooks. Nothing after this module parses a key again. What only the database can tell
//! (does the table exist, does the filter fit its columns) is checked against it by `rowhook check` and at the start of
//! `rowhook run`. Sections that are not of one database, such as `[server]`, stand in the [`Config`] of each.

pub(crate) mod access;
pub(crate) mod admins;
mod audit;
mod batch;
mod before;
pub mod bounds;
pub mod certificate;
mod certificates;
mod cluster;
mod colour;
mod compression;
mod console;
pub mod content;
mod database;
mod databases;
mod delivery;
mod environment;
mod events;
mod history;
mod hook_table;
pub(crate) mod hooks;
mod jwt;
mod limits;
pub(crate) mod load;
mod method;
mod mistake;
mod model;
mod name;
mod oauth2;
pub(crate) mod oidc;
mod outline;
mod places;
mod portal;
mod proxy;
mod quantity;
mod rate;
pub(crate) mod reader;
pub(crate) mod retries;
mod role;
mod secrets;
mod server;
pub mod settings;
mod signature;
mod tables;
pub(crate) mod target;
mod tracing;
pub mod unfit;

pub use self::{
    access::Auth,
    admins::NamedAdmin,
    audit::Audit,
    batch::Batch,
    before::Silence,
    certificate::{BadTls, Tls},
    certificates::{Certificate, Owners},
    cluster::{Cluster, NatsLogin, NatsServer},
    colour::Colour,
    compression::Compression,
    console::Console,
    content::{Content, Encoding},
    database::Database,
    delivery::{Delivery, DisableAfter, NetboxVersion, Order, PayloadFormat},
    events::{Action, BeforeRule, EventRule, EventSource},
    history::{History, Redact},
    hook_table::{HookColumns, HookTable, OnGone, OwnerExists, Sealed},
    hooks::FileHook,
    jwt::{Jwt, JwtAlgorithm, JwtKeys},
    limits::Limits,
    load::{Config, Databases, KEYS},
    mistake::{Location, Mistake, Mistakes},
    model::Model,
    name::Pattern,
    oauth2::ClientCredentials,
    oidc::Oidc,
    outline::Outline,
    portal::{Logo, Portal, PortalPart},
    proxy::Proxy,
    rate::Rate,
    role::Role,
    secrets::Secrets,
    server::{Server, Verify},
    settings::{Setting, SettingSet, SettingTexts},
    tables::{Columns, Enrich, OwnerRule, OwnerStep, TableRules},
    tracing::Tracing,
};
pub(crate) use self::{name::event_mistake, quantity::duration};
