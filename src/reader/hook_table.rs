//! Changes of the hook table. A hook changes exactly where its row changes in the stream, between the events around it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use tokio::{task::yield_now, time::Instant};
use tokio_postgres::Client;
use tracing::Instrument;

use super::{
    Reader,
    hooks::{CheckedRow, Hooks, Unusable},
};
use crate::{
    backoff::Backoff,
    change::Change,
    config::HookColumns,
    hook::{
        Hook, HookId, Origin,
        off::Switch,
        row::{self, HookRow, Streamed},
    },
    lookup::{halves::Refusal, toast::until_visible},
    postgres::{Lsn, tuple::Image},
};

/// How long everybody waits for rows that cannot be read now, all of them together, and the pauses between two looks.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// How long a look at such rows takes at most, since everybody waits for it.
const A_LOOK: Duration = Duration::from_millis(250);

/// How many hooks that wait for a key are read one after the other when it comes.
const FEW_LOCKED: usize = 1000;

impl Reader {
    /// Applies a change of the hook table. A row that cannot be read stops its own hook, and nothing else.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn apply_hook_change(
        &mut self,
        change: &Change,
        client: &Client,
    ) -> Result<()> {
        let columns = self.hooks.columns.clone();
        let id_of = |tuple| row::id_from_stream(&columns, &change.relation, tuple);
        let old = change.before().map(Image::tuple);
        let old = old.and_then(|old| id_of(old).map_err(warn_nameless).ok());
        let at = change.transaction.commit_lsn;
        // Two rows have one id for a moment where ids change places. The other one keeps it.
        let old = old.filter(|id| !self.hooks.moved.is_of_another(id, change));
        if let Some(old) = &old {
            self.hooks.set_aside.rows.remove(old);
        }
        let new = change.after().and_then(|new| Some((id_of(new).ok()?, new)));
        self.hooks.moved.follow(old.as_ref(), new);
        if self.is_only_sealed(change) {
            return Ok(());
        }
        let Some(new) = change.after() else {
            if let Some(id) = old {
                self.note_act(change, &id, None);
                self.remove_hook(&id);
                self.hooks.off.turn(&id, Switch::On, at);
            }
            return Ok(());
        };
        let row = match HookRow::from_stream(&columns, &change.relation, new) {
            Ok(Streamed::Row(row)) => Some(*row),
            Ok(Streamed::Partial(id)) => {
                match self.load_again(client, &columns, &id, change).await? {
                    Ok(row) => row,
                    Err(refusal) => {
                        if refusal.is_for_now() {
                            self.hooks.set_aside.rows.insert(id.clone());
                        }
                        self.note_act(change, &id, None);
                        self.put_unreadable(id, &refusal);
                        return Ok(());
                    }
                }
            }
            Err(error) => {
                warn_nameless(error);
                return Ok(());
            }
        };
        if let Some(row) = &row {
            self.note_act(change, &row.id.clone(), Some(row));
        }
        if let Some(old) = old.filter(|old| row.as_ref().is_none_or(|row| row.id != *old)) {
            self.remove_hook(&old);
            self.hooks.off.turn(&old, Switch::On, at);
        }
        if let Some(row) = row {
            let absent = self.look_for_owner(client, &row, change).await?;
            let id = row.id.clone();
            self.put_row(row, at);
            // To compile a filter may have taken some time.
            yield_now().await;
            if let Some(absent) = absent {
                self.stop_orphan(&id, absent);
            }
        }
        Ok(())
    }

    /// Whether the change has sealed what is secret, and done nothing else.
    fn is_only_sealed(&self, change: &Change) -> bool {
        let Hooks { columns, known, .. } = &self.hooks;
        if !known.sealed.any() {
            return false;
        }
        let (Some(Image::Whole(old)), Some(new)) = (change.before(), change.after()) else {
            return false;
        };
        let row = |tuple| HookRow::from_stream(columns, &change.relation, tuple);
        let (Ok(Streamed::Row(old)), Ok(Streamed::Row(new))) = (row(old), row(new)) else {
            return false;
        };
        !new.has_plain(known.sealed)
            && old.is_sealed_as(&new, &known.secrets)
            // A hook that waits for a key may be opened by now.
            && !self.hooks.locked.rows.contains(&new.id)
    }

    fn put_row(&mut self, row: HookRow, at: Lsn) {
        self.hooks.set_aside.rows.remove(&row.id);
        let row = CheckedRow::unread(row, &self.hooks.known);
        let row = self.read_filter_of(row);
        if row.is_plain
            && let Some(sealing) = self.context.store.seal_soon(&row.id)
        {
            self.context.tasks.spawn(sealing);
        }
        match (row.active, self.hooks.off.switch(&row.id)) {
            (true, _) => {
                self.hooks.off.turn(&row.id, Switch::On, at);
                self.put_hook(row);
            }
            (false, Switch::Kept) => self.keep_hook(row),
            (false, Switch::On | Switch::Off) => {
                self.hooks.off.turn(&row.id, Switch::Off, at);
                self.drop_hook(&row.id);
                self.hooks.switched_off = Some(row);
            }
        }
    }

    /// rowhook itself has switched this hook off, and its row came just before: what it hears is kept for it.
    pub(super) fn keep_hearing(&mut self, id: &str, at: Lsn) {
        let row = self.hooks.switched_off.take();
        if let Some(row) = row.filter(|row| row.id.as_str() == id) {
            self.hooks.off.turn(&row.id, Switch::Kept, at);
            self.keep_hook(row);
        }
    }

    /// A hook that is switched off goes on hearing. One that cannot be used hears nothing, and says why when it is
    /// switched on.
    fn keep_hook(&mut self, row: CheckedRow) {
        self.drop_hook(&row.id);
        self.set_hook(&row.id, row.hook.ok());
    }

    /// Reads a row of the hook table, again and again for a while where the database cannot answer now: what comes next
    /// in the stream may be for the hook. When that has taken too long, no row is waited for until one can be read.
    async fn load_again(
        &mut self,
        client: &Client,
        columns: &HookColumns,
        id: &HookId,
        change: &Change,
    ) -> Result<Result<Option<HookRow>, Refusal>> {
        let is_spent = |until: Instant| Instant::now() >= until;
        if self.hooks.set_aside.until.is_some_and(is_spent) {
            return Ok(Err(Refusal::behind_others()));
        }
        // Otherwise the row would be read as it was before.
        if let Err(error) = until_visible(client, change.transaction.xid).await {
            Refusal::of_any(error.into())?;
        }
        for look in 1.. {
            let refusal = match row::load_one(client, columns, id).await {
                Ok(row) => {
                    self.hooks.set_aside.until = None;
                    return Ok(Ok(row));
                }
                Err(error) => Refusal::of_any(error)?,
            };
            if !refusal.is_for_now() {
                return Ok(Err(refusal));
            }
            let until = &mut self.hooks.set_aside.until;
            if is_spent(*until.get_or_insert_with(|| Instant::now() + PATIENCE)) {
                return Ok(Err(refusal));
            }
            tokio::time::sleep(PAUSES.pause(look)).await;
        }
        Ok(Ok(None))
    }

    /// Looks whether filters that are not compiled yet may be by now.
    pub fn read_unread(&mut self) {
        let begun = Instant::now();
        let unread: Vec<HookId> = self.hooks.unread.keys().cloned().collect();
        for id in unread {
            if let Some(hook) = self.hooks.index.get(&id).cloned() {
                self.read_filter(&hook);
            } else {
                self.hooks.unread.remove(&id);
            }
            if begun.elapsed() > A_LOOK {
                break;
            }
        }
    }

    /// Whether the keys have changed, and so many hooks wait for one that they are sooner read all together.
    pub fn can_open_many(&self) -> bool {
        let locked = &self.hooks.locked;
        locked.rows.len() > FEW_LOCKED && locked.tried_at != self.hooks.known.secrets.changes()
    }

    /// Looks whether the rows that could not be read can be by now. Their hooks go on from here, as they are now.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn read_set_aside(&mut self, client: &Client) -> Result<()> {
        let columns = self.hooks.columns.clone();
        let began = Instant::now();
        let changes = self.hooks.known.secrets.changes();
        if self.hooks.locked.tried_at != changes {
            self.hooks.locked.tried_at = changes;
            let locked = self.hooks.locked.rows.iter().cloned();
            self.hooks.set_aside.rows.extend(locked);
        }
        let rows: Vec<HookId> = self.hooks.set_aside.rows.iter().cloned().collect();
        for id in rows {
            let row = match row::load_one(client, &columns, &id).await {
                Ok(row) => row,
                Err(error) => match Refusal::of_any(error)? {
                    refusal if refusal.is_for_now() => break,
                    refusal => {
                        self.hooks.set_aside.rows.remove(&id);
                        self.put_unreadable(id, &refusal);
                        continue;
                    }
                },
            };
            self.hooks.set_aside.until = None;
            self.hooks.set_aside.rows.remove(&id);
            match row {
                // It may have been switched at any time before.
                Some(row) => self.put_row(row, Lsn::ZERO),
                None => self.remove_hook(&id),
            }
            if began.elapsed() > A_LOOK {
                break;
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
            locked,
            ..
        } = row;
        let invalid = match hook {
            Ok(hook) => {
                self.waiting.note(&id, self.hooks.index.get(&id));
                if hook.active {
                    self.couriers.update(&hook);
                }
                match &locked {
                    Some(reason) => {
                        tracing::warn!(hook = %id, reason, "a hook waits for its key; what it hears is kept");
                        self.couriers.deactivate(&id);
                        self.hooks.locked.rows.insert(id.clone());
                    }
                    None => {
                        self.hooks.locked.rows.remove(&id);
                    }
                }
                self.hooks.index.put(hook);
                locked
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
        self.mark(id, invalid, was_invalid);
    }

    /// Notes why a hook cannot be used, or that it can be. While that is not known, the row keeps what it has.
    pub(super) fn mark(
        &mut self,
        id: HookId,
        invalid: Option<String>,
        was_invalid: Option<String>,
    ) {
        let is_unread = |hook: &Arc<Hook>| hook.filter.as_ref().is_some_and(|of| !of.is_compiled());
        if invalid.is_none() && self.hooks.index.get(&id).is_some_and(is_unread) {
            self.hooks.unread.insert(id, was_invalid);
            return;
        }
        self.hooks.unread.remove(&id);
        if invalid != was_invalid || self.context.store.is_noted_invalid(&id) {
            let context = Arc::clone(&self.context);
            let marking = async move { context.store.mark_invalid(&id, invalid.as_deref()).await };
            self.context.tasks.spawn(marking.in_current_span());
        }
    }

    /// Drops a hook whose row cannot be read, and writes the reason to the row. When that is changed, it is read again.
    pub(super) fn put_unreadable(&mut self, id: HookId, refusal: &Refusal) {
        self.put_hook(CheckedRow {
            id,
            active: true,
            was_invalid: None,
            locked: None,
            is_plain: false,
            hook: Err(Unusable::Refused(format!(
                "its row cannot be read: {}",
                refusal.reason
            ))),
        });
    }

    /// Removes a hook whose row is gone. What is parked for it stays in the table.
    fn remove_hook(&mut self, id: &HookId) {
        self.drop_hook(id);
        self.hooks.unread.remove(id);
        if self.context.store.is_noted_invalid(id) {
            let (context, id) = (Arc::clone(&self.context), id.clone());
            let forgetting = async move { context.store.forget_invalid(&id).await };
            self.context.tasks.spawn(forgetting.in_current_span());
        }
    }

    /// Stops a hook. What is parked for it stays in the table.
    pub(super) fn drop_hook(&mut self, id: &HookId) {
        // A row may have the id of a hook of hooks.toml, which is none of its business.
        let hook = self.hooks.index.get(id);
        if hook.is_some_and(|hook| hook.origin == Origin::File) {
            return;
        }
        self.waiting.note(id, self.hooks.index.get(id));
        self.hooks.locked.rows.remove(id);
        self.hooks.index.remove(id);
        self.couriers.deactivate(id);
    }
}

/// Warns of a row without an id, which is no hook.
fn warn_nameless(error: anyhow::Error) {
    tracing::warn!(
        error = format!("{error:#}"),
        "a row of the hook table is left out; [hook_table] says which column is its id"
    );
}
