//! The subjects of NATS on which the rowhooks of a cluster speak.

use crate::config::{Cluster, Config};

/// The subjects of one database in one cluster, and its bucket.
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    /// What all of them begin with.
    prefix: String,
    /// The name of the bucket.
    pub(super) bucket: String,
}

impl Subjects {
    pub(super) fn new(cluster: &Cluster, config: &Config) -> Self {
        // A database of [[databases]] may have a name that no subject has.
        let database = config.name.as_deref().map(hex::encode);
        let (name, database) = (&cluster.name, database.unwrap_or_default());
        let separator = if database.is_empty() { "" } else { "-" };
        Self {
            prefix: format!("rowhook-cluster.{name}{separator}{database}"),
            bucket: format!("rowhook-cluster-{name}{separator}{database}"),
        }
    }

    /// Where a reader sends to whoever has a partition.
    pub(super) fn to(&self, partition: u32) -> String {
        format!("{}.to.{partition}", self.prefix)
    }

    /// Where the sender that has a partition answers.
    pub(super) fn answers(&self, partition: u32) -> String {
        format!("{}.from.{partition}", self.prefix)
    }

    /// Where all senders answer.
    pub(super) fn all_answers(&self) -> String {
        format!("{}.from.*", self.prefix)
    }

    /// The partition of a subject that a sender answers on.
    pub(super) fn partition(subject: &str) -> Option<u32> {
        subject.rsplit('.').next()?.parse().ok()
    }

    /// Where senders ask for a link.
    pub(super) fn hello(&self) -> String {
        format!("{}.hello", self.prefix)
    }

    /// Where the reader shows that it is there.
    pub(super) fn beat(&self) -> String {
        format!("{}.reader", self.prefix)
    }
}
