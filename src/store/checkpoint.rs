//! How far the stream has been dealt with, saved before that is confirmed to the slot.

use crate::{
    delivery::ledger::Progress,
    hook::{
        HookId,
        off::{OffHooks, Switch},
    },
    postgres::{Lsn, stream::Identity},
};

/// Where we are in the WAL.
pub struct Checkpoint<'a> {
    /// The cluster whose WAL it is.
    pub identity: &'a Identity,
    /// What is about to be confirmed to the slot.
    pub confirmed: Lsn,
    /// How far a large transaction is settled.
    pub progress: Option<Progress>,
    /// A fingerprint of the rules by which the events of a transaction are numbered.
    pub rules: &'a str,
    /// Which hooks have been switched off and on up to `confirmed`.
    pub off: &'a OffHooks,
}

/// What the last checkpoint says of the hooks.
#[derive(Debug)]
pub struct NotedHooks {
    /// The oid of their table; `None`: an earlier version has not noted that, or its changes were not in the stream.
    pub table: Option<u32>,
    /// Those that were off.
    pub off: Vec<(HookId, Switch)>,
}
