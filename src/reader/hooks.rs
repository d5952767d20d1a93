//! The hooks, as the stream changes them.

use std::sync::Arc;

use anyhow::Result;
use tokio_postgres::Client;

use super::Reader;
use crate::{
    change::Change,
    config::OwnerExists,
    event::TableEvents,
    hook::{
        Hook, HookId,
        index::Index,
        off::OffHooks,
        row::{self, HookColumns, HookRow, Known, Streamed},
    },
    postgres::{relation::Relation, tuple::Image},
};

/// The hooks, and what it takes to make one of a row.
pub(super) struct Hooks {
    pub(super) index: Index,
    pub(super) columns: HookColumns,
    pub(super) off: OffHooks,
    pub(super) known: Arc<Known>,
    /// Where their owners are kept.
    pub(super) owner_exists: Option<OwnerExists>,
}

/// A row of the hook table, and the hook that it makes, or why it makes none.
pub(super) struct Judged {
    pub(super) id: HookId,
    pub(super) active: bool,
    was_invalid: Option<String>,
    hook: Result<Arc<Hook>, String>,
}

impl Judged {
    pub(super) fn of(row: HookRow, known: &Known) -> Self {
        Self {
            id: row.id.clone(),
            active: row.active,
            was_invalid: row.invalid.clone(),
            hook: row.into_hook(known).map(Arc::new),
        }
    }
}

impl Hooks {
    /// The table's columns are these, from now on.
    pub(super) fn learn(&mut self, events: &TableEvents, relation: &Relation) {
        Arc::make_mut(&mut self.known).learn(events, relation);
    }
}

impl Reader {
    pub(super) async fn follow_hook(&mut self, change: &Change, client: &Client) -> Result<()> {
        let columns = &self.hooks.columns;
        let old = change.before().map(Image::tuple);
        let old = old
            .map(|old| row::id_from_stream(columns, &change.relation, old))
            .transpose()?;
        let at = change.transaction.commit_lsn;
        let Some(new) = change.after() else {
            if let Some(id) = old {
                self.drop_hook(&id);
                self.hooks.off.turn(&id, false, at);
            }
            return Ok(());
        };
        let row = match HookRow::from_stream(columns, &change.relation, new)? {
            Streamed::Row(row) => Some(*row),
            Streamed::Partial(id) => row::load_one(client, columns, &id).await?,
        };
        if let Some(old) = old.filter(|old| row.as_ref().is_none_or(|row| row.id != *old)) {
            self.drop_hook(&old);
            self.hooks.off.turn(&old, false, at);
        }
        if let Some(row) = row {
            self.hooks.off.turn(&row.id, !row.active, at);
            if row.active {
                self.put_hook(Judged::of(row, &self.hooks.known));
            } else {
                self.drop_hook(&row.id);
            }
        }
        Ok(())
    }

    pub(super) fn put_hook(&mut self, judged: Judged) {
        let Judged {
            id,
            was_invalid,
            hook,
            ..
        } = judged;
        let invalid = match hook {
            Ok(hook) => {
                if hook.active {
                    self.couriers.update(&hook);
                }
                self.hooks.index.put(hook);
                None
            }
            Err(reason) => {
                tracing::warn!(hook = %id, reason, "a hook cannot be used");
                self.drop_hook(&id);
                Some(reason)
            }
        };
        if invalid != was_invalid {
            let desk = Arc::clone(&self.desk);
            self.desk
                .tasks
                .spawn(async move { desk.store.mark_invalid(&id, invalid.as_deref()).await });
        }
    }

    pub(super) fn drop_hook(&mut self, id: &HookId) {
        self.hooks.index.remove(id);
        self.couriers.deactivate(id);
    }
}
