//! Checks how the rowhooks of a cluster reach each other.

use super::finding::{Finding, Topic};
use crate::config::Config;

/// Findings on what crosses the network in the clear.
pub(super) fn cluster(config: &Config) -> Vec<Finding> {
    let nats = config.cluster.iter().flat_map(|cluster| &cluster.nats);
    let open = nats.filter(|server| server.is_open).map(|server| {
        let place = &server.place;
        Finding::warn(
            Topic::Connection,
            format!("NATS at {place} is reached over a network without TLS"),
        )
        .remedy("have the server require TLS, and write tls:// in [cluster] nats. Deliveries are sealed without it, but a login and who speaks with whom are not")
    });
    open.collect()
}
