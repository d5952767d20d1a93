//! The versions of a row that one transaction has written, one after the other.
//!
//! An update leaves out large values that it did not change, and reading them from the table gives those of the last
//! version. Whether they are those of the version that a change made follows from the changes that the transaction
//! makes after it.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::{
    change::{Change, RowChange},
    postgres::{
        pgoutput::ReplicaIdentity,
        relation::Relation,
        tuple::{Image, Old, Tuple, Value},
    },
};

/// What of a row may be read from the table, if the version there was written by the change's own transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reread {
    /// Nothing: the version there may be another one.
    Nothing,
    /// All but the columns in these places, which a later change of the transaction has set.
    AllBut(Vec<usize>),
}

/// The oid of a table, and what identifies a row of it.
type Key = (u32, Vec<Bytes>);

/// What a transaction does to a row after one of its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Later {
    /// It is deleted, or gets another key.
    Gone,
    /// Columns in these places are set.
    Set(Vec<usize>),
}

/// What may be read again of the row after each of these changes, which are all the rest of one transaction in its
/// order.
pub fn rereads(changes: &[&Change]) -> Vec<Reread> {
    let mut later: HashMap<Key, Later> = HashMap::new();
    // Tables of which a later change is of a row that cannot be told, and those with a later change of any kind.
    let mut unsure: HashSet<u32> = HashSet::new();
    let mut touched: HashSet<u32> = HashSet::new();
    let mut rereads: Vec<Reread> = Vec::with_capacity(changes.len());
    for change in changes.iter().rev() {
        let oid = change.relation.oid;
        let after = after(change);
        let is_followed = is_followed(&change.relation);
        rereads.push(match &after {
            Some(key) if is_followed && !unsure.contains(&oid) => match later.get(key) {
                None => Reread::AllBut(Vec::new()),
                Some(Later::Set(columns)) => Reread::AllBut(columns.clone()),
                Some(Later::Gone) => Reread::Nothing,
            },
            // Nothing can be said about keys, but nothing happened to the table either.
            Some(_) if is_heard(&change.relation) && !touched.contains(&oid) => {
                Reread::AllBut(Vec::new())
            }
            Some(_) | None => Reread::Nothing,
        });
        touched.insert(oid);
        match (&change.row, before(change), after) {
            (RowChange::Fired { .. }, _, _) => {}
            (RowChange::Update { new, .. }, Some(before), Some(after)) if before == after => {
                let set = later.remove(&after);
                let set = set.unwrap_or_else(|| Later::Set(Vec::new()));
                later.insert(after, set.with(&change.relation, new));
            }
            // A row that gets this key now had no predecessor with it, or one that was gone.
            (RowChange::Insert { .. }, _, Some(after)) => {
                later.insert(after, Later::Gone);
            }
            (RowChange::Update { .. }, Some(before), Some(after)) => {
                later.insert(before, Later::Gone);
                later.insert(after, Later::Gone);
            }
            (RowChange::Delete { .. }, Some(before), _) => {
                later.insert(before, Later::Gone);
            }
            _ => {
                unsure.insert(oid);
            }
        }
    }
    rereads.reverse();
    rereads
}

/// Takes large values that an update left out from the version before it, where the same transaction has written that
/// one. The changes are in the order of the stream.
pub fn carry(changes: &mut [&mut Change]) {
    let mut versions: HashMap<Key, usize> = HashMap::new();
    let mut transaction = None;
    for at in 0..changes.len() {
        let (earlier, rest) = changes.split_at_mut(at);
        let Some(change) = rest.first_mut() else {
            return;
        };
        let commit_lsn = change.transaction.commit_lsn;
        if transaction.replace(commit_lsn) != Some(commit_lsn) {
            versions.clear();
        }
        if matches!(change.row, RowChange::Fired { .. }) {
            continue;
        }
        let previous = before(change).and_then(|key| versions.remove(&key));
        let previous = previous.and_then(|at| earlier.get(at));
        if let (Some(previous), RowChange::Update { new, .. }) = (previous, &mut change.row)
            && std::sync::Arc::ptr_eq(&previous.relation, &change.relation)
            && let Some(known) = previous.after()
        {
            for ((value, known), column) in new.iter_mut().zip(known).zip(&change.relation.columns)
            {
                if *value == Value::Unchanged && !column.generated {
                    value.clone_from(known);
                }
            }
        }
        if let Some(key) = after(change) {
            versions.insert(key, at);
        }
    }
}

