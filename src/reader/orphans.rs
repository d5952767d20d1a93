//! Hooks whose owners no longer exist: `owner_exists` of `[hook_table]`.
//!
//! The owners' table is part of the stream, so a hook stops exactly where its owner was removed. A query now and then
//! finds the hooks that were missed: those of owners removed before the slot was made, or whose removal the stream does
//! not identify.

use std::sync::Arc;

use tokio_postgres::Client;

use super::Reader;
use crate::{
    change::{Change, RowChange},
    config::{HookColumns, OwnerExists},
    hook::{Hook, HookId, Origin, off::Switch},
    postgres::{
        equality::Equality,
        error_message, quote,
        relation::Relation,
        tuple::{Image, Value},
    },
    store::Disabling,
};

const REASON: &str = "its owner exists no more";

impl Reader {
    /// Applies a change of the owners' table: the hooks of an owner that it removes stop here.
    pub(super) fn apply_owner_change(&mut self, change: &Change) {
        let Some(exists) = &self.hooks.owner_exists else {
            return;
        };
        let text = |image: Option<Image<'_>>| {
            let at = change.relation.column(&exists.column)?;
            match image?.tuple().get(at)? {
                Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                Value::Null | Value::Unchanged => None,
            }
        };
        let gone = match &change.row {
            RowChange::Delete { .. } => text(change.before()),
            RowChange::Update { .. } => {
                let now = text(change.after().map(Image::Whole));
                text(change.before()).filter(|before| Some(before) != now.as_ref())
            }
            RowChange::Insert { .. } | RowChange::Fired { .. } | RowChange::Truncate => None,
        };
        if let Some(owner) = gone {
            let column = change.relation.column(&exists.column);
            let column = column.and_then(|at| change.relation.columns.get(at));
            let equality = column.map(Equality::of).unwrap_or_default();
            for hook in self.hooks.index.of_owner(&owner, equality) {
                if hook.origin == Origin::Table {
                    self.drop_hook(&hook.id);
                    if hook.active {
                        self.disable_orphan(hook);
                    } else {
                        // It is off already, and hears nothing more.
                        let at = change.transaction.commit_lsn;
                        self.hooks.off.turn(&hook.id, Switch::Off, at);
                    }
                }
            }
        }
    }

    /// The owners' table was emptied: the hooks of all owners stop here.
    pub(super) fn disable_all_owned(&mut self) {
        let all = self.hooks.index.all();
        for hook in all.filter(|hook| hook.origin == Origin::Table && hook.owner.is_some()) {
            self.drop_hook(&hook.id);
            if hook.active {
                self.disable_orphan(hook);
            }
        }
    }

    /// Looks for hooks whose owners no longer exist, and disables them in their table. They stop where the stream comes
    /// to that change, since they may still receive what was committed while there was an owner.
    ///
    /// Where the tables cannot be read, nothing happens but a warning.
    pub async fn disable_orphans(&mut self, client: &Client) {
        let Some(exists) = &self.hooks.owner_exists else {
            return;
        };
        let found = async {
            let relation = Relation::find(client, &exists.table).await?;
            let column = relation.as_ref().and_then(|relation| {
                let at = relation.column(&exists.column)?;
                relation.columns.get(at)
            });
            let equality = column.map(Equality::of).unwrap_or_default();
            let sql = orphans_query(&self.hooks.columns, exists, equality);
            let rows = client.query(&sql, &[]).await?;
            let ids = rows.iter().map(|row| row.try_get::<_, String>(0));
            ids.collect::<Result<Vec<_>, _>>()
        };
        let ids = found.await.unwrap_or_else(|error| {
            tracing::warn!(
                error = error_message(&error),
                "hooks whose owners exist no more could not be looked for; tried again later"
            );
            Vec::new()
        });
        for id in ids {
            let id = HookId::new(id, false);
            let hook = self.hooks.index.get(&id).cloned();
            if let Some(hook) = hook.filter(|hook| hook.origin == Origin::Table && hook.active) {
                self.disable_orphan(hook);
            }
        }
    }

    /// Disables a hook of the hook table, in a task of its own. Hooks of hooks.toml must not come here: they are the
    /// operator's, whatever their owner is.
    fn disable_orphan(&self, hook: Arc<Hook>) {
        tracing::warn!(hook = %hook.id, owner = hook.owner.as_deref(), "the hook is disabled: {REASON}");
        let context = Arc::clone(&self.context);
        self.context.tasks.spawn(async move {
            let disabling = Disabling {
                hook: &hook,
                reason: REASON,
                gone: true,
                since: std::time::SystemTime::now(),
                last_answer: "",
                kept: false,
            };
            context.store.disable(&disabling).await;
        });
    }
}

/// The query for the ids of hooks whose owners are not in their table.
fn orphans_query(columns: &HookColumns, exists: &OwnerExists, equality: Equality) -> String {
    let (hooks, owners) = (quote::table(&columns.table), quote::table(&exists.table));
    let (id, owner, column) = (
        quote::name(&columns.id),
        quote::name(&columns.owner),
        quote::name(&exists.column),
    );
    format!(
        "select hook.{id}::text from {hooks} as hook \
         where hook.{owner} is not null \
         and not exists (select from {owners} as owner where {})",
        match equality {
            // The text of a value, whatever letters somebody wrote it with.
            Equality::Uuid | Equality::CaseInsensitive => format!(
                "pg_catalog.lower(owner.{column}::text) = pg_catalog.lower(hook.{owner}::text)"
            ),
            _ => format!("owner.{column}::text = hook.{owner}::text"),
        }
    )
}
