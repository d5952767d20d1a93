//! Which table a configured name stands for. A table that is renamed is followed by its oid.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::TableName;

/// The oids of configured tables. Clones share them: one part of rowhook finds them, and another reads the stream.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    oids: Arc<Mutex<HashMap<TableName, u32>>>,
    /// Tables that are gone. The stream may still tell of them, under any name that they had.
    gone: Arc<Mutex<HashMap<u32, TableName>>>,
    leaving: Arc<Mutex<HashSet<TableName>>>,
}

impl Followed {
    /// The name stands for this table from now on. Returns the oid of the table that it stood for before.
    pub fn put(&self, name: TableName, oid: u32) -> Option<u32> {
        self.lock().insert(name, oid)
    }

    /// The configured name of a table, also of one that is gone.
    pub fn name(&self, oid: u32) -> Option<TableName> {
        let oids = self.lock();
        let found = oids.iter().find(|(_, known)| **known == oid);
        let found = found.map(|(name, _)| name.clone());
        found.or_else(|| self.lock_gone().get(&oid).cloned())
    }

    /// The table that a name stands for.
    pub fn oid(&self, name: &TableName) -> Option<u32> {
        self.lock().get(name).copied()
    }

    /// This table stood for the name when it was dropped.
    pub fn bury(&self, name: TableName, oid: u32) {
        self.lock_gone().insert(oid, name);
    }

    /// Is it known which table the name stands for?
    pub fn has(&self, name: &TableName) -> bool {
        self.lock().contains_key(name)
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

    fn lock_gone(&self) -> MutexGuard<'_, HashMap<u32, TableName>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_the_last_table_that_had_it() {
        let followed = Followed::default();
        let book = || TableName::public("book");
        assert_eq!(followed.put(book(), 5), None);
        assert_eq!(followed.name(5), Some(book()));
        assert_eq!(followed.put(book(), 6), Some(5));
        assert_eq!((followed.name(5), followed.name(6)), (None, Some(book())));
        assert_eq!(followed.oids(), [6]);
        assert_eq!(followed.oid(&book()), Some(6));
        followed.bury(book(), 5);
        assert_eq!(
            (followed.name(5), followed.name(6)),
            (Some(book()), Some(book()))
        );
        assert_eq!(followed.oids(), [6]);
    }
}