impl Later {
    /// The same, with an update before it that has set columns. A generated column may be set by any update.
    fn with(self, relation: &Relation, new: &Tuple) -> Self {
        let Self::Set(mut columns) = self else {
            return self;
        };
        for (at, (value, column)) in new.iter().zip(&relation.columns).enumerate() {
            let is_set = column.generated || *value != Value::Unchanged;
            if is_set && !columns.contains(&at) {
                columns.push(at);
            }
        }
        Self::Set(columns)
    }
}

/// Are all changes of a row of this table in the stream?
fn is_heard(relation: &Relation) -> bool {
    relation.identity != ReplicaIdentity::Nothing && !relation.key.is_empty()
}

/// Can each change of a row be told by the key that it is read by, too?
fn is_followed(relation: &Relation) -> bool {
    let same = |all: &[usize], other: &[usize]| all.iter().all(|at| other.contains(at));
    is_heard(relation)
        && same(&relation.key, &relation.primary_key)
        && same(&relation.primary_key, &relation.key)
}

/// The key of the row before the change.
fn before(change: &Change) -> Option<Key> {
    match &change.row {
        RowChange::Insert { .. } | RowChange::Fired { .. } | RowChange::Truncate => None,
        RowChange::Update {
            old: Old::SameKey,
            new,
        } => key(&change.relation, new),
        RowChange::Update { .. } | RowChange::Delete { .. } => {
            key(&change.relation, change.before().map(Image::tuple)?)
        }
    }
}

/// The key of the row after the change.
fn after(change: &Change) -> Option<Key> {
    key(&change.relation, change.after()?)
}

