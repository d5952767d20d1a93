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
mod console;
mod delivering;
mod dialects;
mod disabling;
mod django;
mod gaps;
mod generated;
mod history;
mod hook_table;
mod hooks;
mod large_values;
mod looking;
mod managing;
mod memory;
mod messages;
mod openapi;
mod page;
mod permission;
mod restarts;
mod rows;
mod shaping;
mod signing;
mod tables;
mod tracing;
