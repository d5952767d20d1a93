//! What hooks say alike of how they are sent, which is in memory once for all of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use crate::{config::Delivery, lock::lock};

/// With fewer than this, those that no hook has any more are not looked for.
const FEW: usize = 1024;

/// What a row says, text by text, and whether it has an owner, on which the limits depend.
pub(super) type Says = (bool, Vec<Option<String>>);

/// The settings of hooks, by what their rows say. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedDeliveries(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    by_text: HashMap<Says, Weak<Delivery>>,
    /// At which number of them those that no hook has any more are looked for.
    sweep_at: usize,
}

impl SharedDeliveries {
    /// The settings of a hook whose row says this. They are made where no other hook has them.
    ///
    /// # Errors
    /// Why they cannot be made. That is not kept.
    pub(super) fn of<E>(
        &self,
        says: Says,
        make: impl FnOnce() -> Result<Arc<Delivery>, E>,
    ) -> Result<Arc<Delivery>, E> {
        let found = lock(&self.0).by_text.get(&says).and_then(Weak::upgrade);
        if let Some(found) = found {
            return Ok(found);
        }
        let made = make()?;
        let mut kept = lock(&self.0);
        if kept.by_text.len() >= kept.sweep_at {
            kept.by_text
                .retain(|_, delivery| delivery.strong_count() > 0);
            kept.sweep_at = FEW.max(kept.by_text.len() * 2);
        }
        kept.by_text.insert(says, Arc::downgrade(&made));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_that_say_the_same_share_it_as_long_as_one_of_them_is_there() {
        let shared = SharedDeliveries::default();
        let says = |number: usize| (true, vec![None, Some(number.to_string())]);
        let make = || Ok::<_, String>(Arc::new(Delivery::default()));
        let one = shared.of(says(1), make).unwrap();
        let other = shared.of(says(1), || Err("made twice")).unwrap();
        assert!(Arc::ptr_eq(&one, &other));
        assert!(!Arc::ptr_eq(&one, &shared.of(says(2), make).unwrap()));
        assert!(shared.of(says(3), || Err("bad")).is_err());
        drop((one, other));
        assert!(shared.of(says(1), || Err("gone")).is_err());
        for number in 0..10 * FEW {
            shared.of(says(number), make).unwrap();
        }
        assert!(lock(&shared.0).by_text.len() <= 2 * FEW);
    }
}
