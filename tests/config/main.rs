//! hooks.toml: the smallest file, the manual, and each mistake with its message.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod conditions;
mod damage;
mod databases;
mod file;
mod manual;
mod mistakes;
mod secrets;
mod values;
