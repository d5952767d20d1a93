//! What all couriers share.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{gate::SharedGates, quota::Quotas, tenure::Tenure};
use crate::{
    delivery::memory_budget::MemoryBudget, history::History, journal::Journal,
    lookup::permission::Permission, meters::Meters, send::Sender, store::Store, trace::Traces,
};

/// The services that a courier uses, and the signal on which it stops.
pub struct Context {
    /// Makes the requests.
    pub sender: Sender,
    /// Keeps what cannot be delivered now.
    pub store: Arc<Store>,
    /// Bounds the memory that deliveries take.
    pub memory: MemoryBudget,
    /// Where requests wait for the rates of owners and hosts.
    pub gates: Arc<SharedGates>,
    /// Bounds what the hooks of one owner have going at once.
    pub quotas: Arc<Quotas>,
    /// Knows who may see which rows.
    pub permission: Arc<Permission>,
    /// Shows every attempt to those who watch.
    pub journal: Journal,
    /// Counts what happens.
    pub meters: Arc<Meters>,
    /// Keeps attempts for people to look at later.
    pub history: Arc<History>,
    /// Sends a span of every attempt to a collector, where one is configured.
    pub traces: Option<Arc<Traces>>,
    /// Until when requests may be made at all, in a cluster; `None`: nobody else makes them.
    pub tenure: Option<Arc<Tenure>>,
    /// Cancelled when no new request is to be made.
    pub stop: CancellationToken,
    /// Runs the couriers' tasks, and can be waited for.
    pub tasks: TaskTracker,
}
