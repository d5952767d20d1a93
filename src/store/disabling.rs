//! Switching a hook off, and saying so in the stream.

use std::time::SystemTime;

use crate::{
    act::{Act, Who, what},
    config::{HookColumns, HookTable, OnGone},
    hook::{Hook, Origin},
    message::Disabled,
    postgres::{quote, time::timestamp},
};

/// That a hook is disabled, and why.
pub struct Disabling<'a> {
    /// The hook.
    pub hook: &'a Hook,
    /// The reason, for a person.
    pub reason: &'a str,
    /// Whether the target itself has said that it wants nothing any more.
    pub gone: bool,
    /// Since when there has been no success.
    pub since: SystemTime,
    /// What the target answered last, in a few words.
    pub last_answer: &'a str,
    /// Whether what the hook hears is kept until it is enabled again.
    pub kept: bool,
}

impl Disabling<'_> {
    /// Whether the hook is not switched off but deleted, because its table has no place for that.
    pub(super) fn deletes(&self, table: Option<&HookTable>) -> bool {
        self.hook.origin == Origin::Table
            && table.is_some_and(|theirs| self.gone && !can_be_off(theirs))
    }

    /// What goes on record.
    pub(super) fn act(&self, is_deleted: bool) -> Act {
        let what = match is_deleted {
            true => what::HOOK_DELETED,
            false => what::HOOK_DISABLED,
        };
        Act::of(&Who::default(), what)
            .on_hook(self.hook.id.as_str(), self.hook.owner.as_deref())
            .with("active", false)
            .with("reason", self.reason)
            .with("last_answer", self.last_answer)
    }

    /// The event `hook.disabled`, as a message of the stream.
    pub(super) fn message(&self, table: Option<&HookTable>) -> String {
        Disabled {
            kept: self.kept && !self.deletes(table),
            owner: self.hook.owner.as_deref(),
            id: self.hook.id.as_str(),
            hook: serde_json::json!(self.hook.id),
            target: self.hook.target.display(),
            reason: self.reason,
            since: &timestamp(self.since),
            last_answer: Some(self.last_answer),
        }
        .to_json()
    }

    /// The statement that switches the hook ($1) off for a reason ($5), in `table` where the application has a table of
    /// its own; `None` where it cannot be switched off, because it is a hook of the file or its table has no column for
    /// that. A hook that only fails is never deleted.
    pub(super) fn switch_off(&self, table: Option<&HookTable>) -> Option<String> {
        match (self.hook.origin, table) {
            (Origin::File, _) => None,
            (Origin::Table, None) => Some(
                "update hook set active = false, disabled_at = clock_timestamp(), disabled_reason = $5 \
                 where id::text = $1 and active"
                    .to_owned(),
            ),
            (Origin::Table, Some(theirs)) => switch_off(theirs, self.gone),
        }
    }
}

/// Whether a hook whose target is gone stays in its table.
fn can_be_off(theirs: &HookTable) -> bool {
    theirs.columns.active.is_some() && theirs.on_gone == OnGone::Disable
}

fn switch_off(theirs: &HookTable, gone: bool) -> Option<String> {
    let HookColumns {
        table, id, active, ..
    } = &theirs.columns;
    let (table, id) = (quote::table(table), quote::name(id));
    match active {
        Some(active) if !gone || can_be_off(theirs) => {
            let active = quote::name(active);
            Some(format!(
                "update {table} set {active} = false where {id}::text = $1 and {active} and $5::text is not null"
            ))
        }
        _ if gone => Some(format!(
            "delete from {table} where {id}::text = $1 and $5::text is not null"
        )),
        _ => None,
    }
}
