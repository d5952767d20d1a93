//! Which table a configured name stands for. A table that is renamed is followed by its oid.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{TableName, division::Division};
use crate::lock::lock;

/// How many names of a primary key's columns are remembered of a table.
const KEYS: usize = 8;

/// What is known of one table. It can be noted, for another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The configured name that it stands for, or stood for.
    pub name: TableName,
    /// The names that the columns of its primary key have had, the newest last.
    pub keys: Vec<Vec<String>>,
    /// How it is divided into partitions, if it is and its rows were told of.
    pub division: Option<Division>,
    /// Another table has the name since.
    pub former: Option<Former>,
}

/// When a table no longer stands for a name. The stream may still tell of before, under any other name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Former {
    /// What it was called when another table was found under the name; `None`: it was gone.
    pub later: Option<TableName>,
    /// The transaction that gave the other one the name, as far as the catalog tells.
    pub taken_by: Option<u32>,
}

/// The oids of configured tables. Clones share them: one part of rowhook finds them, and another reads the stream.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    /// By oids. A name stands for one table at most that is not a former one.
    notes: Arc<Mutex<BTreeMap<u32, Note>>>,
    leaving: Arc<Mutex<HashSet<TableName>>>,
    joining: Arc<Mutex<HashSet<TableName>>>,
}

impl Followed {
    /// Begins with what was noted, as far as these names are still configured.
    pub fn resume(&self, noted: BTreeMap<u32, Note>, configured: &[TableName]) {
        let noted = noted.into_iter();
        let noted = noted.filter(|(_, note)| configured.contains(&note.name));
        *self.lock() = noted.collect();
    }

    /// All that is known, by oids.
    pub fn notes(&self) -> BTreeMap<u32, Note> {
        self.lock().clone()
    }

    /// Is this all that is known?
    pub fn are(&self, notes: &BTreeMap<u32, Note>) -> bool {
        *self.lock() == *notes
    }

    /// The stream has nothing more to tell of these tables.
    pub fn forget(&self, oids: &[u32]) {
        let is_past = |oid: &u32, note: &Note| oids.contains(oid) && note.former.is_some();
        self.lock().retain(|oid, note| !is_past(oid, note));
    }

    /// The name stands for this table from now on.
    pub fn put(&self, name: TableName, oid: u32) {
        let mut notes = self.lock();
        notes.retain(|other, note| *other == oid || note.name != name || note.former.is_some());
        let (keys, division) = notes
            .remove(&oid)
            .map_or_else(Default::default, |note| (note.keys, note.division));
        let note = Note {
            name,
            keys,
            division,
            former: None,
        };
        notes.insert(oid, note);
    }

    /// This table stands for the name until another one is put in its place, which comes next.
    pub fn replaced(&self, oid: u32, former: Former) {
        if let Some(note) = self.lock().get_mut(&oid) {
            note.former = Some(former);
        }
    }

    /// The columns of the primary key are called this now. A table without one keeps what is known of it.
    pub fn learn_key(&self, oid: u32, key: &[String]) {
        let mut notes = self.lock();
        let Some(note) = notes.get_mut(&oid).filter(|_| !key.is_empty()) else {
            return;
        };
        if note.keys.last().is_some_and(|last| last == key) {
            return;
        }
        note.keys.retain(|known| known != key);
        note.keys.push(key.to_vec());
        let too_many = note.keys.len().saturating_sub(KEYS);
        note.keys.drain(..too_many);
    }

    /// The names that the columns of the table's primary key have had, the newest last.
    pub fn keys(&self, oid: u32) -> Vec<Vec<String>> {
        let notes = self.lock();
        notes
            .get(&oid)
            .map_or_else(Vec::new, |note| note.keys.clone())
    }

    /// The table is divided like this now.
    pub fn learn_division(&self, oid: u32, division: Option<Division>) {
        if let Some(note) = self.lock().get_mut(&oid) {
            note.division = division;
        }
    }

    /// How the table was divided when that was last read.
    pub fn division(&self, oid: u32) -> Option<Division> {
        self.lock().get(&oid)?.division.clone()
    }

    /// The configured name of a table that the stream calls `called` in the transaction `xid`.
    pub fn name(&self, oid: u32, called: &TableName, xid: Option<u32>) -> Option<TableName> {
        let notes = self.lock();
        let note = notes.get(&oid)?;
        let stands = note.former.as_ref().is_none_or(|former| {
            let is_before = |taken_by: u32, xid: u32| xid.wrapping_sub(taken_by).cast_signed() < 0;
            let is_earlier = former.taken_by.zip(xid);
            former.later.as_ref() != Some(called)
                || is_earlier.is_some_and(|(taken_by, xid)| is_before(taken_by, xid))
        });
        stands.then(|| note.name.clone())
    }

