//! Asks endpoints before a transaction commits, or before anything else that SQL or a program asks about.
//!
//! A deferred trigger writes the rows of a transaction into the WAL, outside of it, so that they are decoded before it
//! commits, and waits. [`session`] reads them in a stream of its own; `question` puts them together, `outcome` finds
//! what becomes of each row, and [`asker`] asks the hooks. What they say (`verdict`) goes back in advisory locks
//! (`keys`).

pub mod asker;
mod keys;
mod outcome;
mod question;
pub mod session;
mod verdict;

pub use self::verdict::{Verdict, Why};
