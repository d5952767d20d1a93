//! From a matched event to a settled one.

pub mod lane;
pub mod ledger;
