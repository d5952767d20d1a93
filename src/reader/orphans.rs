//! Hooks of owners that exist no more: `owner_exists` of `[hook_table]`.
//!
//! The owners' table is read from the stream too, so a hook stops exactly where its owner was removed. What was missed (while
//! nobody listened, or because the table's deletions do not tell) is looked for now and then.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio_postgres::Client;

use super::Reader;
use crate::{
    change::{Change, RowChange},
    config::OwnerExists,
    hook::{Hook, HookId, Origin, row::HookColumns},
    postgres::{
        quote,
        tuple::{Image, Value},
    },
    store::Disabling,
};

const REASON: &str = "its owner exists no more";

impl Reader {
    /// Follows a change of the owners' table.
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
            RowChange::Insert { .. } | RowChange::Fired { .. } => None,
        };
        if let Some(owner) = gone {
            for hook in self.hooks.index.of_owner(&owner) {
                if hook.origin == Origin::Table {
                    self.drop_hook(&hook.id);
                    self.disable_orphan(hook);
                }
            }
        }
    }

    /// Looks for hooks whose owners are gone. Their rows say so from then on, and they stop where the stream comes to that: what
    /// was committed while there was an owner is theirs.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn disable_orphans(&mut self, client: &Client) -> Result<()> {
        let Some(exists) = &self.hooks.owner_exists else {
            return Ok(());
        };
        let rows = client
            .query(&orphans_query(&self.hooks.columns, exists), &[])
            .await;
        let rows = rows.context("look for hooks whose owners exist no more")?;
        for row in rows {
            let id = HookId::new(row.try_get::<_, String>(0)?, false);
            let hook = self.hooks.index.get(&id).cloned();
            if let Some(hook) = hook.filter(|hook| hook.origin == Origin::Table) {
                self.disable_orphan(hook);
            }
        }
        Ok(())
    }

    /// Has a hook switched off in its table. Those of the file are the operator's, whatever their owner is.
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
            };
            context.store.disable(&disabling).await;
        });
    }
}

/// The ids of active hooks whose owners are not in their table.
fn orphans_query(columns: &HookColumns, exists: &OwnerExists) -> String {
    let (hooks, owners) = (quote::table(&columns.table), quote::table(&exists.table));
    let (id, owner, column) = (
        quote::name(columns.id()),
        quote::name(columns.owner()),
        quote::name(&exists.column),
    );
    format!(
        "select hook.{id}::text from {hooks} as hook \
         where hook.{owner} is not null \
         and not exists (select from {owners} as owner where owner.{column}::text = hook.{owner}::text)"
    )
}
