//! Loads the hooks of the hook table as they are now, which is the first half of knowing them as they were at the
//! position of the slot. The second is to undo what the stream says of the time since ([`past`](super::past)).

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio_postgres::Client;

use super::{Reader, hooks::CheckedRow, past::Past};
use crate::{
    hook::{
        off::Switch,
        row::{self, HookRow},
    },
    message::LOADED,
    postgres::{Lsn, fault::Fault, snapshot::Snapshot},
    store::NotedHooks,
};

impl Reader {
    /// Loads the hooks as they are now. What has changed since the position of the slot is still to be undone, with
    /// what this returns.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn load_hooks(&mut self, client: &Client, slot: &str) -> Result<Past> {
        let known = Arc::make_mut(&mut self.hooks.known);
        known.learn_all(client, &self.events).await?;
        self.context.store.load_invalid().await?;
        self.learn_hook_table(client).await?;
        let noted = self.context.store.noted_hooks(slot).await?;
        // A new slot has all changes of the table that is published with it.
        let is_heard = noted
            .as_ref()
            .is_none_or(|noted| noted.table.is_some() && noted.table == self.hooks.oid);
        let is_noted = noted
            .as_ref()
            .is_some_and(|noted| noted.table.is_none() || is_heard);
        let is_own = self.hooks.columns.is_own;
        let off = noted.map_or_else(Vec::new, |NotedHooks { off, .. }| off);
        if !off.is_empty() && !is_noted {
            self.context.store.forget_off_hooks().await?;
        }
        let off = off
            .into_iter()
            .filter(|(_, switch)| is_noted && (!is_own || *switch == Switch::Kept));
        self.hooks.off.begin(off, !is_own);
        let (past, read_at) = self.load_rows(client, is_heard).await?;
        let from = if is_heard { Lsn::ZERO } else { read_at };
        self.hooks.off.are_in(self.hooks.oid, from);
        Ok(past)
    }

    /// Loads all rows as one snapshot sees them, and writes a message of its own after them into the stream. Returns
    /// where the WAL ended.
    async fn load_rows(&mut self, client: &Client, is_heard: bool) -> Result<(Past, Lsn)> {
        let loaded = match self.load_together(client, is_heard).await {
            Err(error) if Fault::of_any(&error) == Fault::Row => {
                client
                    .batch_execute("rollback")
                    .await
                    .context("begin again")?;
                self.load_one_by_one(client, is_heard).await?
            }
            loaded => loaded?,
        };
        client
            .batch_execute("commit")
            .await
            .context("mark where the hook table was read")?;
        Ok(loaded)
    }

    async fn load_together(&mut self, client: &Client, is_heard: bool) -> Result<(Past, Lsn)> {
        self.drop_all_hooks();
        let begun = begin(client).await?;
        let known = Arc::clone(&self.hooks.known);
        let check = move |row| CheckedRow::loaded(dated(row, is_heard), &known);
        let columns = self.hooks.columns.clone();
        row::load_all(client, &columns, check, |row| self.put_loaded(row)).await?;
        marked(client, begun).await
    }

    async fn load_one_by_one(&mut self, client: &Client, is_heard: bool) -> Result<(Past, Lsn)> {
        self.drop_all_hooks();
        let begun = begin(client).await?;
        let known = Arc::clone(&self.hooks.known);
        let columns = self.hooks.columns.clone();
        let each = row::load_each(client, &columns, |row| match row {
            Ok(row) => self.put_loaded(CheckedRow::loaded(dated(row, is_heard), &known)),
            Err((Some(id), refusal)) => self.put_unreadable(id, &refusal),
            Err((None, refusal)) => tracing::warn!(
                reason = refusal.reason,
                "a row of the hook table is left out: not even its id can be read"
            ),
        });
        each.await?;
        marked(client, begun).await
    }

    /// Takes a hook into account. One that is off is known too, until it is clear whether it was off then.
    fn put_loaded(&mut self, row: CheckedRow) {
        match row.hook {
            Ok(hook) if !row.active => self.hooks.index.put(hook),
            Err(_) if !row.active => {}
            _ => self.put_hook(row),
        }
    }
}

/// Whether the row may have come into the table before the stream had its changes; then the time counts that it was
/// made at.
fn dated(row: HookRow, is_heard: bool) -> HookRow {
    if is_heard { row.undated() } else { row }
}

/// Begins a transaction that sees one moment. Returns its snapshot, and where the WAL ended.
async fn begin(client: &Client) -> Result<(Snapshot, Lsn)> {
    let sql = "begin isolation level repeatable read read write";
    let begun = async {
        client.batch_execute(sql).await?;
        let sql = "select pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text";
        let row = client.query_one(sql, &[]).await?;
        Ok::<(String, String), tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?))
    };
    let (snapshot, end) = begun.await.context("begin to read the hook table")?;
    Ok((snapshot.parse()?, end.parse()?))
}

/// Writes a message into the stream. Every transaction that the snapshot sees stands before it.
async fn marked(client: &Client, (snapshot, end): (Snapshot, Lsn)) -> Result<(Past, Lsn)> {
    let mark = format!("{:032x}", rand::random::<u128>());
    let sql = "select pg_logical_emit_message(true, $1, $2::text)";
    let marked = client.query_one(sql, &[&LOADED, &mark]).await;
    marked.context("mark where the hook table was read")?;
    Ok((Past::new(snapshot, mark), end))
}
