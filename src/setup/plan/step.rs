//! One step of a plan.

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Why, in one line.
    pub reason: String,
    /// How; one or more statements.
    pub sql: String,
    /// How it is run.
    pub runs: Runs,
}

/// How a step is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// In a transaction of its own, so that its locks are held for a moment only.
    InTransaction,
    /// Outside of one: Postgres makes no slot in a transaction that has written.
    Alone,
}

/// The function that makes a slot. A step whose SQL calls it needs the right to replicate.
pub(super) const CREATE_SLOT: &str = "pg_create_logical_replication_slot";