    /// The table that a name stands for.
    pub fn oid(&self, name: &TableName) -> Option<u32> {
        let notes = self.lock();
        let mut standing = notes.iter().filter(|(_, note)| note.former.is_none());
        let found = standing.find(|(_, note)| note.name == *name);
        found.map(|(oid, _)| *oid)
    }

    /// The tables that these names stand for.
    pub fn standing<'a>(
        &self,
        names: impl IntoIterator<Item = &'a TableName>,
    ) -> HashMap<&'a TableName, u32> {
        let names = names.into_iter();
        let found = names.filter_map(|name| Some((name, self.oid(name)?)));
        found.collect()
    }

    /// Is or was this table one of the configured ones?
    pub fn knows(&self, oid: u32) -> bool {
        self.lock().contains_key(&oid)
    }

    /// Is it known which table the name stands for?
    pub fn has(&self, name: &TableName) -> bool {
        self.oid(name).is_some()
    }

    /// The oids of all tables that a name stands for.
    pub fn oids(&self) -> Vec<u32> {
        let notes = self.lock();
        let standing = notes.iter().filter(|(_, note)| note.former.is_none());
        standing.map(|(oid, _)| *oid).collect()
    }

    /// The stream will not tell of updates of this table any more. Call it before that is so.
    pub fn leave(&self, name: TableName) {
        lock(&self.joining).remove(&name);
        lock(&self.leaving).insert(name);
    }

    /// The tables that have left since this was last asked.
    pub fn take_leaving(&self) -> HashSet<TableName> {
        std::mem::take(&mut *lock(&self.leaving))
    }

    /// The stream tells of all that happens to this table. Call it when that is so.
    pub fn join(&self, name: TableName) {
        lock(&self.joining).insert(name);
    }

    /// The tables that have joined since this was last asked.
    pub fn take_joining(&self) -> HashSet<TableName> {
        std::mem::take(&mut *lock(&self.joining))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Note>> {
        lock(&self.notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName::public(name)
    }

    #[test]
    fn a_name_stands_for_the_last_table_that_had_it() {
        let followed = Followed::default();
        let name = |oid, called, xid| {
            let name = followed.name(oid, &table(called), xid);
            name.map(|name| name.name)
        };
        let book = || Some("book".to_owned());
        followed.put(table("book"), 5);
        assert_eq!(name(5, "book_old", None), book());
        let former = Former {
            later: Some(table("book_old")),
            taken_by: Some(70),
        };
        followed.replaced(5, former);
        followed.put(table("book"), 6);
        assert_eq!(
            (followed.oids(), followed.oid(&table("book"))),
            (vec![6], Some(6))
        );
        assert_eq!(name(6, "book", None), book());
        // It went on under another name: under that one it is heard no longer, and under those before it is.
        assert_eq!(name(5, "book_old", None), None);
        assert_eq!(name(5, "book_old", Some(70)), None);
        assert_eq!(name(5, "book_old", Some(69)), book());
        assert_eq!(name(5, "volume", Some(80)), book());
        followed.replaced(5, Former::default());
        assert_eq!(name(5, "book_old", Some(80)), book());
        followed.forget(&[5, 6]);
        assert_eq!(
            (name(5, "volume", None), name(6, "volume", None)),
            (None, book())
        );
    }

    #[test]
    fn tables_that_exchange_their_names_stand_for_each_other() {
        let followed = Followed::default();
        followed.put(table("book"), 5);
        followed.put(table("page"), 6);
        let names = [table("book"), table("page")];
        for oid in followed.standing(&names).into_values() {
            followed.replaced(oid, Former::default());
        }
        followed.put(table("book"), 6);
        followed.put(table("page"), 5);
        assert_eq!(followed.oids(), [5, 6]);
        assert_eq!(followed.oid(&table("book")), Some(6));
        assert_eq!(followed.name(5, &table("x"), None), Some(table("page")));
    }

    #[test]
    fn what_was_noted_is_known_to_the_next_process_as_far_as_it_is_configured() {
        let followed = Followed::default();
        followed.put(table("book"), 5);
        followed.put(table("page"), 6);
        followed.learn_key(5, &["id".to_owned()]);
        followed.learn_key(5, &[]);
        let next = Followed::default();
        next.resume(followed.notes(), &[table("book")]);
        assert_eq!(next.oids(), [5]);
        assert_eq!(next.keys(5), [["id"]]);
        next.learn_key(5, &["ident".to_owned()]);
        next.learn_key(5, &["id".to_owned()]);
        assert_eq!(next.keys(5), [["ident"], ["id"]]);
    }
}
