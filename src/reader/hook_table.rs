//! Changes of the hook table. A hook changes exactly where its row changes in the stream, between the events around it.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use anyhow::Result;
use tokio_postgres::Client;

use super::{
    Reader,
    hooks::{CheckedRow, Unusable},
};
use crate::{
    change::Change,
    hook::{
        HookId,
        row::{self, HookRow, Streamed},
    },
    postgres::tuple::Image,
};

impl Reader {
    /// Applies a change of the hook table.
    ///
    /// # Errors
    /// When the row has no id, or what the stream left out of it cannot be read.
    pub(super) async fn apply_hook_change(
        &mut self,
        change: &Change,
        client: &Client,
    ) -> Result<()> {
        let columns = &self.hooks.columns;
        let old = change.before().map(Image::tuple);
        let old = old
            .map(|old| row::id_from_stream(columns, &change.relation, old))
            .transpose()?;
        let at = change.transaction.commit_lsn;
        let Some(new) = change.after() else {
            if let Some(id) = old {
                self.remove_hook(&id);
                self.hooks.off.turn(&id, false, at);
            }
            return Ok(());
        };
        let row = match HookRow::from_stream(columns, &change.relation, new)? {
            Streamed::Row(row) => Some(*row),
            Streamed::Partial(id) => row::load_one(client, columns, &id).await?,
        };
        if let Some(old) = old.filter(|old| row.as_ref().is_none_or(|row| row.id != *old)) {
            self.remove_hook(&old);
            self.hooks.off.turn(&old, false, at);
        }
        if let Some(row) = row {
            self.hooks.off.turn(&row.id, !row.active, at);
            if row.active {
                self.put_hook(CheckedRow::of(row, &self.hooks.known));
            } else {
                self.drop_hook(&row.id);
            }
        }
        Ok(())
    }

    /// Adds or replaces a hook. Where its row cannot be used, the hook is dropped and the reason written to the row.
    pub(super) fn put_hook(&mut self, row: CheckedRow) {
        let CheckedRow {
            id,
            was_invalid,
            hook,
            ..
        } = row;
        let invalid = match hook {
            Ok(hook) => {
                if hook.active {
                    self.couriers.update(&hook);
                }
                self.hooks.index.put(hook);
                None
            }
            Err(unusable) => {
                let reason = unusable.reason();
                if let Unusable::Panicked(_) = unusable {
                    self.context.meters.panics.hook.fetch_add(1, Relaxed);
                    tracing::error!(hook = %id, reason, "rowhook has a bug; the hook cannot be used");
                } else {
                    tracing::warn!(hook = %id, reason, "a hook cannot be used");
                }
                self.drop_hook(&id);
                Some(reason)
            }
        };
        if invalid != was_invalid || self.context.store.is_noted_invalid(&id) {
            let context = Arc::clone(&self.context);
            self.context
                .tasks
                .spawn(async move { context.store.mark_invalid(&id, invalid.as_deref()).await });
        }
    }

    /// Removes a hook whose row is gone. What is parked for it stays in the table.
    fn remove_hook(&mut self, id: &HookId) {
        self.drop_hook(id);
        if self.context.store.is_noted_invalid(id) {
            let (context, id) = (Arc::clone(&self.context), id.clone());
            self.context
                .tasks
                .spawn(async move { context.store.forget_invalid(&id).await });
        }
    }

    /// Stops a hook. What is parked for it stays in the table.
    pub(super) fn drop_hook(&mut self, id: &HookId) {
        self.hooks.index.remove(id);
        self.couriers.deactivate(id);
    }
}
