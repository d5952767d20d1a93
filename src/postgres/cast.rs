//! Types that JSON shows as what a cast of theirs returns, such as PostGIS' geometry.
//!
//! The cast is a function of the database, so the database is asked. What it has answered is kept here, where the
//! writer of JSON finds it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// A type with a cast to json.
#[derive(Debug)]
pub struct Cast {
    /// The oid of the type.
    pub oid: u32,
    /// The type in SQL.
    pub sql_type: String,
    /// Whether the code of the cast may be run. If not, its values are unknown.
    pub usable: bool,
    /// The role that wrote it.
    pub owner: String,
    answers: Mutex<HashMap<Bytes, Bytes>>,
}

impl Cast {
    /// A type of which no value is known yet.
    pub fn new(oid: u32, sql_type: String, usable: bool, owner: String) -> Self {
        Self {
            oid,
            sql_type,
            usable,
            owner,
            answers: Mutex::default(),
        }
    }

    /// The JSON of a value, if it is known.
    pub fn json(&self, text: &[u8]) -> Option<Bytes> {
        self.lock().get(text).cloned()
    }

    /// The JSON of the value with this text is that.
    pub fn learn(&self, text: Bytes, json: Bytes) {
        self.lock().insert(text, json);
    }

    /// Forgets all values.
    pub fn forget(&self) {
        *self.lock() = HashMap::new();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bytes, Bytes>> {
        // Nothing that is done under the lock can panic.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Cast {
    fn eq(&self, other: &Self) -> bool {
        self.oid == other.oid
    }
}

impl Eq for Cast {}
