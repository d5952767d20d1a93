//! What the stream left out of rows: large values that an update did not change, and generated columns.
//!
//! Each version of a row is told with its own values. They are taken from the versions before it, computed, or read
//! from the table; the last only where no later version can stand there. Whether that is so shows when the transaction
//! has come to its end, and a change that needs it waits for that.

use anyhow::Result;

use super::{
    Reader,
    step::{ChangeDraft, Step},
};
use crate::{
    change::Change,
    lookup::{generated, toast, versions},
};

/// The most bytes of rows that wait for the end of their transaction. When there are more, what they lack is unknown.
const MOST_HELD: usize = 8 << 20;
/// What a change takes at least.
const CHANGE_BYTES: usize = 128;

impl Reader {
    /// Completes rows from what the stream carries, and computes generated columns. Decides what of the others may be
    /// read from the table. Returns how many of the steps, from the first on, are decided; the others need the rest of
    /// their transaction.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(super) async fn complete_rows(&mut self, steps: &mut [Step]) -> Result<usize> {
        let all = steps.len();
        let mut drafts: Vec<(usize, &mut Box<ChangeDraft>)> = rows(steps).collect();
        if !drafts.iter().any(|(_, draft)| {
            toast::has_gap(&draft.change) || generated::lacks_generated(&draft.change)
        }) {
            return Ok(all);
        }
        let mut changes: Vec<&mut Change> = drafts
            .iter_mut()
            .map(|(_, draft)| &mut draft.change)
            .collect();
        versions::carry(&mut changes, &self.session.written);
        let has_hooks = drafts.iter().any(|(_, draft)| draft.table.holds_hooks);
        let wanted: Vec<bool> = drafts
            .iter()
            .map(|(_, draft)| self.is_wanted(draft, has_hooks))
            .collect();
        let mut changes: Vec<&mut Change> = drafts
            .iter_mut()
            .zip(&wanted)
            .filter(|(_, wanted)| **wanted)
            .map(|((_, draft), _)| &mut draft.change)
            .collect();
        generated::fill(&mut self.computing, &mut changes).await?;
        for (_, draft) in &mut drafts {
            draft.choose_rules_again();
        }
        let lacks = |draft: &ChangeDraft, wanted: bool| wanted && toast::has_gap(&draft.change);
        let open = self
            .session
            .transaction
            .as_ref()
            .map(|open| open.transaction.commit_lsn);
        let mut ready = all;
        let mut wanted = &wanted[..];
        for drafts in drafts.chunk_by_mut(|(_, one), (_, next)| {
            one.change.transaction.commit_lsn == next.change.transaction.commit_lsn
        }) {
            let (these, others) = wanted.split_at(drafts.len());
            wanted = others;
            let first = drafts
                .iter()
                .zip(these)
                .position(|((_, draft), wanted)| lacks(draft, *wanted));
            let Some(first) = first else {
                continue;
            };
            let is_open = drafts
                .first()
                .map(|(_, draft)| draft.change.transaction.commit_lsn)
                == open;
            let bytes =
                |(_, draft): &(usize, &mut Box<ChangeDraft>)| CHANGE_BYTES + draft.change.bytes();
            if is_open {
                let held: usize = drafts.iter().skip(first).map(bytes).sum();
                if held <= MOST_HELD {
                    ready = drafts.get(first).map_or(all, |(at, _)| *at);
                }
                continue;
            }
            let changes: Vec<&Change> = drafts.iter().map(|(_, draft)| &draft.change).collect();
            let rereads = versions::rereads(&changes);
            for ((_, draft), reread) in drafts.iter_mut().zip(rereads) {
                draft.reread = reread;
            }
        }
        Ok(ready)
    }

    /// Does a hook listen to an event that the change may be? A hook that the batch itself adds may listen to any of
    /// the changes after it.
    pub(super) fn is_wanted(&self, draft: &ChangeDraft, batch_has_hooks: bool) -> bool {
        let has_listener = || {
            draft
                .rules()
                .any(|(_, rule)| self.hooks.index.has_hooks_for(&rule.name))
        };
        !draft.rules.is_empty() && (batch_has_hooks || has_listener())
    }
}

impl ChangeDraft {
    /// Drops the rules on columns that turned out unchanged when they were computed. Without the whole old row nothing
    /// turns out.
    fn choose_rules_again(&mut self) {
        if self.change.changed_columns().is_none() {
            return;
        }
        let Some(events) = &self.table.events else {
            return;
        };
        let rules = events.rules(&self.change.row);
        let change = &self.change;
        self.rules
            .retain(|number| rules.get(*number).is_some_and(|rule| rule.touches(change)));
    }
}

/// The changes among the steps, each with its place.
fn rows(steps: &mut [Step]) -> impl Iterator<Item = (usize, &mut Box<ChangeDraft>)> {
    let steps = steps.iter_mut().enumerate();
    steps.filter_map(|(at, step)| match step {
        Step::Row(draft) => Some((at, draft)),
        Step::Begin(_) | Step::Truncate(_) | Step::Message(_) | Step::Commit(_) | Step::Idle(_) => {
            None
        }
    })
}
