//! The test harness: a database of its own for each test, receivers that keep what they get, and the real binary.
//!
//! Nothing here sleeps and hopes. Every wait is for a fact, has a deadline, and names the fact that never came true.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is for tests, where a panic is how a failure is reported"
)]

mod bookstore;
mod call;
mod cluster;
mod command;
mod database;
mod gate;
mod hostile;
mod http2;
mod name_server;
mod nats;
mod proxy;
mod receiver;
mod schemas;
mod sidecar;
mod standby;
mod waiting;

pub use self::{
    bookstore::{BOOK_EVENTS, BOOKSTORE},
    call::{Call, SECRET, ids},
    cluster::{Cluster, Stop, bin_of, cluster_of, shared_cluster, shared_cluster_of},
    command::{Ended, Running, rowhook, rowhook_in},
    database::{Database, connect},
    gate::Gate,
    hostile::{Hostile, Kind},
    http2::{Http2, Manners, certify},
    name_server::NameServer,
    nats::Nats,
    proxy::Proxy,
    receiver::Receiver,
    sidecar::Rowhook,
    standby::{follow, standby_of, upgraded},
    waiting::{DEADLINE, until_within},
};
