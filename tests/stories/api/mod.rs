//! The REST API: what owners and operators do with it, and what nobody may.

mod client;
mod events;
mod health;
mod hooks;
mod idempotency;
mod limits;
mod problems;
mod roles;

pub use self::client::{Api, server};
