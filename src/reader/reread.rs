//! Reading from the tables what the stream left out of rows, where that is still the value as of the change.

use tokio_postgres::Client;

use super::step::ChangeDraft;
use crate::{
    change::Change,
    lookup::{
        toast::{self, Filled},
        versions::Reread,
    },
    postgres::tuple::Value,
};

/// Reads from the tables what may be read from there. Of what it returns, `done` is how many of the drafts, from the
/// first on, are finished.
///
/// # Errors
/// When the connection is lost.
pub(super) async fn read_again(
    client: &Client,
    drafts: &mut [&mut ChangeDraft],
) -> Result<Filled, tokio_postgres::Error> {
    let all = drafts.len();
    let mut places = Vec::new();
    let mut changes: Vec<&mut Change> = Vec::new();
    // For each change, the columns that are gaps and must stay gaps.
    let mut kept: Vec<Vec<usize>> = Vec::new();
    for (at, draft) in drafts.iter_mut().enumerate() {
        let Some(new) = draft.change.after() else {
            continue;
        };
        let Reread::AllBut(set_later) = &draft.reread else {
            continue;
        };
        let gaps = new.iter().enumerate();
        let gaps = gaps.filter(|(_, value)| **value == Value::Unchanged);
        let gaps: Vec<usize> = gaps.map(|(column, _)| column).collect();
        let (keep, readable): (Vec<usize>, Vec<usize>) = gaps
            .into_iter()
            .partition(|column| set_later.contains(column));
        if !readable.is_empty() {
            places.push(at);
            kept.push(keep);
            changes.push(&mut draft.change);
        }
    }
    let mut filled = toast::fill(client, &mut changes).await?;
    for (change, keep) in changes.into_iter().zip(kept) {
        let new = change.whole_images_mut().next();
        for (at, value) in new.into_iter().flatten().enumerate() {
            if keep.contains(&at) {
                *value = Value::Unchanged;
            }
        }
    }
    filled.done = places.get(filled.done).copied().unwrap_or(all);
    Ok(filled)
}
