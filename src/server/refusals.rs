//! Requests with tokens that are not good, as they go on record: at most one act a minute for each visitor, and for so
//! many visitors, however many requests there are.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use crate::lock::lock;

/// How long requests of a visitor are counted before they go on record together.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// How many visitors are on record by themselves in a minute. The requests of others are counted together.
const MOST_VISITORS: usize = 60;

/// The refused requests that are not on record yet.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// By visitor, from their first refused request on until a minute has none.
    visitors: HashMap<String, u64>,
    others: u64,
}

/// What goes on record of a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// How many of their requests.
    pub(super) requests: u64,
    /// How many of visitors who are not on record by themselves.
    pub(super) others: u64,
}

impl Refusals {
    /// Counts a request. If it is the first of its visitor, it is to be put on record now, and what [`Self::take`]
    /// returns each minute after that.
    pub(super) fn count(&self, visitor: &str) -> Option<Refused> {
        let mut counts = lock(&self.0);
        if let Some(requests) = counts.visitors.get_mut(visitor) {
            *requests += 1;
            return None;
        }
        if counts.visitors.len() >= MOST_VISITORS {
            counts.others += 1;
            return None;
        }
        counts.visitors.insert(visitor.to_owned(), 0);
        let others = std::mem::take(&mut counts.others);
        Some(Refused {
            requests: 1,
            others,
        })
    }

    /// What came from a visitor since; `None`: nothing, and their next request is the first again.
    pub(super) fn take(&self, visitor: &str) -> Option<Refused> {
        let mut counts = lock(&self.0);
        let requests = counts.visitors.get_mut(visitor).map(std::mem::take);
        let requests = requests.filter(|requests| *requests > 0);
        if requests.is_none() {
            counts.visitors.remove(visitor);
        }
        let requests = requests?;
        let others = std::mem::take(&mut counts.others);
        Some(Refused { requests, others })
    }

    /// Takes back what could not be put on record.
    pub(super) fn give_back(&self, visitor: &str, refused: Refused) {
        let mut counts = lock(&self.0);
        counts.others += refused.others;
        *counts.visitors.entry(visitor.to_owned()).or_default() += refused.requests;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(requests: u64, others: u64) -> Option<Refused> {
        Some(Refused { requests, others })
    }

    #[test]
    fn the_first_request_of_a_visitor_is_told_at_once_and_the_others_each_minute() {
        let refusals = Refusals::default();
        assert_eq!(refusals.count("a"), refused(1, 0));
        assert_eq!((refusals.count("a"), refusals.count("a")), (None, None));
        assert_eq!(refusals.count("b"), refused(1, 0));
        assert_eq!(refusals.take("a"), refused(2, 0));
        assert_eq!(refusals.take("a"), None);
        assert_eq!(refusals.count("a"), refused(1, 0));
        refusals.count("a");
        let taken = refusals.take("a").unwrap();
        refusals.give_back("a", taken);
        assert_eq!(refusals.take("a"), refused(1, 0));
    }

    #[test]
    fn of_very_many_visitors_some_are_counted_together() {
        let refusals = Refusals::default();
        let many = 0..100_000;
        let told = many.filter(|number| refusals.count(&number.to_string()).is_some());
        assert_eq!(told.count(), MOST_VISITORS);
        assert!(lock(&refusals.0).visitors.len() == MOST_VISITORS);
        refusals.count("0");
        assert_eq!(refusals.take("0"), refused(1, 100_000 - 60));
    }
}
