//! The languages of hooks.toml and of hooks: CEL in `when` and `filter`, templates of payloads, and queries with variables.
//!
//! An expression is compiled once, when it is read, and is checked against a table as soon as that is known.

mod cost;
pub mod error;
pub mod filter;
pub mod question;
pub mod template;
pub mod typing;
