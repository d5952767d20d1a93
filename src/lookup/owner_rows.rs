//! What is known of the rows that a step of an owner path leads to, at the place that the stream has come to.
//!
//! What the stream itself tells of a row goes before what the table holds, because the row may have changed since, or
//! be gone. An answer of the database counts when nothing that the stream has still to tell can be about the row
//! ([`moment`](super::moment)).

use std::{collections::HashMap, sync::Arc};

use tokio_postgres::{Client, Error};

use super::{
    halves::{Halves, Refusal},
    moment::{Moment, Reach},
    owner_query::{Found, Lookup},
};
use crate::{
    change::{Change, RowChange},
    config::OwnerStep,
    postgres::{
        Lsn,
        fault::Fault,
        tuple::{Image, Old, Tuple, Value},
    },
};

/// The value of the step's column in a row; `None` where it is null, or there is no row.
pub(super) type Target = Option<Arc<str>>;

/// The rows of the table of one step, by their keys.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The table that is meant, where the stream has told of it.
    oid: Option<u32>,
    known: HashMap<Arc<str>, Target>,
    /// The keys of rows that the open transaction has deleted. Their children may be deleted after them.
    gone: Vec<Arc<str>>,
    /// Answers that count once the stream has come to where they were given.
    untold: HashMap<Arc<str>, (Lsn, Target)>,
    /// The keys that the database gave no answer for when they were looked up last.
    refused: HashMap<Arc<str>, Refusal>,
    /// The table is emptied by a transaction that commits here, which was noted in advance.
    emptied: Option<Lsn>,
    pub(super) lookup: Option<Lookup>,
}

/// What can be said of a row.
pub(super) enum Answer<'a> {
    /// It leads to this.
    Known(&'a Target),
    /// What the database says of it may be later than the place that the stream has come to.
    Untold,
    /// The database gave no answer.
    Refused(&'a Refusal),
    /// It was not asked for.
    Missing,
}

/// What came of a query for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Each key was answered or refused.
    Done,
    /// The table is no longer the one that the query was made for.
    OfAnotherTable,
}

