//! What proves that a message was written by rowhook's own functions: every role that can connect may write messages
//! into the WAL, with any prefix and any content.

use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::postgres::Lsn;

/// What a signed message begins with. The HMAC follows in hexadecimal, then a blank and the content.
const VERSION: &[u8] = b"v1 ";
/// The length of an HMAC-SHA256 in hexadecimal.
const DIGITS: usize = 64;

/// The key of one database, from the table `message_key`. `Debug` does not print it.
pub struct MessageKey {
    keyed: Hmac<Sha256>,
    since: Lsn,
}

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Doubt {
    /// It carries no signature.
    #[error("it is not signed")]
    Unsigned,
    /// Its signature is not that of this content in this transaction.
    #[error("its signature is wrong")]
    Forged,
}

/// Where a message stands, which its signature covers.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Its prefix.
    pub prefix: &'a str,
    /// The 32-bit id of its transaction.
    pub xid: u32,
    /// Its own position in the WAL.
    pub lsn: Lsn,
}

impl MessageKey {
    /// The key, and the position in the WAL before which messages were not signed.
    pub fn new(key: &[u8], since: Lsn) -> Self {
        let keyed = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        Self { keyed, since }
    }

    /// The content of a message without its signature, and why it is not to be believed. `None`: it is, since one of
    /// rowhook's functions has written it.
    pub fn open(&self, envelope: Envelope<'_>, message: &Bytes) -> (Bytes, Option<Doubt>) {
        let Some((signature, content)) = split(message) else {
            let was_usual = envelope.lsn < self.since;
            return (message.clone(), (!was_usual).then_some(Doubt::Unsigned));
        };
        let doubt = (!self.signs(envelope, &content, signature)).then_some(Doubt::Forged);
        (content, doubt)
    }

    /// The same key, where nothing is believed that is not signed.
    pub fn strictly(&self) -> Self {
        Self {
            keyed: self.keyed.clone(),
            since: Lsn::ZERO,
        }
    }

    /// A key that nobody can know without this one, for this use of it alone.
    pub fn derive(&self, of: &str) -> [u8; 32] {
        let keyed = self.keyed.clone();
        let code = keyed
            .chain_update(format!("rowhook.derived {of}"))
            .finalize();
        code.into_bytes().into()
    }

    /// The key of an advisory lock that nobody can know without this key, as `question_lock` of SQL makes it.
    pub fn lock(&self, what: &str) -> i64 {
        let keyed = self.keyed.clone();
        let code = keyed
            .chain_update(format!("rowhook.lock {what}"))
            .finalize();
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(code.into_bytes());
        i64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Compares in constant time.
    fn signs(&self, envelope: Envelope<'_>, content: &[u8], signature: [u8; 32]) -> bool {
        let Envelope { prefix, xid, .. } = envelope;
        let keyed = self.keyed.clone();
        keyed
            .chain_update(format!("{prefix} {xid} "))
            .chain_update(content)
            .verify_slice(&signature)
            .is_ok()
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKey(…)")
    }
}

/// The signature and the content of a message that is signed.
fn split(message: &Bytes) -> Option<([u8; 32], Bytes)> {
    let rest = message.strip_prefix(VERSION)?;
    let (digits, rest) = rest.split_at_checked(DIGITS)?;
    let content = rest.strip_prefix(b" ")?;
    let mut signature = [0; 32];
    hex::decode_to_slice(digits, &mut signature).ok()?;
    Some((signature, message.slice_ref(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Envelope<'_> = Envelope {
        prefix: "rowhook",
        xid: 751,
        lsn: Lsn(200),
    };

    fn signed(key: &[u8], envelope: Envelope<'_>, content: &str) -> Bytes {
        let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        let covered = format!("{} {} {content}", envelope.prefix, envelope.xid);
        let code = hex::encode(mac.chain_update(covered).finalize().into_bytes());
        Bytes::from(format!("v1 {code} {content}"))
    }

    #[test]
    fn only_what_was_signed_here_is_believed() {
        let key = MessageKey::new(&[7; 64], Lsn(100));
        let message = signed(&[7; 64], HERE, "{}");
        assert_eq!(key.open(HERE, &message), (Bytes::from("{}"), None));
        let elsewhere = [
            Envelope { xid: 752, ..HERE },
            Envelope {
                prefix: "rowhook.backfill",
                ..HERE
            },
        ];
        for envelope in elsewhere {
            assert_eq!(key.open(envelope, &message).1, Some(Doubt::Forged));
        }
        let others = signed(&[8; 64], HERE, "{}");
        assert_eq!(key.open(HERE, &others).1, Some(Doubt::Forged));
        let mut changed = message.to_vec();
        *changed.last_mut().unwrap() = b']';
        assert_eq!(key.open(HERE, &changed.into()).1, Some(Doubt::Forged));
    }

    #[test]
    fn what_is_not_signed_is_believed_only_where_nothing_was() {
        let key = MessageKey::new(&[7; 64], Lsn(100));
        for bare in [
            "{}",
            "",
            "v1 ",
            "v1 00 {}",
            &format!("v1 {} {{}}", "x".repeat(64)),
        ] {
            let bare = Bytes::copy_from_slice(bare.as_bytes());
            assert_eq!(key.open(HERE, &bare), (bare.clone(), Some(Doubt::Unsigned)));
            let before = Envelope {
                lsn: Lsn(99),
                ..HERE
            };
            assert_eq!(key.open(before, &bare), (bare, None));
        }
    }
}
