//! The REST API: what owners and operators can do with it, and what is refused.

mod client;
mod common_words;
mod documents;
mod events;
mod health;
mod hooks;
mod idempotency;
mod keys;
mod limits;
mod problems;
mod quotas;
mod roles;
mod shadowed;
mod strangers;

pub use self::client::{ADMIN, Api, server};
