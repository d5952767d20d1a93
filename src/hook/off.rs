//! Which hooks are off where the slot stands, so that after a crash a hook still hears what was committed before it was
//! switched off, and nothing of what was committed before it was switched on again.
//!
//! The hook table says how hooks are now; the stream begins again somewhat before that. What lies between is noted
//! together with the position.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use super::HookId;
use crate::{lock::lock, postgres::Lsn};

/// The hooks that are off where the reader is, and what of that is not noted yet. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct OffHooks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    off: HashSet<HookId>,
    /// In the order of the stream.
    turned: Vec<Turn>,
}

#[derive(Debug, Clone)]
struct Turn {
    at: Lsn,
    hook: HookId,
    off: bool,
}

impl OffHooks {
    /// Begins where these are off, as is noted.
    pub fn begin(&self, off: impl IntoIterator<Item = HookId>) {
        *self.lock() = State {
            off: off.into_iter().collect(),
            turned: Vec::new(),
        };
    }

    /// Is it off where the reader is?
    pub fn contains(&self, hook: &HookId) -> bool {
        self.lock().off.contains(hook)
    }

    /// The stream says in the transaction `at` that a hook is off, or not. One that is removed is not.
    pub fn turn(&self, hook: &HookId, off: bool, at: Lsn) {
        let mut state = self.lock();
        let news = if off {
            state.off.insert(hook.clone())
        } else {
            state.off.remove(hook)
        };
        if news {
            state.turned.push(Turn {
                at,
                hook: hook.clone(),
                off,
            });
        }
    }

    /// What has changed up to `confirmed` and is not noted yet: the hooks that are off by then, and those that are so no more.
    pub fn turned(&self, confirmed: Lsn) -> (Vec<HookId>, Vec<HookId>) {
        let state = self.lock();
        let turned = state.turned.iter().take_while(|turn| turn.at < confirmed);
        let last: BTreeMap<&str, &Turn> = turned.map(|turn| (turn.hook.as_str(), turn)).collect();
        let of = |off| {
            let of = last.values().filter(|turn| turn.off == off);
            of.map(|turn| turn.hook.clone()).collect()
        };
        (of(true), of(false))
    }

    /// What [`turned`](Self::turned) said of `confirmed` has been noted.
    pub fn noted(&self, confirmed: Lsn) {
        self.lock().turned.retain(|turn| turn.at >= confirmed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_turned_is_noted_with_the_position_and_not_before() {
        let hook = |id: &str| HookId::new(id, false);
        let off = OffHooks::default();
        off.begin([hook("1")]);
        off.turn(&hook("1"), true, Lsn(10));
        off.turn(&hook("2"), true, Lsn(20));
        off.turn(&hook("1"), false, Lsn(30));
        off.turn(&hook("2"), false, Lsn(40));
        off.turn(&hook("3"), false, Lsn(40));
        off.turn(&hook("2"), true, Lsn(50));
        assert!(off.contains(&hook("2")) && !off.contains(&hook("1")));
        assert_eq!(off.turned(Lsn(20)), (vec![], vec![]));
        assert_eq!(off.turned(Lsn(31)), (vec![hook("2")], vec![hook("1")]));
        off.noted(Lsn(31));
        assert_eq!(off.turned(Lsn(41)), (vec![], vec![hook("2")]));
        assert_eq!(off.turned(Lsn(51)), (vec![hook("2")], vec![]));
        off.noted(Lsn(51));
        assert_eq!(off.turned(Lsn(99)), (vec![], vec![]));
    }
}
