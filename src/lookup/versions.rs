//! The versions of a row that one transaction has written, one after the other.
//!
//! An update leaves out large values that it did not change, and reading them from the table gives those of the last
//! version. Whether they are those of the version that a change made follows from the changes that the transaction
//! makes after it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    change::{Change, RowChange},
    postgres::{
        Lsn,
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
#[derive(Debug, Clone)]
enum Later {
    /// It is deleted, or gets another key. Or it cannot be told what is set, because the table is altered before that.
    Gone,
    /// Columns in these places of this relation are set.
    Set(Arc<Relation>, Vec<usize>),
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
                Some(Later::Set(relation, columns))
                    if relation.has_same_columns(&change.relation) =>
                {
                    Reread::AllBut(columns.clone())
                }
                Some(Later::Set(..) | Later::Gone) => Reread::Nothing,
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
                let relation = Arc::clone(&change.relation);
                let set = set.unwrap_or(Later::Set(relation, Vec::new()));
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

/// The most bytes of rows that are kept of a transaction which goes on in the next batch.
const MOST_KEPT: usize = 8 << 20;
/// Smaller rows have no value that can be left out: Postgres stores nothing outside of a row that is smaller.
const SMALLEST: usize = 128;

/// The last versions of rows that a transaction has written in earlier batches, as far as there is room for them.
#[derive(Debug, Default)]
pub struct Written {
    /// The commit LSN of the transaction.
    transaction: Option<Lsn>,
    versions: HashMap<Key, (Arc<Relation>, Tuple)>,
    bytes: usize,
}

impl Written {
    /// Takes down changes that are done with, in the order of the stream, as far as they are of the `open` transaction.
    /// What is kept of any other is dropped.
    pub fn take_down<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Change>,
        open: Option<Lsn>,
    ) {
        if self.transaction != open {
            *self = Self {
                transaction: open,
                ..Self::default()
            };
        }
        let Some(open) = open else {
            return;
        };
        let is_open = |change: &&Change| change.transaction.commit_lsn == open;
        for change in changes.into_iter().filter(is_open) {
            if matches!(change.row, RowChange::Fired { .. }) {
                continue;
            }
            let bytes = change.after().map_or(0, size);
            let is_large = bytes >= SMALLEST
                && change
                    .relation
                    .columns
                    .iter()
                    .any(|column| column.toastable);
            // Nearly all rows are small.
            if !is_large && self.versions.is_empty() {
                continue;
            }
            before(change).inspect(|key| self.drop_version(key));
            let Some((key, tuple)) = after(change).zip(change.after()) else {
                continue;
            };
            // An earlier version is none any more, whether there is room for this one or not.
            self.drop_version(&key);
            if is_large && self.bytes + bytes <= MOST_KEPT {
                self.bytes += bytes;
                let version = (Arc::clone(&change.relation), tuple.clone());
                self.versions.insert(key, version);
            }
        }
    }

    fn drop_version(&mut self, key: &Key) {
        if let Some((_, tuple)) = self.versions.remove(key) {
            self.bytes -= size(&tuple);
        }
    }
}

fn size(tuple: &Tuple) -> usize {
    let texts = tuple.iter().map(|value| match value {
        Value::Text(text) => text.len(),
        Value::Null | Value::Unchanged => 0,
    });
    texts.sum()
}

/// Takes large values that an update left out from the version before it, where the same transaction has written that
/// one: among these changes, which are in the order of the stream, or in what it has `written` before them.
pub fn carry(changes: &mut [&mut Change], written: &Written) {
    // `None`: the row has another key since, or is gone.
    let mut versions: HashMap<Key, Option<usize>> = HashMap::new();
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
        let previous = before(change).and_then(|key| match versions.insert(key.clone(), None) {
            Some(at) => {
                let previous = earlier.get(at?)?;
                Some((&previous.relation, previous.after()?))
            }
            None if written.transaction == Some(commit_lsn) => {
                let (relation, tuple) = written.versions.get(&key)?;
                Some((relation, tuple))
            }
            None => None,
        });
        if let (Some((relation, known)), RowChange::Update { new, .. }) =
            (previous, &mut change.row)
            && Arc::ptr_eq(relation, &change.relation)
        {
            for ((value, known), column) in new.iter_mut().zip(known).zip(&change.relation.columns)
            {
                if *value == Value::Unchanged && !column.generated {
                    value.clone_from(known);
                }
            }
        }
        if let Some(key) = after(change) {
            versions.insert(key, Some(at));
        }
    }
}

