//! Stories through the public door: a real Postgres, a real receiver, the real binary.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod absent_owners;
mod api;
mod applications;
mod audit;
mod backfill;
mod bad_input;
mod batching;
mod before;
mod browser;
mod by_hand;
mod casts;
mod certificates;
mod chaos;
mod check;
mod clients;
mod compressing;
mod console;
mod contents;
mod crowds;
mod delivering;
mod demo;
mod dialects;
mod disabling;
mod django;
mod doors;
mod editing;
mod endpoints;
mod expressions;
mod failover;
mod finding;
mod forgetting;
mod gaps;
mod generated;
mod handed_over;
mod health;
mod history;
mod hook_ids;
mod hook_past;
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
mod newcomer;
mod oauth2;
mod openapi;
mod owner_moments;
mod owners;
mod page;
mod partitions;
mod permission;
mod portal;
mod proxy;
mod rates;
mod recipes;
mod redacting;
mod releases;
mod renamed_at_once;
mod renamed_while_down;
mod restarts;
mod row_security;
mod rows;
mod sealing;
mod sessions;
mod settings;
mod several_databases;
mod shaping;
mod signed_messages;
mod signing;
mod standby_source;
mod tables;
mod tracing;
mod truncate;
mod upgrades;
mod versions;
