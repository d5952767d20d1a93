//! Stories through the public door: a real Postgres, a real receiver, the real binary.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod api;
mod backfill;
mod bad_input;
mod batching;
mod browser;
mod check;
mod console;
mod delivering;
mod dialects;
mod disabling;
mod django;
mod expressions;
mod gaps;
mod generated;
mod history;
mod hook_table;
mod hook_table_moved;
mod hooks;
mod hostile_hooks;
mod init;
mod large_values;
mod logs;
mod looking;
mod lookups;
mod managing;
mod memory;
mod messages;
mod network;
mod openapi;
mod owners;
mod page;
mod permission;
mod restarts;
mod rows;
mod sessions;
mod shaping;
mod signing;
mod tables;
mod tracing;
mod truncate;
