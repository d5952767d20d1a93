//! Which hooks are disabled at the position of the slot, as far as the stream does not tell.
//!
//! Nothing tells that rowhook itself has disabled a hook, so that what it hears is kept for it. And for a table of
//! which the stream carries no whole old rows, nothing tells which hooks were disabled: after a crash, such a hook is
//! still sent what was committed before it was disabled, and nothing that was committed while it was disabled by hand.
//!
//! It is saved together with the position, as is which table the hooks were in.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use super::HookId;
use crate::{lock::lock, postgres::Lsn};

/// The hooks that are disabled at the position of the reader, and the changes that are not saved yet. Clones share one
/// state.
#[derive(Debug, Clone, Default)]
pub struct OffHooks(Arc<Mutex<State>>);

/// Whether a hook is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It is sent what it hears.
    On,
    /// It hears nothing, because somebody has switched it off.
    Off,
    /// rowhook has switched it off, and what it hears is kept.
    Kept,
}

#[derive(Debug, Default)]
struct State {
    /// The oid of the hook table, and from which position on its changes are in the stream.
    table: Option<(u32, Lsn)>,
    /// Whether hooks that are off by hand are noted. For rowhook's own table, the stream tells.
    notes_off: bool,
    /// Those that are not on.
    off: HashMap<HookId, Switch>,
    /// The changes that are not saved yet, in the order of the stream.
    turned: Vec<Turn>,
}

#[derive(Debug, Clone)]
struct Turn {
    at: Lsn,
    hook: HookId,
    to: Switch,
}

impl OffHooks {
    /// Starts from the saved state, in which these hooks are not on. Unless `notes_off`, hooks that somebody switches
    /// off count as on here.
    pub fn begin(&self, off: impl IntoIterator<Item = (HookId, Switch)>, notes_off: bool) {
        *self.lock() = State {
            table: None,
            notes_off,
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

    /// Whether the hook is on at the position of the reader.
    pub fn switch(&self, hook: &HookId) -> Switch {
        self.lock().off.get(hook).copied().unwrap_or(Switch::On)
    }

    /// Records that the transaction `at` switched a hook. A hook that was removed counts as on.
    pub fn turn(&self, hook: &HookId, to: Switch, at: Lsn) {
        let mut state = self.lock();
        let to = match to {
            Switch::Off if !state.notes_off => Switch::On,
            to => to,
        };
        let before = match to {
            Switch::On => state.off.remove(hook),
            to => state.off.insert(hook.clone(), to),
        };
        if before.unwrap_or(Switch::On) != to {
            state.turned.push(Turn {
                at,
                hook: hook.clone(),
                to,
            });
        }
    }

    /// Records that the transaction `at` removed all hooks.
    pub fn turn_all_on(&self, at: Lsn) {
        let all: Vec<HookId> = self.lock().off.keys().cloned().collect();
        all.iter().for_each(|hook| self.turn(hook, Switch::On, at));
    }

    /// What changed up to `confirmed` and is not saved yet: how each of these hooks is by then.
    pub fn turned(&self, confirmed: Lsn) -> Vec<(HookId, Switch)> {
        let state = self.lock();
        let turned = state.turned.iter().take_while(|turn| turn.at < confirmed);
        let last: BTreeMap<&str, &Turn> = turned.map(|turn| (turn.hook.as_str(), turn)).collect();
        let last = last.into_values();
        last.map(|turn| (turn.hook.clone(), turn.to)).collect()
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
        let (on, off_, kept) = (Switch::On, Switch::Off, Switch::Kept);
        let off = OffHooks::default();
        off.begin([(hook("1"), off_)], true);
        off.turn(&hook("1"), off_, Lsn(10));
        off.turn(&hook("2"), off_, Lsn(20));
        off.turn(&hook("2"), kept, Lsn(20));
        off.turn(&hook("1"), on, Lsn(30));
        off.turn(&hook("2"), on, Lsn(40));
        off.turn(&hook("3"), on, Lsn(40));
        off.turn(&hook("2"), off_, Lsn(50));
        assert_eq!((off.switch(&hook("2")), off.switch(&hook("1"))), (off_, on));
        assert!(off.turned(Lsn(20)).is_empty());
        assert_eq!(off.turned(Lsn(31)), [(hook("1"), on), (hook("2"), kept)]);
        off.noted(Lsn(31));
        assert_eq!(off.turned(Lsn(41)), [(hook("2"), on)]);
        assert_eq!(off.turned(Lsn(51)), [(hook("2"), off_)]);
        off.noted(Lsn(51));
        assert!(off.turned(Lsn(99)).is_empty());
    }

    #[test]
    fn of_a_table_that_tells_who_is_off_only_what_is_kept_is_noted() {
        let (hook, off) = (HookId::new("1", false), OffHooks::default());
        off.begin([], false);
        off.turn(&hook, Switch::Off, Lsn(10));
        assert!(off.turned(Lsn(99)).is_empty());
        off.turn(&hook, Switch::Kept, Lsn(20));
        assert_eq!(off.turned(Lsn(21)), [(hook.clone(), Switch::Kept)]);
        off.turn(&hook, Switch::Off, Lsn(30));
        assert_eq!(off.turned(Lsn(31)), [(hook, Switch::On)]);
    }

    #[test]
    fn the_table_is_noted_from_where_the_stream_has_its_changes() {
        let off = OffHooks::default();
        off.begin([], false);
        off.are_in(Some(7), Lsn(10));
        assert_eq!((off.table(Lsn(9)), off.table(Lsn(10))), (None, Some(7)));
    }
}
