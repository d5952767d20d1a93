//! The hooks as they were at the position of the slot.
//!
//! The stream begins again there, while the hook table is as it is now. So what the stream says of the hook table since
//! then is read first, and undone: a hook was what the first change since then has as its old row. Later changes of it
//! do not matter, so nothing is kept of them but its id. The reader then goes through the same stream, meets each
//! change at its place, and makes it again.
//!
//! What has been committed and the table did not show yet when it was read needs no undoing.

use std::{collections::HashSet, sync::Arc};

use anyhow::{Context, Result};
use tokio_postgres::Client;

use super::{Reader, hooks::CheckedRow, moved::Moved, owners::PastOwners};
use crate::{
    config::HookColumns,
    hook::{
        Hook, HookId, Origin,
        off::Switch,
        row::{self, HookRow, Streamed},
    },
    message::LOADED,
    panics::caught_now,
    postgres::{
        Lsn,
        pgoutput::Message,
        relation::Relation,
        snapshot::Snapshot,
        stream::Received,
        tuple::{Old, Tuple},
    },
};

/// What is known of the time between the position of the slot and the moment at which the hook table was read.
pub struct Past {
    /// What the table showed.
    snapshot: Snapshot,
    /// What the message says that was written into the stream after the table was read.
    mark: String,
    /// The hook table as the stream has described it.
    table: Option<Arc<Relation>>,
    /// The table showed the transaction that is being read.
    is_seen: bool,
    /// The hooks that have changed.
    changed: HashSet<HookId>,
    /// Those of them that there were none of before.
    made: HashSet<HookId>,
    /// The rows that took an id in the transaction that is being read.
    moved: Moved,
    /// How many hooks were changed of which the stream has no old row.
    unknown: usize,
    /// The table was emptied, and which hooks were in it is not known.
    is_emptied: bool,
    /// What happened to the rows that lead to owners.
    pub(super) owners: PastOwners,
}

/// A hook before its first change.
#[derive(Debug)]
enum Then {
    /// There was none with this id.
    Absent,
    /// It was this row.
    Was(Box<HookRow>),
    /// The stream has only what it became.
    Became(Box<HookRow>),
    /// There was one, and nothing else is known of it.
    Gone,
    /// There was one, and nothing is known of it but what it is now.
    Unclear,
}

impl Past {
    pub(super) fn new(snapshot: Snapshot, mark: String) -> Self {
        Self {
            snapshot,
            mark,
            table: None,
            is_seen: false,
            changed: HashSet::new(),
            made: HashSet::new(),
            moved: Moved::default(),
            unknown: 0,
            is_emptied: false,
            owners: PastOwners::default(),
        }
    }

    /// How many hooks have changed.
    pub fn changed(&self) -> usize {
        self.changed.len()
    }
}

