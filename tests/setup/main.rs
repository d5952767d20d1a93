//! Attaching to a database and detaching from it, against a real Postgres.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod bookstore;
mod check;
mod connections;
mod hook_table;
mod hooks;
mod libpq;
mod objects;
mod pooler;
mod queries;
mod refusals;
mod sessions;
mod slots;
mod tables;
mod teardown;
mod together;
