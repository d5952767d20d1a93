//! What stands in the bucket: which senders are there, and who has each partition.
//!
//! A sender renews its own entry, and only that, each time on the condition that nobody has changed it. Whoever sees an
//! entry unchanged for a whole lease, by its own clock, deletes it, on the same condition. So a sender whose renewal
//! succeeds was there all the time, and one that was deleted knows it, or has stopped by its own clock before.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use async_nats::jetstream::kv::{Entry, Operation};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The key of what all agree on.
pub(super) const SETTINGS: &str = "settings";
const SENDER: &str = "sender.";
const PARTITION: &str = "partition.";

/// What all have to agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Agreed {
    pub(super) partitions: u32,
}

/// The key of a sender.
pub(super) fn sender_key(name: &str) -> String {
    format!("{SENDER}{name}")
}

/// The key of a partition. Its value is the name of the sender that has it.
pub(super) fn partition_key(number: u32) -> String {
    format!("{PARTITION}{number}")
}

/// What stands in the bucket, as far as it was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    senders: HashMap<String, Sender>,
    partitions: BTreeMap<u32, Owner>,
    /// Everything was seen. Before that, a partition may be with a sender that was not seen yet.
    is_complete: bool,
    /// The senders as they were seen before.
    former: HashMap<String, Sender>,
}

#[derive(Debug, Clone)]
struct Sender {
    revision: u64,
    /// It gives back what it has, and takes nothing.
    is_leaving: bool,
    /// Since when its entry is as it is.
    since: Instant,
}

/// The value of a sender that takes part.
pub(super) const STAYING: &str = "staying";
/// The value of a sender that gives back what it has.
pub(super) const LEAVING: &str = "leaving";

#[derive(Debug, Clone)]
struct Owner {
    sender: String,
    revision: u64,
}

impl Seen {
    /// Takes over a change of the bucket.
    pub(super) fn take(&mut self, entry: &Entry, now: Instant) {
        let value = String::from_utf8_lossy(&entry.value).into_owned();
        let is_there = entry.operation == Operation::Put;
        self.take_value(&entry.key, is_there.then_some(value), entry.revision, now);
        if entry.delta == 0 {
            self.complete();
        }
    }

    /// This was the last of what there is.
    fn complete(&mut self) {
        self.is_complete = true;
        self.former.clear();
    }

    /// Whether all that there is was seen.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// What there is is told once more, from the beginning. It is remembered since when senders are as they were.
    pub(super) fn begin_anew(&mut self) {
        self.former.extend(self.senders.drain());
        self.partitions.clear();
        self.is_complete = false;
    }

    fn take_value(&mut self, key: &str, value: Option<String>, revision: u64, now: Instant) {
        if let Some(name) = key.strip_prefix(SENDER) {
            match value {
                Some(value) => {
                    let known = self.senders.get(name).or_else(|| self.former.get(name));
                    let known = known.filter(|known| known.revision == revision);
                    let sender = Sender {
                        revision,
                        is_leaving: value == LEAVING,
                        since: known.map_or(now, |known| known.since),
                    };
                    self.senders.insert(name.to_owned(), sender);
                }
                None => drop(self.senders.remove(name)),
            }
        } else if let Some(number) = key.strip_prefix(PARTITION) {
            let Ok(number) = number.parse() else { return };
            match value {
                Some(sender) => {
                    let owner = Owner { sender, revision };
                    self.partitions.insert(number, owner);
                }
                None => drop(self.partitions.remove(&number)),
            }
        }
    }

    /// The senders whose entries have not changed for a whole lease, each with its revision.
    pub(super) fn silent(&self, lease: Duration, now: Instant) -> Vec<(String, u64)> {
        let all = self.senders.iter().filter(|_| self.is_complete);
        let silent = all.filter(|(_, sender)| now.saturating_duration_since(sender.since) >= lease);
        silent
            .map(|(name, sender)| (name.clone(), sender.revision))
            .collect()
    }

    /// The names of all senders.
    pub(super) fn senders(&self) -> BTreeSet<String> {
        self.senders.keys().cloned().collect()
    }

    /// The names of those among whom the partitions are spread.
    pub(super) fn staying(&self) -> BTreeSet<String> {
        let staying = self.senders.iter().filter(|(_, one)| !one.is_leaving);
        staying.map(|(name, _)| name.clone()).collect()
    }

    /// Who has each partition.
    pub(super) fn owners(&self) -> BTreeMap<u32, String> {
        let owners = self.partitions.iter();
        owners
            .map(|(number, owner)| (*number, owner.sender.clone()))
            .collect()
    }

    /// The revision of a partition's entry; `None`: there is none.
    pub(super) fn revision(&self, number: u32) -> Option<u64> {
        self.partitions.get(&number).map(|owner| owner.revision)
    }

    /// A partition was given to this sender by ourselves.
    pub(super) fn given(&mut self, number: u32, sender: &str, revision: u64) {
        let owner = Owner {
            sender: sender.to_owned(),
            revision,
        };
        self.partitions.insert(number, owner);
    }

    /// The entry of a partition is gone.
    pub(super) fn gone(&mut self, number: u32) {
        self.partitions.remove(&number);
    }

    /// The entry of a sender is gone.
    pub(super) fn sender_gone(&mut self, name: &str) {
        self.senders.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_silent_when_its_entry_has_not_changed_for_a_lease() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let lease = Duration::from_secs(3);
        let mut seen = Seen::default();
        let key = sender_key("one");
        seen.take_value(&key, Some(String::new()), 4, at(0));
        seen.complete();
        assert_eq!(seen.silent(lease, at(2999)), []);
        seen.take_value(&key, Some(String::new()), 7, at(2999));
        assert_eq!(seen.silent(lease, at(5998)), []);
        assert_eq!(seen.silent(lease, at(5999)), [("one".to_owned(), 7)]);
        seen.take_value(&partition_key(3), Some("one".into()), 5, at(0));
        assert_eq!(seen.owners(), BTreeMap::from([(3, "one".to_owned())]));
        seen.take_value(&key, None, 8, at(6000));
        assert_eq!(seen.silent(lease, at(9999)), []);
        assert!(seen.senders().is_empty());
        seen.take_value(&key, Some(LEAVING.into()), 8, at(6000));
        assert!(seen.senders().contains("one") && seen.staying().is_empty());
        seen.take_value(&partition_key(3), None, 9, at(6000));
        assert_eq!(seen.revision(3), None);
    }

    #[test]
    fn what_is_told_once_more_is_as_old_as_it_was() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let lease = Duration::from_secs(3);
        let mut seen = Seen::default();
        let (one, other) = (sender_key("one"), sender_key("other"));
        seen.take_value(&one, Some(STAYING.into()), 4, at(0));
        seen.take_value(&other, Some(STAYING.into()), 5, at(0));
        assert!(!seen.is_complete() && seen.silent(lease, at(9000)).is_empty());
        seen.complete();
        seen.begin_anew();
        assert!(!seen.is_complete() && seen.senders().is_empty());
        // The other one is gone, and nobody has said so.
        seen.take_value(&one, Some(STAYING.into()), 4, at(2000));
        seen.complete();
        assert_eq!(seen.silent(lease, at(3000)), [("one".to_owned(), 4)]);
        assert_eq!(seen.senders().len(), 1);
    }
}
