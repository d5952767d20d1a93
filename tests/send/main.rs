//! Requests to endpoints of all kinds: what the endpoints get, and what becomes of their answers.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod answers;
mod configuration;
mod connections;
mod endpoint;
mod http2;
mod requests;
mod signatures;
mod tls;
