//! Changes of hooks in SQL, as they go on record.
//!
//! The stream brings all changes of the hook table. A transaction of rowhook's own says in a message that what it does
//! is on record already; only the others are recorded here, when they are committed. Nothing waits for that. The stream
//! is not confirmed before, and a change that is read again is not recorded again.

use bytes::Bytes;

use super::{Reader, acts::sql};
use crate::{
    act::what,
    change::{Change, RowChange, Transaction},
    hook::{
        HookId,
        difference::Difference,
        row::{self, HookRow, Streamed},
    },
    message::Envelope,
    postgres::tuple::{Image, Tuple},
};

impl Reader {
    /// Notes that the transaction that is being read has put what it does on record, if rowhook's functions have
    /// written that.
    pub(super) fn hear_audited(&mut self, envelope: Option<Envelope<'_>>, content: &Bytes) {
        let (Some(envelope), Some(open)) = (envelope, &self.session.transaction) else {
            return;
        };
        let key = self.message_key.as_ref();
        // Whoever forges it would only hide a change; it is on record then as every other.
        let is_ours = key.is_some_and(|key| key.open(envelope, content).1.is_none());
        if is_ours {
            self.acts.are_on_record(open.transaction.commit_lsn);
        }
    }

    /// Notes a change of a hook. `new` is the new row, as far as it can be read.
    pub(super) fn note_act(&mut self, change: &Change, id: &HookId, new: Option<&HookRow>) {
        if self.acts.only_counts() {
            return;
        }
        let columns = &self.hooks.columns;
        let keys = &self.hooks.known.secrets;
        let read = |tuple: &Tuple| match HookRow::from_stream(columns, &change.relation, tuple) {
            Ok(Streamed::Row(row)) => Some(*row),
            Ok(Streamed::Partial(_)) | Err(_) => None,
        };
        let before = match change.before() {
            Some(Image::Whole(old)) => read(old),
            Some(Image::Key(_)) | None => None,
        };
        let was = change.before().map(Image::tuple);
        let was = was.and_then(|old| row::id_from_stream(columns, &change.relation, old).ok());
        let known = self.hooks.index.get(id);
        let (act, difference) = match (&change.row, &before, new) {
            (RowChange::Insert { .. }, _, new) => (
                sql(what::HOOK_CREATED),
                Difference::between(None, new, keys),
            ),
            (RowChange::Delete { .. }, before, _) => (
                sql(what::HOOK_DELETED),
                Difference::between(before.as_ref(), None, keys),
            ),
            (_, Some(before), Some(new)) => {
                let difference = Difference::between(Some(before), Some(new), keys);
                let what = match difference.switched() {
                    Some(true) => what::HOOK_ENABLED,
                    Some(false) => what::HOOK_DISABLED,
                    None if difference.is_rotation() => what::HOOK_ROTATED,
                    None => what::HOOK_CHANGED,
                };
                (sql(what), difference)
            }
            (_, None, Some(new)) => {
                let difference = match known {
                    Some(known) => Difference::from_known(known, new),
                    None => Difference::between(None, Some(new), keys),
                };
                (sql(what::HOOK_CHANGED), difference)
            }
            (_, _, None) => (sql(what::HOOK_CHANGED), Difference::default()),
        };
        let is_change = matches!(change.row, RowChange::Update { .. });
        let is_same_hook = was.as_ref().is_none_or(|was| was == id);
        if is_change && new.is_some() && difference.is_none() && is_same_hook {
            return;
        }
        let owner = new.or(before.as_ref()).and_then(HookRow::owner);
        let owner = owner.or_else(|| known.and_then(|known| known.owner.as_deref()));
        let mut act = act.on_hook(id.as_str(), owner);
        (act.before, act.after) = (difference.before, difference.after);
        if let Some(was) = was.filter(|was| was != id) {
            act.before.insert("id".to_owned(), was.as_str().into());
        }
        self.acts.push(act, &change.transaction);
    }

    /// Notes that the hook table was emptied at once.
    pub(super) fn note_truncation(&mut self, transaction: &Transaction) {
        let act = sql(what::HOOK_DELETED).with("hooks", "all");
        self.acts.push(act, transaction);
    }

    /// Has what the transaction that ends has done to hooks put on record.
    pub(super) fn record_acts(&mut self) {
        let acts = self.acts.end();
        if acts.is_empty() {
            return;
        }
        let ticket = self.ledger.ticket_of_event(0);
        if let Some(recording) = self.context.store.record_soon(acts, ticket) {
            self.context.tasks.spawn(recording);
        }
    }
}
