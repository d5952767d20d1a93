//! The Postgres server that tests share.

use std::sync::OnceLock;

pub use rowhook::demo::cluster::{Cluster, Stop};

/// The cluster of all tests that neither stop nor reconfigure theirs. It is started when it is first asked for.
pub fn shared_cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        Cluster::start(&["max_replication_slots=400", "max_wal_senders=200"])
            .expect("start the shared cluster")
    })
}