impl Rows {
    /// What can be said of the row with this key.
    pub(super) fn get(&self, key: &str) -> Answer<'_> {
        let canonical = self
            .lookup
            .as_ref()
            .map(|lookup| lookup.key_equality.canonical(key));
        let known = canonical.as_deref().and_then(|key| self.known.get(key));
        if let Some(target) = known {
            return Answer::Known(target);
        }
        if let Some(refusal) = self.refused.get(key) {
            return Answer::Refused(refusal);
        }
        let is_untold = canonical.is_some_and(|key| self.untold.contains_key(&*key));
        match is_untold {
            true => Answer::Untold,
            false => Answer::Missing,
        }
    }

    /// How many rows are known.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// How the step is looked up; the first time that is read from the catalog. The inner error says why it cannot be.
    pub(super) async fn prepare(
        &mut self,
        client: &Client,
        step: &OwnerStep,
        is_published: bool,
    ) -> Result<Result<Lookup, Refusal>, Error> {
        if let Some(lookup) = &self.lookup {
            return Ok(Ok(lookup.clone()));
        }
        let prepared = Lookup::prepare(client, step, is_published).await?;
        self.lookup = prepared.as_ref().ok().cloned();
        Ok(prepared)
    }

    /// Is the change of another table than the one that had the name until here?
    pub(super) fn are_of_another(&self, oid: u32) -> bool {
        self.oid.is_some_and(|known| known != oid)
    }

    /// Another table has the name from here on, or it is known now which one does. Returns whether it is another.
    pub(super) fn are_of(&mut self, oid: u32) -> bool {
        let is_another = self.are_of_another(oid);
        if is_another {
            *self = Self::default();
        }
        self.oid = Some(oid);
        is_another
    }

    /// Notes what a change that is still to come tells of rows before it.
    pub(super) fn foresee(&mut self, step: &OwnerStep, change: &Change) {
        for (key, target) in self.before(step, change) {
            self.known.entry(key).or_insert(target);
        }
    }

    /// Notes that the transaction which commits here empties the table.
    pub(super) fn foresee_emptied(&mut self, commit_lsn: Lsn) {
        self.emptied = self.emptied.max(Some(commit_lsn));
    }

    /// What a change tells of rows before it.
    ///
    /// Where the stream does not carry the old value, it is taken for the same as the new one: most updates of a row
    /// leave alone whose it is.
    fn before(&self, step: &OwnerStep, change: &Change) -> Vec<(Arc<str>, Target)> {
        let key_of = |row: &Tuple| self.key(change, row);
        let target_of = |row: &Tuple| self.target(step, change, row);
        match &change.row {
            RowChange::Insert { new } => key_of(new).map(|key| (key, None)).into_iter().collect(),
            RowChange::Update { old, new } => {
                let (new_key, became) = (key_of(new), target_of(new));
                let old_key = old.image().and_then(|old| self.old_key(change, old));
                let was = match old {
                    Old::Full(row) => target_of(row),
                    Old::Key(_) | Old::SameKey => became,
                };
                let has_moved = old_key.is_some() && old_key != new_key;
                let first = old_key.or_else(|| new_key.clone()).zip(was);
                let made = new_key.filter(|_| has_moved).map(|key| (key, None));
                first.into_iter().chain(made).collect()
            }
            RowChange::Delete { old } => {
                let image = old.image();
                let key = image.and_then(|image| self.old_key(change, image));
                let target = image.and_then(|image| match image {
                    Image::Whole(row) => target_of(row),
                    Image::Key(_) => None,
                });
                key.zip(target).into_iter().collect()
            }
            RowChange::Fired { .. } | RowChange::Truncate => Vec::new(),
        }
    }

    /// Applies a change of the table.
    pub(super) fn follow(&mut self, step: &OwnerStep, change: &Change) {
        let (old, new) = match &change.row {
            RowChange::Insert { new } => (None, Some(new)),
            RowChange::Update { old, new } => (old.image(), Some(new)),
            RowChange::Delete { old } => (old.image(), None),
            RowChange::Fired { .. } | RowChange::Truncate => return,
        };
        if self.lookup.is_none() {
            return self.forget();
        }
        let new_key = new.and_then(|new| self.key(change, new));
        let old_key = old.and_then(|old| self.old_key(change, old));
        if let Some(key) = old_key.filter(|key| Some(key) != new_key.as_ref()) {
            if let Some(Image::Whole(row)) = old
                && let Some(target) = self.target(step, change, row)
            {
                self.known.insert(Arc::clone(&key), target);
            }
            self.gone.push(key);
        }
        let target = new.and_then(|new| self.target(step, change, new));
        if let Some((key, target)) = new_key.zip(target) {
            self.gone.retain(|gone| *gone != key);
            self.known.insert(key, target);
        }
    }

    /// A transaction has ended: the rows that it deleted have no children any more.
    pub(super) fn end_transaction(&mut self, end_lsn: Lsn) {
        for key in self.gone.drain(..) {
            self.known.insert(key, None);
        }
        if self.emptied.is_some_and(|emptied| emptied <= end_lsn) {
            self.emptied = None;
        }
    }

    /// All rows are gone.
    pub(super) fn empty(&mut self) {
        self.known.values_mut().for_each(|target| *target = None);
        self.untold.clear();
    }

    /// Forgets all that is known of rows.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.untold.clear();
        self.emptied = None;
    }

    /// Forgets which keys were refused.
    pub(super) fn forgive_all(&mut self) {
        self.refused.clear();
    }

    /// Takes answers to have been so all along, where the stream has come to where they were given.
    pub(super) fn settle(&mut self, reach: &Reach) {
        let Self {
            known,
            untold,
            emptied,
            ..
        } = self;
        untold.retain(|key, (at, target)| {
            let is_told = reach.includes(*at);
            if is_told {
                // Of a row that was there before its table is emptied, nothing is known.
                let target = target.take().filter(|_| emptied.is_none());
                known.entry(Arc::clone(key)).or_insert(target);
            }
            !is_told
        });
    }

    /// Refuses all these keys.
    pub(super) fn refuse(&mut self, keys: &[Arc<str>], refusal: &Refusal) {
        let refused = keys.iter().map(|key| (Arc::clone(key), refusal.clone()));
        self.refused.extend(refused);
    }

    /// Asks for the rows with these keys. `reach` says what counts at once, `None` that the stream does not tell of the
    /// table.
    pub(super) async fn ask(
        &mut self,
        client: &Client,
        lookup: &Lookup,
        keys: &[Arc<str>],
        reach: Option<&mut Reach>,
    ) -> Result<Asked, Error> {
        for key in keys {
            self.refused.remove(key);
        }
        let mut answers: Vec<Found> = Vec::new();
        let mut halves = Halves::of(keys.len());
        while let Some(part) = halves.next_part() {
            let some = keys.get(part.clone()).unwrap_or_default();
            match lookup.values(client, some).await {
                Ok(found) => answers.extend(found),
                Err(error) => halves.refuse(part, Refusal::of(error)?),
            }
        }
        let refused = halves.refused();
        let is_of_another = |(_, refusal): &(usize, Refusal)| refusal.fault == Fault::Renamed;
        let asked = match refused.iter().any(is_of_another) {
            true => Asked::OfAnotherTable,
            false => Asked::Done,
        };
        let refused = refused
            .into_iter()
            .filter_map(|(at, refusal)| Some((Arc::clone(keys.get(at)?), refusal)));
        self.refused.extend(refused);
        match reach {
            Some(reach) => {
                let moment = Moment::read(client).await?;
                reach.expect(moment);
                self.take(lookup, keys, answers, reach, &moment);
            }
            None => answers.into_iter().for_each(|Found { key, value, .. }| {
                let key = lookup.key_equality.canonical(&key);
                self.known.entry(Arc::from(&*key)).or_insert(value);
            }),
        }
        Ok(asked)
    }

    /// Takes what the database has answered for these keys at some moment.
    fn take(
        &mut self,
        lookup: &Lookup,
        keys: &[Arc<str>],
        answers: Vec<Found>,
        reach: &Reach,
        moment: &Moment,
    ) {
        // Another table may have taken the name since.
        let is_same = !self.are_of_another(lookup.oid);
        let canonical = |key: &str| Arc::<str>::from(&*lookup.key_equality.canonical(key));
        let mut found: HashMap<Arc<str>, Found> = answers
            .into_iter()
            .map(|row| (canonical(&row.key), row))
            .collect();
        for key in keys.iter().filter(|key| !self.refused.contains_key(*key)) {
            let key = canonical(key);
            let row = found.remove(&key);
            let is_past = row
                .as_ref()
                .and_then(|row| row.xmin)
                .is_some_and(|xid| is_same && reach.is_past(xid, moment));
            let target = row.and_then(|row| row.value);
            match is_past {
                true => _ = self.known.entry(key).or_insert(target),
                false => _ = self.untold.insert(key, (moment.at, target)),
            }
        }
        self.settle(reach);
    }

    /// Is an answer waited for?
    pub(super) fn wait(&self) -> bool {
        !self.untold.is_empty()
    }

    /// The key of a whole row; `None` where it is not known.
    fn key(&self, change: &Change, row: &Tuple) -> Option<Arc<str>> {
        let lookup = self.lookup.as_ref()?;
        let Value::Text(key) = row.get(change.relation.column(&lookup.key)?)? else {
            return None;
        };
        let key = String::from_utf8_lossy(key);
        Some(Arc::from(&*lookup.key_equality.canonical(&key)))
    }

    /// The key of a row before a change; `None` where the stream does not carry it.
    fn old_key(&self, change: &Change, image: Image<'_>) -> Option<Arc<str>> {
        let lookup = self.lookup.as_ref()?;
        let at = change.relation.column(&lookup.key)?;
        let is_carried = match image {
            Image::Whole(_) => true,
            Image::Key(_) => change.relation.columns.get(at)?.identity_key,
        };
        self.key(change, image.tuple()).filter(|_| is_carried)
    }

    /// What a whole row leads to; `None` where that is not known.
    fn target(&self, step: &OwnerStep, change: &Change, row: &Tuple) -> Option<Target> {
        match row.get(change.relation.column(&step.column)?)? {
            Value::Text(bytes) => Some(Some(String::from_utf8_lossy(bytes).into())),
            Value::Null => Some(None),
            Value::Unchanged => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;
    use crate::{
        change::Transaction,
        postgres::{
            TableName,
            equality::Equality,
            pgoutput::ReplicaIdentity,
            relation::{Column, Relation},
            types::Type,
        },
    };

    fn step() -> OwnerStep {
        OwnerStep {
            table: TableName::public("shelf"),
            column: "owner".into(),
        }
    }

    fn relation(oid: u32) -> Arc<Relation> {
        let column = |name: &str| Column {
            name: name.into(),
            ty: Arc::new(Type::Text),
            type_oid: 25,
            sql_type: "text".into(),
            nullable: true,
            identity_key: name == "id",
            generated: false,
            toastable: true,
            foreign_key: false,
            unchecked: false,
            hidden: false,
        };
        Arc::new(Relation {
            oid,
            schema: "public".into(),
            name: "shelf".into(),
            stored_as: TableName::public("shelf"),
            numbers: Vec::new(),
            identity: ReplicaIdentity::Default,
            columns: vec![column("id"), column("owner")],
            primary_key: vec![0],
            key_equals: Vec::new(),
            key: vec![0],
        })
    }

    /// A shelf and its owner; `-` is null.
    fn row(id: &str, owner: &str) -> Tuple {
        let value = |text: &str| match text {
            "-" => Value::Null,
            text => Value::Text(Bytes::copy_from_slice(text.as_bytes())),
        };
        vec![value(id), value(owner)]
    }

    fn change(row: RowChange) -> Change {
        Change {
            relation: relation(1),
            row,
            transaction: Arc::new(Transaction {
                commit_lsn: Lsn(10),
                commit_time: SystemTime::UNIX_EPOCH,
                xid: 7,
            }),
        }
    }

    fn insert(id: &str, owner: &str) -> RowChange {
        RowChange::Insert {
            new: row(id, owner),
        }
    }

    fn update(old: Old, id: &str, owner: &str) -> RowChange {
        RowChange::Update {
            old,
            new: row(id, owner),
        }
    }

    fn full(id: &str, owner: &str) -> Old {
        Old::Full(row(id, owner))
    }

    fn key(id: &str) -> Old {
        Old::Key(row(id, "-"))
    }

    fn rows() -> Rows {
        Rows {
            oid: Some(1),
            lookup: Some(Lookup::of(1, "id", Equality::Text)),
            ..Rows::default()
        }
    }

    /// Whose these shelves are: `?` where it is not known, `-` where they are nobody's.
    fn told(rows: &Rows, ids: &str) -> String {
        let owner = |id: &str| match rows.get(id) {
            Answer::Known(Some(owner)) => owner.to_string(),
            Answer::Known(None) => "-".to_owned(),
            Answer::Untold => "~".to_owned(),
            Answer::Missing | Answer::Refused(_) => "?".to_owned(),
        };
        let owners: Vec<String> = ids.split_whitespace().map(owner).collect();
        owners.join(" ")
    }

    #[test]
    fn a_change_tells_of_the_row_before_it_and_after_it() {
        for (row, before, after) in [
            (insert("1", "7"), "- ?", "7 ?"),
            (update(full("1", "7"), "1", "8"), "7 ?", "8 ?"),
            (update(full("1", "7"), "2", "8"), "7 -", "7 8"),
            // Most updates leave alone whose a row is.
            (update(Old::SameKey, "1", "8"), "8 ?", "8 ?"),
            (update(key("1"), "2", "8"), "8 -", "8 8"),
            (
                RowChange::Delete {
                    old: full("1", "7"),
                },
                "7 ?",
                "7 ?",
            ),
            (RowChange::Delete { old: key("1") }, "? ?", "? ?"),
        ] {
            let (mut rows, change) = (rows(), change(row));
            rows.foresee(&step(), &change);
            assert_eq!(told(&rows, "1 2"), before, "before {:?}", change.row);
            rows.follow(&step(), &change);
            assert_eq!(told(&rows, "1 2"), after, "after {:?}", change.row);
        }
    }

    #[test]
    fn what_a_row_was_first_counts_and_one_that_is_gone_leads_somewhere_until_the_end() {
        let mut rows = rows();
        let changes = [
            change(update(full("1", "7"), "1", "8")),
            change(update(full("1", "8"), "1", "9")),
            change(RowChange::Delete {
                old: full("1", "9"),
            }),
        ];
        changes
            .iter()
            .for_each(|change| rows.foresee(&step(), change));
        assert_eq!(told(&rows, "1"), "7");
        for (change, owner) in changes.iter().zip(["8", "9", "9"]) {
            rows.follow(&step(), change);
            assert_eq!(told(&rows, "1"), owner);
        }
        rows.end_transaction(Lsn(11));
        assert_eq!(told(&rows, "1"), "-");
    }

    #[test]
    fn an_answer_counts_when_the_stream_has_come_to_it_and_said_nothing_else() {
        let mut rows = rows();
        let mut reach = Reach::default();
        let lookup = Lookup::of(1, "id", Equality::Text);
        let keys: Vec<Arc<str>> = ["1", "2", "3"].map(Arc::from).to_vec();
        let answers = || {
            let answer = |key: &str, xid| Found {
                key: key.into(),
                value: Some("9".into()),
                xmin: Some(xid),
            };
            vec![answer("1", 5), answer("2", 8)]
        };
        let started = Moment::of(6, Lsn(20));
        reach.expect(started);
        reach.extend(Lsn(20));
        // Shelf 1 is older than the start, 2 may be later than what was read, and 3 may have been there.
        let asked = Moment::of(9, Lsn(40));
        rows.take(&lookup, &keys, answers(), &reach, &asked);
        assert_eq!(told(&rows, "1 2 3"), "9 ~ ~");
        rows.foresee(&step(), &change(update(full("2", "7"), "2", "9")));
        reach.extend(Lsn(40));
        rows.settle(&reach);
        assert_eq!(told(&rows, "1 2 3"), "9 7 -");
    }

    #[test]
    fn nothing_is_known_of_rows_that_were_there_before_the_table_is_emptied() {
        let mut rows = rows();
        let mut reach = Reach::default();
        let lookup = Lookup::of(1, "id", Equality::Text);
        rows.foresee_emptied(Lsn(30));
        let found = vec![Found {
            key: "1".into(),
            value: Some("9".into()),
            xmin: Some(8),
        }];
        rows.take(
            &lookup,
            &["1".into()],
            found,
            &reach,
            &Moment::of(9, Lsn(40)),
        );
        reach.extend(Lsn(40));
        rows.settle(&reach);
        assert_eq!(told(&rows, "1"), "-");
        rows.empty();
        rows.end_transaction(Lsn(31));
        rows.follow(&step(), &change(insert("1", "9")));
        assert_eq!(told(&rows, "1"), "9");
    }

    #[test]
    fn another_table_of_the_name_has_other_rows() {
        let mut rows = rows();
        rows.follow(&step(), &change(insert("1", "7")));
        assert!(!rows.are_of_another(1) && rows.are_of_another(2));
        assert!(rows.are_of(2));
        assert_eq!(told(&rows, "1"), "?");
    }
}
