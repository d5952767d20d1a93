//! What becomes of each row in the end: a transaction may change a row several times, and endpoints are asked about
//! what would be committed.

use std::collections::HashMap;

use super::question::{ChangedRow, Op};

/// What a transaction does to the rows of its tables, in the order in which it first touched each. `key` finds what
/// identifies a row, from its text; `None`: its whole text.
pub(super) fn outcome(
    rows: Vec<ChangedRow>,
    key: impl Fn(u32, &str) -> Option<Vec<u8>>,
) -> Vec<ChangedRow> {
    let key = |relation, text: &str| {
        let bytes = key(relation, text).unwrap_or_else(|| text.as_bytes().to_vec());
        (relation, bytes)
    };
    let mut changes: Vec<Option<ChangedRow>> = Vec::new();
    // Where the change of each row stands that can change again.
    let mut known: HashMap<(u32, Vec<u8>), usize> = HashMap::new();
    for row in rows {
        let old = row.old.as_deref().map(|old| key(row.relation, old));
        let earlier = old.and_then(|old| known.remove(&old));
        let new = row.new.as_deref().map(|new| key(row.relation, new));
        let at = match earlier {
            Some(at) => {
                if let Some(change) = changes.get_mut(at) {
                    *change = change.take().and_then(|earlier| joined(earlier, row));
                }
                at
            }
            None => {
                changes.push(Some(row));
                changes.len() - 1
            }
        };
        if let Some(new) = new {
            known.insert(new, at);
        }
    }
    changes.into_iter().flatten().collect()
}

/// Two changes of one row as one; `None`: the row was never there for others.
fn joined(earlier: ChangedRow, later: ChangedRow) -> Option<ChangedRow> {
    let op = match (earlier.op, later.op) {
        (Op::Insert, Op::Delete) => return None,
        (Op::Insert, _) => Op::Insert,
        (_, Op::Delete) => Op::Delete,
        (_, _) => Op::Update,
    };
    Some(ChangedRow {
        relation: earlier.relation,
        op,
        old: earlier.old,
        new: later.new,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `1a` as an insertion, `1a>1b` as an update and `1b>` as a deletion. The first character is the key.
    fn row(text: &str) -> ChangedRow {
        let (old, new) = text.split_once('>').unwrap_or(("", text));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (old, new) = (some(old), some(new));
        let op = match (&old, &new) {
            (None, _) => Op::Insert,
            (_, None) => Op::Delete,
            _ => Op::Update,
        };
        ChangedRow {
            relation: 1,
            op,
            old,
            new,
        }
    }

    #[test]
    fn each_row_is_told_once_as_it_is_in_the_end() {
        for (changes, expected) in [
            ("", ""),
            ("1a", "1a"),
            ("1a 1a>1b", "1b"),
            ("1a 1a>", ""),
            ("1a 1a>1b 1b>", ""),
            ("1a>1b 1b>1c", "1a>1c"),
            ("1a>1b 1b>", "1a>"),
            // Another row takes the key of one that is gone.
            ("1a> 1b", "1a> 1b"),
            ("1a> 1b 1b>", "1a>"),
            // The key changes.
            ("1a>2a 2a>3b", "1a>3b"),
            ("1a>3a 2a>1a 3a>2a", "1a>2a 2a>1a"),
            ("1a 2a 2a>2b 1a>1b", "1b 2b"),
        ] {
            let rows = changes.split_whitespace().map(row).collect();
            let expected: Vec<ChangedRow> = expected.split_whitespace().map(row).collect();
            let found = outcome(rows, |_, text| Some(vec![text.as_bytes()[0]]));
            assert_eq!(found, expected, "{changes}");
        }
    }

    #[test]
    fn without_a_key_the_whole_row_is_one() {
        let rows = ["1a>1b", "1b>1c"].map(row).into();
        assert_eq!(outcome(rows, |_, _| None), [row("1a>1c")]);
    }
}
