//! Which table a configured name stands for. A table that is renamed is followed by its oid.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::TableName;

/// What tables stood for before others took their places, and what they are called since. The stream may still tell of
/// before, under any other name.
type Former = HashMap<u32, (TableName, Option<TableName>)>;

/// The oids of configured tables. Clones share them: one part of rowhook finds them, and another reads the stream.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    oids: Arc<Mutex<HashMap<TableName, u32>>>,
    former: Arc<Mutex<Former>>,
    leaving: Arc<Mutex<HashSet<TableName>>>,
}

impl Followed {
    /// The name stands for this table from now on. Returns the oid of the table that it stood for before.
    pub fn put(&self, name: TableName, oid: u32) -> Option<u32> {
        self.lock().insert(name, oid)
    }

    /// The configured name of a table that the stream calls `called`.
    pub fn name(&self, oid: u32, called: &TableName) -> Option<TableName> {
        let oids = self.lock();
        let found = oids.iter().find(|(_, known)| **known == oid);
        let found = found.map(|(name, _)| name.clone());
        found.or_else(|| {
            let former = self.lock_former();
            let (name, later) = former.get(&oid)?;
            (later.as_ref() != Some(called)).then(|| name.clone())
        })
    }

    /// The table that a name stands for.
    pub fn oid(&self, name: &TableName) -> Option<u32> {
        self.lock().get(name).copied()
    }

    /// Is it known which table the name stands for?
    pub fn has(&self, name: &TableName) -> bool {
        self.lock().contains_key(name)
    }

    /// This table stands for the name until another one is put in its place, which comes next. It is called `later`
    /// then; `None`: it is gone.
    pub fn replaced(&self, name: TableName, oid: u32, later: Option<TableName>) {
        self.lock_former().insert(oid, (name, later));
    }

    /// The oids of all tables.
    pub fn oids(&self) -> Vec<u32> {
        let mut oids: Vec<u32> = self.lock().values().copied().collect();
        oids.sort_unstable();
        oids
    }

    /// The stream will not tell of updates of this table any more. Call it before that is so.
    pub fn leave(&self, name: TableName) {
        self.leaving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name);
    }

    /// The tables that have left since this was last asked.
    pub fn take_leaving(&self) -> HashSet<TableName> {
        std::mem::take(&mut *self.leaving.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TableName, u32>> {
        // Nothing that is done under the lock can panic.
        self.oids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_former(&self) -> MutexGuard<'_, Former> {
        self.former.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_the_last_table_that_had_it() {
        let followed = Followed::default();
        let book = || TableName::public("book");
        let old = || TableName::public("book_old");
        assert_eq!(followed.put(book(), 5), None);
        assert_eq!(followed.name(5, &old()), Some(book()));
        assert_eq!(followed.put(book(), 6), Some(5));
        assert_eq!(followed.name(5, &old()), None);
        assert_eq!(followed.name(6, &book()), Some(book()));
        assert_eq!((followed.oids(), followed.oid(&book())), (vec![6], Some(6)));
        // It went on under another name: under that one it is not heard, and under those before it is.
        followed.replaced(book(), 5, Some(old()));
        assert_eq!(followed.name(5, &old()), None);
        assert_eq!(followed.name(5, &TableName::public("volume")), Some(book()));
        followed.replaced(book(), 5, None);
        assert_eq!(followed.name(5, &old()), Some(book()));
        assert_eq!(followed.oids(), [6]);
    }
}
