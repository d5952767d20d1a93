//! The languages that users write in: CEL in `when` and `filter`, templates of payloads, and queries with variables.
//!
//! Each is compiled once, when it is read, and checked against a table as soon as the table is known.

mod cost;
pub mod error;
pub mod filter;
pub mod query;
pub mod template;
pub mod typing;