fn key(relation: &Relation, tuple: &Tuple) -> Option<Key> {
    let text = |at: &usize| match tuple.get(*at)? {
        Value::Text(text) => Some(text.clone()),
        Value::Null | Value::Unchanged => None,
    };
    let texts: Vec<Bytes> = relation.key.iter().map(text).collect::<Option<_>>()?;
    (!texts.is_empty()).then_some((relation.oid, texts))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use super::*;
    use crate::{
        change::Transaction,
        postgres::{Lsn, TableName, relation::Column, types::Type},
    };

    fn relation() -> Arc<Relation> {
        let column = |name: &str, generated| Column {
            name: name.into(),
            ty: Arc::new(Type::Text),
            type_oid: 25,
            sql_type: "text".into(),
            nullable: true,
            identity_key: name == "id",
            generated,
            toastable: true,
            foreign_key: false,
            unchecked: false,
            hidden: false,
        };
        Arc::new(Relation {
            oid: 1,
            schema: "public".into(),
            name: "page".into(),
            stored_as: TableName {
                schema: "public".into(),
                name: "page".into(),
            },
            numbers: Vec::new(),
            identity: ReplicaIdentity::Default,
            columns: vec![
                column("id", false),
                column("body", false),
                column("views", false),
                column("size", true),
            ],
            primary_key: vec![0],
            key_equals: Vec::new(),
            key: vec![0],
        })
    }

    /// A row; `-` is a value that was left out. The generated column always is.
    fn tuple(values: [&str; 3]) -> Tuple {
        let value = |text: &str| match text {
            "-" => Value::Unchanged,
            text => Value::Text(Bytes::copy_from_slice(text.as_bytes())),
        };
        let values = values.into_iter().map(value);
        values.chain([Value::Unchanged]).collect()
    }

    fn changes(rows: Vec<RowChange>) -> Vec<Change> {
        let relation = relation();
        let transaction = Arc::new(Transaction {
            commit_lsn: Lsn(1),
            commit_time: SystemTime::UNIX_EPOCH,
            xid: 7,
        });
        let change = |row| Change {
            relation: Arc::clone(&relation),
            row,
            transaction: Arc::clone(&transaction),
        };
        rows.into_iter().map(change).collect()
    }

    fn insert(values: [&str; 3]) -> RowChange {
        RowChange::Insert { new: tuple(values) }
    }

    fn update(values: [&str; 3]) -> RowChange {
        RowChange::Update {
            old: Old::SameKey,
            new: tuple(values),
        }
    }

    fn moved(from: &str, values: [&str; 3]) -> RowChange {
        RowChange::Update {
            old: Old::Key(tuple([from, "-", "-"])),
            new: tuple(values),
        }
    }

    fn delete(id: &str) -> RowChange {
        RowChange::Delete {
            old: Old::Key(tuple([id, "-", "-"])),
        }
    }

    #[test]
    fn a_row_is_read_again_only_for_what_no_later_change_has_set() {
        let all = || Reread::AllBut(vec![]);
        let but = |columns: &[usize]| Reread::AllBut(columns.to_vec());
        let nothing = || Reread::Nothing;
        let cases = [
            (vec![update(["1", "-", "1"])], vec![all()]),
            (
                vec![update(["1", "-", "1"]), update(["2", "-", "1"])],
                vec![all(), all()],
            ),
            (
                vec![update(["1", "-", "1"]), update(["1", "-", "2"])],
                vec![but(&[0, 2, 3]), all()],
            ),
            (
                vec![update(["1", "-", "1"]), update(["1", "new", "2"])],
                vec![but(&[0, 1, 2, 3]), all()],
            ),
            (
                vec![update(["1", "-", "1"]), delete("1")],
                vec![nothing(), nothing()],
            ),
            (
                vec![
                    update(["1", "-", "1"]),
                    delete("1"),
                    insert(["1", "again", "1"]),
                ],
                vec![nothing(), nothing(), all()],
            ),
            (
                vec![update(["1", "-", "1"]), moved("1", ["2", "-", "1"])],
                vec![nothing(), all()],
            ),
            // A truncation is not among the changes, but what follows it is.
            (
                vec![update(["1", "-", "1"]), insert(["1", "again", "1"])],
                vec![nothing(), all()],
            ),
            (
                vec![update(["1", "-", "1"]), moved("2", ["1", "-", "1"])],
                vec![nothing(), all()],
            ),
            // A row whose key was left out may be any row.
            (
                vec![update(["1", "-", "1"]), update(["-", "-", "1"])],
                vec![nothing(), nothing()],
            ),
        ];
        for (rows, expected) in cases {
            let named = format!("{rows:?}");
            let changes = changes(rows);
            let changes: Vec<&Change> = changes.iter().collect();
            assert_eq!(rereads(&changes), expected, "{named}");
        }
    }

    #[test]
    fn a_large_value_is_taken_from_the_version_before() {
        for (rows, expected) in [
            (
                vec![insert(["1", "a", "0"]), update(["1", "-", "1"])],
                vec!["a", "a"],
            ),
            (
                vec![
                    update(["1", "-", "0"]),
                    update(["1", "b", "1"]),
                    update(["1", "-", "2"]),
                ],
                vec!["-", "b", "b"],
            ),
            (
                vec![insert(["1", "a", "0"]), moved("1", ["2", "-", "0"])],
                vec!["a", "a"],
            ),
            (
                vec![insert(["1", "a", "0"]), update(["2", "-", "0"])],
                vec!["a", "-"],
            ),
        ] {
            let named = format!("{rows:?}");
            let mut changes = changes(rows);
            carry(&mut changes.iter_mut().collect::<Vec<_>>());
            let bodies = changes
                .iter()
                .map(|change| match &change.after().unwrap()[1] {
                    Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    _ => "-".to_owned(),
                });
            assert_eq!(bodies.collect::<Vec<_>>(), expected, "{named}");
        }
    }
}
