//! Hooks whose owners no longer exist: `owner_exists` of `[hook_table]`.
//!
//! The owners' table is part of the stream, so a hook stops exactly where its owner was removed. A query now and then
//! finds the hooks that were missed: those of owners removed before the slot was made, or whose removal the stream does
//! not identify.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use tokio_postgres::Client;

use super::Reader;
use crate::{
    backoff::Backoff,
    change::{Change, RowChange},
    config::{HookColumns, OwnerExists},
    hook::{Hook, HookId, Origin, off::Switch, row::HookRow},
    lookup::halves::Refusal,
    postgres::{
        equality::Equality,
        error_message, quote,
        relation::Relation,
        snapshot::Snapshot,
        tuple::{Image, Value},
    },
    store::Disabling,
};

const REASON: &str = "its owner exists no more";

/// What was committed this short a time ago is read as it happens.
const JUST_NOW: Duration = Duration::from_secs(5);
/// How often it is looked whether others see a transaction, and the pauses between: 2 s in all, at most.
const LOOKS: u32 = 20;
const PAUSES: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(200));

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
            ids.collect::<std::result::Result<Vec<_>, _>>()
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

    /// Looks for the owner of a row of the hook table that has changed; `None` where they are there, or need not be
    /// looked for, or that cannot be told now. The look at all hooks, every now and then, finds what is missed.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn look_for_owner(
        &mut self,
        client: &Client,
        row: &HookRow,
        change: &Change,
    ) -> Result<Option<Absent>> {
        let (Some(exists), Some(owner)) = (self.hooks.owner_exists.as_ref(), row.owner()) else {
            return Ok(None);
        };
        let before = self.hooks.index.get(&row.id);
        let was_heard =
            before.is_some_and(|before| before.active && before.owner.as_deref() == Some(owner));
        if was_heard || !row.active {
            return Ok(None);
        }
        let sql = owner_query(exists);
        for look in 1..=LOOKS {
            let found = client.query_one(&sql, &[&owner]).await;
            let found = match found
                .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            {
                Ok(found) => found,
                Err(error) => {
                    Refusal::of(error)?;
                    return Ok(None);
                }
            };
            let (is_there, snapshot, now): (bool, String, SystemTime) = found;
            if is_there {
                return Ok(None);
            }
            // The owner may have been made in the same transaction, which others see a little later.
            if snapshot.parse::<Snapshot>()?.sees(change.transaction.xid) {
                let ago = now.duration_since(change.transaction.commit_time);
                return Ok(Some(match ago.unwrap_or_default() < JUST_NOW {
                    true => Absent::Ever,
                    false => Absent::ByNow,
                }));
            }
            tokio::time::sleep(PAUSES.pause(look)).await;
        }
        Ok(None)
    }

    /// Disables a hook whose owner is not there. One that never had its owner hears nothing until then.
    pub(super) fn stop_orphan(&mut self, id: &HookId, absent: Absent) {
        let hook = self.hooks.index.get(id).cloned();
        let Some(hook) = hook.filter(|hook| hook.origin == Origin::Table && hook.active) else {
            return;
        };
        if let Absent::Ever = absent {
            self.drop_hook(id);
        }
        self.disable_orphan(hook);
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

/// Since when the owner of a hook is not there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Absent {
    /// They were not there when the hook's row changed, which was just now.
    Ever,
    /// That was some time ago. They may have been there, and then the hook hears until they were removed.
    ByNow,
}

/// The query whether the owner ($1) is there, with what it saw and when.
fn owner_query(exists: &OwnerExists) -> String {
    let (owners, column) = (quote::table(&exists.table), quote::name(&exists.column));
    let key = quote::text(&exists.column);
    // First by the type of the column, which an index serves, then by the letters, as the look at all hooks does.
    format!(
        "select \
            exists ( \
                select from {owners} as owner where owner.{column} = \
                    (select (jsonb_populate_record(null::{owners}, jsonb_build_object({key}, $1::text))).{column}) \
            ) \
            or exists (select from {owners} as owner where lower(owner.{column}::text) = lower($1::text)), \
            pg_current_snapshot()::text, clock_timestamp()"
    )
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
