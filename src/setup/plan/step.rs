//! One step of a plan.

use crate::postgres::TableName;

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is for, in one line.
    pub reason: String,
    /// One or more SQL statements.
    pub sql: String,
    /// How the statements are run.
    pub runs: Runs,
    /// The table that it alters, or moves to another publication. Only its owner may.
    pub alters: Option<TableName>,
}

/// How the statements of a step are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// In a transaction of their own, so that locks are held briefly.
    InTransaction,
    /// Where the slot is, and outside of a transaction, because Postgres does not create a slot in a transaction that
    /// has written.
    AtSource,
    /// As a command of the replication protocol, in a session of that where the slot is.
    AsReplication,
}

/// The function that creates a slot. A step that calls it needs a role that may replicate.
pub(super) const CREATE_SLOT: &str = "pg_create_logical_replication_slot";
