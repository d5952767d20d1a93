//! The Postgres servers that tests share.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

pub use rowhook::demo::cluster::{Cluster, Stop};

/// What every shared cluster needs: a slot for each test, and a WAL sender.
const SETTINGS: [&str; 2] = ["max_replication_slots=1000", "max_wal_senders=200"];

/// The cluster of all tests that neither stop nor reconfigure theirs. It is started when it is first asked for. PG_BIN
/// decides its version.
pub fn shared_cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(&SETTINGS).expect("start the shared cluster"))
}

/// The shared cluster of this major version, whatever PG_BIN says: for tests of what only some versions have.
pub fn shared_cluster_of(version: u32) -> &'static Cluster {
    static CLUSTERS: Mutex<Option<HashMap<u32, &'static Cluster>>> = Mutex::new(None);
    let mut clusters = CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner);
    let clusters = clusters.get_or_insert_default();
    clusters
        .entry(version)
        .or_insert_with(|| Box::leak(Box::new(cluster_of(version, &SETTINGS))))
}

/// A new cluster of this major version with these settings, each as `name=value`.
///
/// # Panics
/// When that version is not installed, or does not start.
pub fn cluster_of(version: u32, settings: &[&str]) -> Cluster {
    Cluster::start_from(&bin_of(version), settings)
        .unwrap_or_else(|error| panic!("start Postgres {version}: {error:#}"))
}

/// The folder of the programs of this major version: where `scripts/install-postgres` puts them, or else Debian's.
///
/// # Panics
/// When that version is not installed.
pub fn bin_of(version: u32) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    [
        root.join(format!("target/postgres/{version}/bin")),
        PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")),
    ]
    .into_iter()
    // The installed version may be elsewhere, behind a link in a folder that the server's user cannot read.
    .find_map(|bin| bin.canonicalize().ok())
    .unwrap_or_else(|| {
        panic!("Postgres {version} is not installed; scripts/install-postgres installs it")
    })
}