impl Reader {
    /// Undoes the changes of hooks in a part of the stream. Parts come in order, and begin at the position of the slot.
    /// Returns whether that was the last: the rest is after the table was read.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn undo(
        &mut self,
        past: &mut Past,
        received: &[Received],
        client: &Client,
    ) -> Result<bool> {
        for received in received {
            let Received::Message(message) = received else {
                continue;
            };
            self.foresee_past(&mut past.owners, message, client).await?;
            match message {
                Message::Begin { xid, .. } => {
                    past.is_seen = past.snapshot.sees(*xid);
                    past.moved.forget();
                }
                Message::Relation(message) if Some(message.oid) == self.hooks.oid => {
                    let relation = Relation::describe(client, message.clone()).await;
                    let relation = relation.context("read what the hook table looks like")?;
                    past.table = Some(Arc::new(relation));
                }
                Message::Message {
                    prefix, content, ..
                } if prefix == LOADED && *content == *past.mark.as_bytes() => {
                    self.end_foreseeing(&past.owners, &past.snapshot);
                    return Ok(true);
                }
                _ if past.is_seen => {
                    if let Err(panic) = caught_now(|| self.undo_change(past, message)) {
                        tracing::error!(%panic, "rowhook has a bug; a change of the hook table is not undone");
                    }
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// The hooks are now as they were at the position of the slot. Says what of that is not known.
    pub async fn end_undoing(&mut self, past: &Past, client: &Client) {
        // A hook that is off and has not changed was off then too, and heard nothing unless that was kept for it.
        for hook in self.hooks.index.all() {
            let is_off = !hook.active
                && !past.changed.contains(&hook.id)
                && !self.hooks.locked.rows.contains(&hook.id);
            if is_off && self.hooks.off.switch(&hook.id) != Switch::Kept {
                self.hooks.off.turn(&hook.id, Switch::Off, Lsn::ZERO);
                self.set_hook(&hook.id, None);
            }
        }
        if past.unknown > 0 {
            tracing::warn!(
                hooks = past.unknown,
                "hooks were changed while rowhook did not read, and the stream does not say how they were before: what \
                 was committed before that meets them as they became; set replica identity full on the hook table"
            );
        }
        if past.is_emptied {
            tracing::warn!(
                "the hook table was truncated while rowhook did not read, and the stream does not say which hooks \
                 were in it: they do not hear what was committed before that"
            );
        }
        self.disable_orphans(client).await;
    }

    /// The number of hooks, with those of hooks.toml.
    pub fn count_hooks(&self) -> usize {
        self.hooks.index.len()
    }

    /// Undoes a change of the hook table, as far as its hooks were not changed before.
    fn undo_change(&mut self, past: &mut Past, message: &Message) {
        let Some(table) = past.table.clone() else {
            return;
        };
        if let Message::Truncate { relations, .. } = message {
            // The rows of rowhook's own table are deleted before it is emptied.
            past.is_emptied |= relations.contains(&table.oid) && !self.hooks.columns.is_own;
            return;
        }
        let columns = &self.hooks.columns;
        let changes = before(columns, &table, message);
        let (old, new) = match message {
            Message::Insert { new, .. } => (None, Some(new)),
            Message::Update { old, new, .. } => (Some(old), Some(new)),
            Message::Delete { old, .. } => (Some(old), None),
            _ => return,
        };
        if changes.is_empty() {
            return;
        }
        let old_id = changes
            .iter()
            .find(|(_, then)| !matches!(then, Then::Absent))
            .map(|(id, _)| id.clone());
        // Two rows have one id for a moment where ids change places.
        let is_displaced = old_id
            .as_ref()
            .zip(old)
            .is_some_and(|(id, old)| past.moved.is_another(id, old));
        let old_id = old_id.filter(|_| !is_displaced);
        let id_of = |tuple: &Tuple| row::id_from_stream(columns, &table, tuple).ok();
        let new = new.and_then(|new| Some((id_of(new)?, new)));
        past.moved.follow(old_id.as_ref(), new);
        for (id, then) in changes {
            let is_made = matches!(then, Then::Absent);
            let was_there = is_displaced && !is_made && past.made.remove(&id);
            if past.changed.insert(id.clone()) || was_there {
                if is_made {
                    past.made.insert(id.clone());
                }
                past.unknown += usize::from(!matches!(then, Then::Absent | Then::Was(_)));
                self.set_back(id, then);
            }
        }
    }

    /// Makes the hook what it was then. One that is off by now is sent nothing: what it is to hear is kept for it.
    fn set_back(&mut self, id: HookId, then: Then) {
        let is_on_now = self.hooks.index.get(&id).map(|hook| hook.active);
        let off = &self.hooks.off;
        let row = match then {
            Then::Unclear => return,
            Then::Gone => None,
            Then::Absent => {
                off.turn(&id, Switch::On, Lsn::ZERO);
                None
            }
            Then::Was(row) => {
                let was = match (row.active, off.switch(&id)) {
                    (true, _) => Switch::On,
                    (false, Switch::Kept) => Switch::Kept,
                    (false, Switch::On | Switch::Off) => Switch::Off,
                };
                off.turn(&id, was, Lsn::ZERO);
                (was != Switch::Off).then_some(row)
            }
            Then::Became(row) => (off.switch(&id) != Switch::Off).then_some(row),
        };
        let hook = row.and_then(|mut row| {
            row.active = is_on_now.unwrap_or(row.active);
            // That it could not be used is on record since then, as far as it still holds.
            CheckedRow::of(*row, &self.hooks.known).hook.ok()
        });
        self.set_hook(&id, hook);
    }

    /// What hears events as this hook from now on. A hook of hooks.toml stays what it is.
    pub(super) fn set_hook(&mut self, id: &HookId, hook: Option<Arc<Hook>>) {
        let index = &mut self.hooks.index;
        if index.get(id).is_some_and(|now| now.origin == Origin::File) {
            return;
        }
        match hook {
            Some(hook) => index.put(hook),
            None => {
                index.remove(id);
            }
        }
    }
}

/// The hooks that a change is about, as they were before it.
fn before(columns: &HookColumns, table: &Relation, message: &Message) -> Vec<(HookId, Then)> {
    let id_of = |tuple: &Tuple| row::id_from_stream(columns, table, tuple).ok();
    let row_of = |tuple: &Tuple| match HookRow::from_stream(columns, table, tuple) {
        Ok(Streamed::Row(row)) => Some(row),
        Ok(Streamed::Partial(_)) | Err(_) => None,
    };
    let (old, new) = match message {
        Message::Insert { relation, new } if *relation == table.oid => (None, Some(new)),
        Message::Update { relation, old, new } if *relation == table.oid => (Some(old), Some(new)),
        Message::Delete { relation, old } if *relation == table.oid => (Some(old), None),
        _ => return Vec::new(),
    };
    let whole = match old {
        Some(Old::Full(tuple)) => row_of(tuple),
        Some(Old::Key(_) | Old::SameKey) | None => None,
    };
    let new_id = new.and_then(id_of);
    // Without an old image, or where that has not the id, an update has left the id as it was.
    let old_id = old.and_then(|old| {
        let id = old.image().and_then(|image| id_of(image.tuple()));
        id.or_else(|| new_id.clone())
    });
    let made = new_id.filter(|new| old_id.as_ref() != Some(new));
    let changed = old_id.map(|id| {
        let then = match (whole, new) {
            (Some(row), _) => Then::Was(row),
            (None, None) => Then::Gone,
            (None, Some(new)) => row_of(new).map_or(Then::Unclear, |mut row| {
                row.id = id.clone();
                Then::Became(row)
            }),
        };
        (id, then)
    });
    let made = made.map(|id| (id, Then::Absent));
    changed.into_iter().chain(made).collect()
}
