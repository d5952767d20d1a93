//! `rowhook receive`, run as users run it: with real senders, real tasks and real queues.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, and it uses only some of the stories' words"
)]

mod answers;
mod chain;
mod config;
mod library;
mod official;
mod plugins;
mod printing;
mod queue;
mod receiving;
#[path = "../stories/schemas.rs"]
mod schemas;
mod servers;
#[path = "../stories/support.rs"]
mod support;
