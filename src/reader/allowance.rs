//! What the filters of an owner may take of the reader's time.
//!
//! One filter is bounded by itself, but an owner may have a thousand of them. Each owner has steps to spend, which come
//! back with the events that the owner's filters are asked about. When they are spent, the owner's filters fail, and
//! other owners do not wait for them.

use std::{collections::HashMap, sync::Arc};

use crate::expression::filter::STEPS;

/// The most steps that an owner has.
const MOST: u64 = 4 * STEPS;
/// The steps that come back with an event.
const EVENT: u64 = 20_000;
/// The steps that come back for each filter that is asked about an event.
const FILTER: u64 = 200;

/// The steps that owners have left.
#[derive(Debug, Default)]
pub(super) struct Allowances {
    /// Of owners that have not the most.
    left: HashMap<Option<Arc<str>>, u64>,
}

impl Allowances {
    /// The steps that the owner has for `filters` on an event.
    pub(super) fn take(&mut self, owner: Option<&Arc<str>>, filters: u64) -> u64 {
        let left = self.left.remove(&owner.cloned()).unwrap_or(MOST);
        (left + EVENT + FILTER * filters).min(MOST)
    }

    /// Notes what the owner did not spend.
    pub(super) fn give_back(&mut self, owner: Option<&Arc<str>>, left: u64) {
        if left < MOST {
            self.left.insert(owner.cloned(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back_with_events_and_other_owners_have_their_own() {
        let mut allowances = Allowances::default();
        let anna = Arc::from("anna");
        let (anna, nobody) = (Some(&anna), None);
        assert_eq!(allowances.take(anna, 1), MOST);
        allowances.give_back(anna, 0);
        assert_eq!(allowances.take(anna, 10), EVENT + 10 * FILTER);
        assert_eq!(allowances.take(nobody, 10), MOST);
        allowances.give_back(anna, MOST - 1);
        assert_eq!(allowances.take(anna, 1), MOST);
        allowances.give_back(anna, MOST);
        assert!(allowances.left.is_empty());
    }
}
