//! A hook as somebody has seen it: whether it is still the same when they change it.

use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{config::Secrets, hook::row::HookRow};

/// Known to this process alone, so that nobody finds out what is secret in a hook by trying.
static KEY: LazyLock<[u8; 32]> = LazyLock::new(rand::random);

/// Stands for all of a hook that people change by hand, in a form that can be shown to anybody. Another process does
/// not know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen(String);

impl Seen {
    /// What stands for this row. Sealing is no change, as long as the key is there.
    pub(super) fn of(row: &HookRow, keys: &Secrets) -> Self {
        let texts = match row.opened(keys) {
            Some(opened) => opened.edited(),
            None => row.edited(),
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&*KEY).expect("HMAC takes keys of any length");
        for text in &texts {
            let text = text.as_deref();
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            mac.update(&length.to_be_bytes());
            mac.update(text.unwrap_or_default().as_bytes());
        }
        Self(hex::encode(mac.finalize().into_bytes()))
    }

    /// As a form has brought it back.
    pub fn from_form(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As a form carries it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