impl Later {
    /// The same, with an update before it that has set columns. A generated column may be set by any update.
    fn with(self, relation: &Relation, new: &Tuple) -> Self {
        let Self::Set(known, mut columns) = self else {
            return self;
        };
        if !known.has_same_columns(relation) {
            return Self::Gone;
        }
        for (at, (value, column)) in new.iter().zip(&relation.columns).enumerate() {
            let is_set = column.generated || *value != Value::Unchanged;
            if is_set && !columns.contains(&at) {
                columns.push(at);
            }
        }
        Self::Set(known, columns)
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
    use std::time::SystemTime;

    use super::*;
    use crate::{
        change::Transaction,
        postgres::{TableName, relation::Column, types::Type},
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
    fn places_in_a_table_that_is_altered_between_two_changes_are_not_taken_for_each_other() {
        let mut changes = changes(vec![
            update(["1", "-", "1"]),
            update(["1", "-", "2"]),
            update(["1", "new", "3"]),
        ]);
        // The columns before the generated one are fewer from the last change on.
        let mut altered = Relation::clone(&changes[2].relation);
        altered.columns.remove(2);
        changes[2].relation = Arc::new(altered);
        changes[2].row = RowChange::Update {
            old: Old::SameKey,
            new: tuple(["1", "new", "-"]).into_iter().take(3).collect(),
        };
        assert_eq!(
            rereads(&changes.iter().collect::<Vec<_>>()),
            [Reread::Nothing, Reread::Nothing, Reread::AllBut(vec![])]
        );
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
            carry(
                &mut changes.iter_mut().collect::<Vec<_>>(),
                &Written::default(),
            );
            let bodies = changes
                .iter()
                .map(|change| match &change.after().unwrap()[1] {
                    Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    _ => "-".to_owned(),
                });
            assert_eq!(bodies.collect::<Vec<_>>(), expected, "{named}");
        }
    }

    #[test]
    fn a_large_value_is_taken_from_the_version_of_an_earlier_batch_of_the_transaction() {
        let large = "a".repeat(200);
        let body = |change: &Change| change.after().and_then(|row| row.get(1)).cloned();
        let text = || Some(Value::Text(Bytes::from(large.clone())));
        for (first, then, expected) in [
            (
                vec![insert(["1", &large, "0"])],
                update(["1", "-", "1"]),
                text(),
            ),
            (
                vec![insert(["1", &large, "0"]), update(["1", "b", "0"])],
                update(["1", "-", "1"]),
                // The newest version is too small to be kept, and the one before it is not the newest.
                Some(Value::Unchanged),
            ),
            (
                vec![insert(["1", &large, "0"]), delete("1")],
                update(["1", "-", "1"]),
                Some(Value::Unchanged),
            ),
            (
                vec![insert(["1", &large, "0"])],
                update(["2", "-", "1"]),
                Some(Value::Unchanged),
            ),
        ] {
            let mut all = changes(first.into_iter().chain([then]).collect());
            let mut last = all.pop().unwrap();
            let open = last.transaction.commit_lsn;
            let mut written = Written::default();
            written.take_down(&all, Some(open));
            carry(&mut [&mut last], &written);
            assert_eq!(body(&last), expected);
            // Of another transaction nothing counts, nor once it has ended.
            let mut written = Written::default();
            written.take_down(&all, Some(open));
            written.take_down([], None);
            assert!(written.versions.is_empty() && written.bytes == 0);
        }
    }
}
