//! The languages that users write in: CEL in `when` and `filter`, templates of payloads, and queries with variables.
//!
//! Each is compiled once, when it is read, and checked against a table as soon as the table is known.

mod bounds;
mod decimal;
pub mod document;
pub mod error;
pub mod filter;
mod fuel;
mod function;
mod interpreter;
mod number;
mod pattern;
pub mod query;
pub mod template;
#[cfg(test)]
mod tests;
pub mod typing;
mod value;
mod view;
