//! What only the task of a courier knows.

use std::{collections::VecDeque, pin::Pin, sync::Arc};

use futures_util::stream::FuturesUnordered;

use super::{
    availability::{Availability, Outcome},
    batch::{Head, Run},
    decision::Mode,
    leases::Leases,
    parked::Report,
    pass::Pass,
    run_length::RunLength,
    seating::Seating,
    standing::Said,
    throughput::Throughput,
};
use crate::{
    delivery::{
        Delivery,
        lane::{Lanes, Place, Turn},
        memory_budget::Permit,
    },
    store::{Claimed, Fate},
};

/// What the task of a courier knows beside the state that it shares.
#[derive(Default)]
pub(super) struct Round {
    /// What the stream has handed over, by lanes.
    pub(super) lanes: Lanes<Delivery>,
    /// What is waited for: requests, runs of requests, and a claim.
    pub(super) tasks: FuturesUnordered<Task>,
    /// How many of `tasks` are requests, or runs of them.
    pub(super) in_flight: usize,
    /// What is done with deliveries of the stream that cannot be sent at once.
    pub(super) mode: Mode,
    /// How fast the hook takes what comes from the stream.
    pub(super) throughput: Throughput,
    /// Whether the endpoint may be asked.
    pub(super) availability: Availability,
    /// Whether its next request may go, as far as rates are concerned.
    pub(super) pass: Pass,
    /// Whether its next request may go, as far as the quota of its owner is concerned.
    pub(super) seating: Seating,
    /// What was claimed from the table.
    pub(super) claims: Claims,
    /// What keeps the hook waiting, as everyone can look it up.
    pub(super) said: Option<Said>,
}

/// Something that a round waits for.
pub(super) type Task = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Something that a round has waited for.
pub(super) enum Done {
    /// A request of deliveries of the stream, the lanes that they hold, and which of them have not arrived.
    Fresh {
        taken: Vec<(Turn, Place)>,
        outcome: Outcome,
        left: Vec<(Delivery, Fate, String)>,
    },
    /// A run of deliveries of the table, which of them were claimed, and how it went.
    Parked(Vec<Head>, Report),
    /// What was claimed from the table, and the memory that it takes.
    Claimed(anyhow::Result<(Claimed, Permit)>),
}

/// What was claimed from the table.
#[derive(Default)]
pub(super) struct Claims {
    /// Whether a claim is on its way.
    pub(super) is_pending: bool,
    /// Runs that are not on their way yet, each with the permit for memory that it shares with those claimed together
    /// with it.
    pub(super) queue: VecDeque<(Run, Arc<Permit>)>,
    /// What was claimed and is not done with.
    pub(super) leases: Leases,
    /// How many requests a run has.
    pub(super) length: RunLength,
}

impl Claims {
    /// Forgets what was claimed and is not on its way. Returns its ids.
    pub(super) fn release_all(&mut self) -> Vec<Arc<str>> {
        let queue = self.queue.drain(..);
        let heads: Vec<_> = queue.flat_map(|(run, _)| run.heads).collect();
        self.leases.end(&heads);
        heads.into_iter().map(|head| head.id).collect()
    }
}
