//! Which hooks of the application's table are disabled at the position of the slot, for a table of which the stream
//! carries no whole old rows. After a crash, a hook is therefore still sent what was committed before it was disabled,
//! and nothing that was committed while it was disabled.
//!
//! It is saved together with the position, as is which table the hooks were in.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use super::HookId;
use crate::{lock::lock, postgres::Lsn};

/// The hooks that are disabled at the position of the reader, and the changes that are not saved yet. Clones share one
/// state.
#[derive(Debug, Clone, Default)]
pub struct OffHooks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The oid of the hook table, and from which position on its changes are in the stream.
    table: Option<(u32, Lsn)>,
    /// Whether anything is noted. rowhook's own table needs none of this.
    kept: bool,
    off: HashSet<HookId>,
    /// The changes that are not saved yet, in the order of the stream.
    turned: Vec<Turn>,
}

#[derive(Debug, Clone)]
struct Turn {
    at: Lsn,
    hook: HookId,
    off: bool,
}

impl OffHooks {
    /// Starts from the saved state, in which these hooks are off. Unless `kept`, no changes are noted.
    pub fn begin(&self, off: impl IntoIterator<Item = HookId>, kept: bool) {
        *self.lock() = State {
            table: None,
            kept,
            off: off.into_iter().collect(),
            turned: Vec::new(),
        };
    }

    /// The hooks are in this table, of which the stream has all changes from `from` on.
    pub fn are_in(&self, table: Option<u32>, from: Lsn) {
        self.lock().table = table.map(|table| (table, from));
    }

    /// The table of the hooks, where the stream has all of its changes from `confirmed` on.
    pub fn table(&self, confirmed: Lsn) -> Option<u32> {
        let (table, from) = self.lock().table?;
        (from <= confirmed).then_some(table)
    }

    /// Is the hook off at the position of the reader?
    pub fn contains(&self, hook: &HookId) -> bool {
        self.lock().off.contains(hook)
    }

    /// Records that the transaction `at` switched a hook off, or on. A hook that was removed counts as on.
    pub fn turn(&self, hook: &HookId, off: bool, at: Lsn) {
        let mut state = self.lock();
        if !state.kept {
            return;
        }
        let has_changed = if off {
            state.off.insert(hook.clone())
        } else {
            state.off.remove(hook)
        };
        if has_changed {
            state.turned.push(Turn {
                at,
                hook: hook.clone(),
                off,
            });
        }
    }

    /// Records that the transaction `at` removed all hooks.
    pub fn turn_all_on(&self, at: Lsn) {
        let all: Vec<HookId> = self.lock().off.iter().cloned().collect();
        all.iter().for_each(|hook| self.turn(hook, false, at));
    }

    /// What changed up to `confirmed` and is not saved yet: the hooks that are off by then, and those that are on
    /// again.
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

    /// What [`turned`](Self::turned) returned for `confirmed` has been saved.
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
        off.begin([hook("1")], true);
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

    #[test]
    fn nothing_is_noted_of_a_table_that_needs_none_of_it() {
        let off = OffHooks::default();
        off.begin([], false);
        off.turn(&HookId::new("1", false), true, Lsn(10));
        assert_eq!(off.turned(Lsn(99)), (vec![], vec![]));
    }

    #[test]
    fn the_table_is_noted_from_where_the_stream_has_its_changes() {
        let off = OffHooks::default();
        off.begin([], false);
        off.are_in(Some(7), Lsn(10));
        assert_eq!((off.table(Lsn(9)), off.table(Lsn(10))), (None, Some(7)));
    }
}
