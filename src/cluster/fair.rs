//! How partitions are spread over senders: each takes of what nobody has, up to its fair share, and gives back what is
//! beyond that. All senders decide for themselves, by the same rule.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

/// Who is there, and who has what, as a sender sees it.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// The sender itself.
    pub(super) me: &'a str,
    /// All senders that are there.
    pub(super) alive: &'a BTreeSet<String>,
    /// Those of them among whom the partitions are spread, itself among them unless it is about to end.
    pub(super) senders: &'a BTreeSet<String>,
    /// Who has each partition, as far as somebody has it.
    pub(super) owners: &'a BTreeMap<u32, String>,
    /// What it has itself, and is not giving back.
    pub(super) mine: &'a BTreeSet<u32>,
    /// What it is giving back.
    pub(super) leaving: &'a BTreeSet<u32>,
    /// How many partitions there are.
    pub(super) partitions: u32,
}

/// What a sender is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    /// The partitions to take, those that suit it best first.
    pub(super) take: Vec<u32>,
    /// The partitions to give back.
    pub(super) give_back: Vec<u32>,
}

impl View<'_> {
    /// What is to be done.
    pub(super) fn moves(&self) -> Moves {
        if !self.senders.contains(self.me) {
            return Moves {
                take: Vec::new(),
                give_back: self.mine.iter().copied().collect(),
            };
        }
        let senders = u32::try_from(self.senders.len()).unwrap_or(u32::MAX);
        let fair = self.partitions.div_ceil(senders.max(1)) as usize;
        let mut mine: Vec<u32> = self.mine.iter().copied().collect();
        mine.sort_by_key(|partition| self.liking(*partition));
        if let Some(beyond) = mine.get(fair..).filter(|beyond| !beyond.is_empty()) {
            return Moves {
                take: Vec::new(),
                give_back: beyond.to_vec(),
            };
        }
        let is_free = |partition: &u32| {
            let owner = self.owners.get(partition);
            // What is its own and not in its hands was taken without its knowing.
            let is_free = |owner: &String| owner == self.me || !self.alive.contains(owner);
            owner.is_none_or(is_free)
                && !mine.contains(partition)
                && !self.leaving.contains(partition)
        };
        let mut free: Vec<u32> = (0..self.partitions).filter(is_free).collect();
        free.sort_by_key(|partition| self.liking(*partition));
        free.truncate(fair - mine.len());
        Moves {
            take: free,
            give_back: Vec::new(),
        }
    }

    /// A number by which senders differ in what they take first, so that they seldom want the same.
    fn liking(&self, partition: u32) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one((self.me, partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has each sender do what it is to do, one after the other, until nobody has anything to do.
    fn settle(
        senders: &BTreeSet<String>,
        owners: &mut BTreeMap<u32, String>,
        everyone: &[String],
        partitions: u32,
    ) {
        for _ in 0..10 {
            for me in everyone {
                let mine: BTreeSet<u32> = owners
                    .iter()
                    .filter(|(_, owner)| *owner == me)
                    .map(|(partition, _)| *partition)
                    .collect();
                let moves = View {
                    me,
                    alive: senders,
                    senders,
                    owners,
                    mine: &mine,
                    leaving: &BTreeSet::new(),
                    partitions,
                }
                .moves();
                for partition in moves.give_back {
                    owners.remove(&partition);
                }
                for partition in moves.take {
                    owners.insert(partition, me.clone());
                }
            }
        }
    }

    #[test]
    fn partitions_are_spread_evenly_whoever_comes_and_goes() {
        let everyone: Vec<String> = (0..5).map(|number| format!("sender {number}")).collect();
        let mut owners = BTreeMap::new();
        for there in [1, 3, 5, 2, 4] {
            let senders: BTreeSet<String> = everyone[..there].iter().cloned().collect();
            settle(&senders, &mut owners, &everyone[..there], 64);
            assert_eq!(owners.len(), 64, "{there}");
            let fair = 64_usize.div_ceil(there);
            for sender in &everyone[..there] {
                let has = owners.values().filter(|owner| *owner == sender).count();
                assert!(has <= fair && has > 0, "{sender} has {has} of {there}");
            }
        }
    }

    #[test]
    fn one_that_is_about_to_end_gives_all_back_and_takes_nothing() {
        let mine = BTreeSet::from([1, 2]);
        let moves = View {
            me: "me",
            alive: &BTreeSet::from(["me".to_owned(), "other".to_owned()]),
            senders: &BTreeSet::from(["other".to_owned()]),
            owners: &BTreeMap::new(),
            mine: &mine,
            leaving: &BTreeSet::new(),
            partitions: 4,
        }
        .moves();
        assert!(moves.take.is_empty());
        assert_eq!(moves.give_back, [1, 2]);
    }
}
