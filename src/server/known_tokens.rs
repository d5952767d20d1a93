//! The tokens that were good when they were last looked up. Whoever has one of them is no stranger, so the guesses of
//! others at the same address do not keep them out.

use std::{collections::HashMap, sync::Mutex};

use crate::lock::lock;

/// The most tokens that are remembered. They are all forgotten when there is one more.
const MOST: usize = 10_000;

/// Owners by the hashes of their tokens. A token is looked up all the same, because it may be revoked.
#[derive(Default)]
pub(super) struct KnownTokens(Mutex<HashMap<[u8; 32], String>>);

impl KnownTokens {
    pub(super) fn owner(&self, hash: &[u8; 32]) -> Option<String> {
        lock(&self.0).get(hash).cloned()
    }

    pub(super) fn remember(&self, hash: [u8; 32], owner: &str) {
        let mut known = lock(&self.0);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(hash, owner.to_owned());
    }

    pub(super) fn forget(&self, hash: &[u8; 32]) {
        lock(&self.0).remove(hash);
    }
}
