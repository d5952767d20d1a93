//! `rowhook receive`, run as users run it: with real senders, real tasks and real queues.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod answers;
mod chain;
mod config;
mod go;
mod library;
mod official;
mod plugins;
mod printing;
mod queue;
mod receiving;
mod senders;
mod servers;
mod timed;
mod verifying;
