//! Rows that move between the partitions of a table. The stream has a deletion and an insertion; both become one update
//! at the place of the insertion.
//!
//! Whether they are one is not for certain: see [`Partitions`]. The numbers of
//! events do not depend on it, so that they are the same when the WAL is read again.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, Result};
use tokio_postgres::Client;

use super::{
    Reader,
    interpret::draft,
    session::Table,
    step::{ChangeDraft, Step},
};
use crate::{change::RowChange, lookup::partitions::Partitions, postgres::tuple::Tuple};

/// How many changes of other tables may stand between a deletion and an insertion, where triggers can make some.
const BETWEEN: usize = 64;

/// What follows on the deletion of a row.
enum Following {
    /// An insertion into the same table, so many steps further on.
    Insertion(usize),
    /// Something else.
    Other,
    /// It is not known yet.
    ToCome,
}

impl Reader {
    /// Makes an update of each deletion and insertion of a row that has moved between partitions. Returns how many of
    /// the steps, from the first on, are decided; the others need what comes next in the stream.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn join_moves(&self, steps: &mut Vec<Step>, client: &Client) -> Result<usize> {
        let mut undecided = None;
        let mut pairs: HashMap<u32, Vec<(usize, usize)>> = HashMap::new();
        for at in 0..steps.len() {
            let Some((deleted, partitions)) = steps.get(at).and_then(undecided_deletion) else {
                continue;
            };
            let rest = steps.get(at + 1..).unwrap_or_default();
            match following(deleted, partitions, rest) {
                Following::Insertion(further) => {
                    let pairs = pairs.entry(deleted.change.relation.oid).or_default();
                    pairs.push((at, at + 1 + further));
                }
                Following::Other => {}
                Following::ToCome => {
                    undecided = undecided.or(Some(at));
                    continue;
                }
            }
            if let Some(Step::Row(draft)) = steps.get_mut(at) {
                draft.may_move = false;
            }
        }
        let mut gone: Vec<usize> = Vec::new();
        for pairs in pairs.into_values() {
            for (from, to) in moved(steps, pairs, client).await? {
                join(steps, from, to);
                gone.push(from);
            }
        }
        let ready = undecided.unwrap_or(steps.len());
        gone.sort_unstable();
        let ready = ready - gone.iter().filter(|at| **at < ready).count();
        let mut at = 0;
        steps.retain(|_| {
            at += 1;
            gone.binary_search(&(at - 1)).is_err()
        });
        Ok(ready)
    }
}

/// The deletion from a partitioned table that this step is, unless it is known what became of the row.
fn undecided_deletion(step: &Step) -> Option<(&ChangeDraft, &Arc<Partitions>)> {
    let Step::Row(draft) = step else {
        return None;
    };
    let partitions = draft.table.partitions.as_ref()?;
    draft.may_move.then_some((&**draft, partitions))
}

/// What follows on a deletion in these steps.
fn following(deleted: &ChangeDraft, partitions: &Partitions, rest: &[Step]) -> Following {
    let mut between = 0;
    for (at, step) in rest.iter().enumerate() {
        match step {
            Step::Row(next) if next.change.relation.oid == deleted.change.relation.oid => {
                return match (&deleted.change.row, &next.change.row) {
                    (RowChange::Delete { old }, RowChange::Insert { new })
                        if deleted
                            .change
                            .relation
                            .has_same_columns(&next.change.relation)
                            && next.only.is_none()
                            && partitions.may_be_one(old, new) =>
                    {
                        Following::Insertion(at)
                    }
                    _ => Following::Other,
                };
            }
            Step::Row(_) | Step::Message(_) if partitions.has_triggers && between < BETWEEN => {
                between += 1;
            }
            Step::Idle(_) => {}
            Step::Row(_)
            | Step::Message(_)
            | Step::Truncate(_)
            | Step::Begin(_)
            | Step::Commit(_) => {
                return Following::Other;
            }
        }
    }
    Following::ToCome
}

/// Those of these deletions and insertions of one table that are moves: the partition is another one.
async fn moved(
    steps: &[Step],
    pairs: Vec<(usize, usize)>,
    client: &Client,
) -> Result<Vec<(usize, usize)>> {
    let images = |(from, to): &(usize, usize)| -> Option<(&Tuple, &Tuple)> {
        let (Step::Row(from), Step::Row(to)) = (steps.get(*from)?, steps.get(*to)?) else {
            return None;
        };
        Some((from.change.before()?.tuple(), to.change.after()?))
    };
    let rows: Vec<(&Tuple, &Tuple)> = pairs.iter().filter_map(images).collect();
    let table = pairs.first().and_then(|(from, _)| match steps.get(*from)? {
        Step::Row(draft) => draft.table.partitions.as_ref(),
        _ => None,
    });
    let Some(partitions) = table else {
        return Ok(Vec::new());
    };
    let stayed = partitions.stayed(client, &rows).await;
    let stayed = stayed.context("find the partitions of rows")?;
    let pairs = pairs.into_iter().enumerate();
    Ok(pairs
        .filter(|(at, _)| !stayed.contains(at))
        .map(|(_, pair)| pair)
        .collect())
}

/// Puts an update in the place of the insertion at `to`, with the row before it from the deletion at `from`.
fn join(steps: &mut [Step], from: usize, to: usize) {
    let old = match steps.get(from) {
        Some(Step::Row(draft)) => match &draft.change.row {
            RowChange::Delete { old } => Some(old.clone()),
            _ => None,
        },
        _ => None,
    };
    let (Some(old), Some(Step::Row(inserted))) = (old, steps.get_mut(to)) else {
        return;
    };
    let RowChange::Insert { new } = &inserted.change.row else {
        return;
    };
    let row = RowChange::Update {
        old,
        new: new.clone(),
    };
    let table: Arc<Table> = Arc::clone(&inserted.table);
    let first_event = inserted.next_event();
    let transaction = Arc::clone(&inserted.change.transaction);
    **inserted = draft(table, row, transaction, first_event);
}
