//! Changes of hooks in a transaction of the stream, until it is known whether they are on record.

use std::collections::HashSet;

use crate::{
    act::{Act, Kind, Place, Who, what},
    change::Transaction,
    postgres::Lsn,
};

/// How many changes of a transaction are on record one by one. The others are only counted.
const ONE_BY_ONE: usize = 1000;
/// How many bytes these take at most, but for the last.
const MOST_BYTES: usize = 4 << 20;

/// What is known of acts in the transactions that are being read.
#[derive(Default)]
pub(super) struct Acts {
    /// The commits of transactions that have said that what they do is on record.
    on_record: HashSet<Lsn>,
    /// The commit of the transaction that is being applied.
    commit_lsn: Option<Lsn>,
    /// Its changes of hooks.
    noted: Vec<Act>,
    bytes: usize,
    /// How many more there are.
    more: u64,
}

impl Acts {
    pub(super) fn begin(&mut self, commit_lsn: Lsn) {
        self.commit_lsn = Some(commit_lsn);
        self.noted.clear();
        self.bytes = 0;
        self.more = 0;
    }

    /// The transaction with this commit has said that what it does is on record.
    pub(super) fn are_on_record(&mut self, commit_lsn: Lsn) {
        self.on_record.insert(commit_lsn);
    }

    /// Notes a change of the transaction that is being applied.
    pub(super) fn push(&mut self, mut act: Act, transaction: &Transaction) {
        if let Some(place) = self.place(transaction) {
            act.place = Some(place);
            self.bytes += act.size();
            self.noted.push(act);
        }
    }

    /// Whether no more are noted one by one.
    fn are_enough(&self) -> bool {
        self.noted.len() >= ONE_BY_ONE || self.bytes >= MOST_BYTES
    }

    /// Counts a change of the transaction that is not looked at, where so many are noted already that it would not be
    /// noted. Returns whether that is so.
    pub(super) fn only_counts(&mut self) -> bool {
        let enough = self.are_enough();
        self.more += u64::from(enough);
        enough
    }

    /// Counts a change; `None`: there have been enough of the transaction.
    fn place(&mut self, transaction: &Transaction) -> Option<Place> {
        if self.are_enough() {
            self.more += 1;
            return None;
        }
        let number = i32::try_from(self.noted.len()).ok()?;
        Some(Place {
            commit_lsn: transaction.commit_lsn,
            at: transaction.commit_time,
            number,
        })
    }

    /// The acts of the transaction that ends, unless they are on record.
    pub(super) fn end(&mut self) -> Vec<Act> {
        let commit_lsn = self.commit_lsn.take();
        let is_ours = commit_lsn.is_some_and(|lsn| self.on_record.remove(&lsn));
        let mut acts = std::mem::take(&mut self.noted);
        let more = std::mem::take(&mut self.more);
        if is_ours {
            return Vec::new();
        }
        if let Some(last) = acts.last().and_then(|act| act.place)
            && more > 0
        {
            let mut act = sql(what::HOOKS_CHANGED).with("hooks", more);
            act.place = Some(Place {
                number: last.number + 1,
                ..last
            });
            acts.push(act);
        }
        acts
    }
}

/// An act of whoever writes to the hook table.
pub(super) fn sql(what: &'static str) -> Act {
    Act::of(&Who::only(Kind::Sql), what)
}
