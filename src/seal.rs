//! Sealing: texts that are stored encrypted, each bound to what it belongs to.
//!
//! A sealed text is `rowhook-sealed.1.KEY.TEXT`. KEY says which key it is sealed with, as eight hex digits, and TEXT is
//! base64url of the nonce and what AES-256-GCM makes of the text. All of these characters may stand in a URL, so a
//! sealed text can take the place of the credentials in one.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::secret::Secret;

/// What every sealed text begins with. The number is that of the format.
pub const MARK: &str = "rowhook-sealed.1.";

/// The bytes of a key.
const KEY_BYTES: usize = 32;

/// Which key a text is sealed with: the beginning of a hash of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key to seal and to open with.
struct Key {
    id: KeyId,
    cipher: RandomizedNonceKey,
}

/// The keys of `[secrets]`. `Debug` shows their ids.
pub struct Keyring {
    newest: Key,
    previous: Vec<Key>,
}

/// What a text belongs to. It can be opened only as the same, so a sealed text that was copied to another hook is of no
/// use there.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// The id of the hook.
    pub hook: &'a str,
    /// What it is of the hook.
    pub part: &'a str,
}

/// The text is not the key of 32 bytes that it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not the base64 of 32 bytes; make a key with: openssl rand -base64 32")]
pub struct BadKey;

/// Why a sealed text cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Locked {
    /// None of our keys is the one that it is sealed with.
    #[error(
        "is sealed with the key {0}, which [secrets] does not have; add that key there, under previous"
    )]
    UnknownKey(KeyId),
    /// It is damaged, or was sealed as something else.
    #[error("was sealed for another hook, or is damaged; give the hook a new one")]
    NotOurs,
}

impl Bound<'_> {
    /// The bytes that are authenticated with the text. A part has no NUL, so nothing else has the same bytes.
    fn bytes(&self) -> Vec<u8> {
        format!("rowhook hook\0{}\0{}", self.part, self.hook).into_bytes()
    }
}

impl Key {
    fn parse(text: &str) -> Result<Self, BadKey> {
        let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|_| BadKey)?;
        if bytes.len() != KEY_BYTES {
            return Err(BadKey);
        }
        let hash = Sha256::new()
            .chain_update(b"rowhook key id\0")
            .chain_update(&bytes)
            .finalize();
        Ok(Self {
            id: KeyId([hash[0], hash[1], hash[2], hash[3]]),
            cipher: RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| BadKey)?,
        })
    }
}

impl Keyring {
    /// Seals with the first of these keys, and opens with any. Each is the base64 of 32 bytes.
    ///
    /// # Errors
    /// When one of them is not, or there is none.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a Secret>) -> Result<Self, BadKey> {
        let keys = keys.into_iter().map(|key| Key::parse(key.expose()));
        let mut keys: Vec<Key> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(BadKey);
        }
        Ok(Self {
            newest: keys.remove(0),
            previous: keys,
        })
    }

    /// Which key it seals with.
    pub fn newest(&self) -> KeyId {
        self.newest.id
    }

    /// Seals a text, each time with another nonce. `None` only where the library cannot, which it does not explain.
    pub fn seal(&self, text: &str, bound: Bound<'_>) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        let Key { id, cipher } = &self.newest;
        let sealed = cipher.seal_in_place_append_tag(Aad::from(bound.bytes()), &mut bytes);
        let mut whole = sealed.ok()?.as_ref().to_vec();
        whole.extend(bytes);
        Some(format!(
            "{MARK}{id}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(whole)
        ))
    }

    /// Opens a sealed text.
    ///
    /// # Errors
    /// When it was not sealed with one of the keys as this.
    pub fn open(&self, sealed: &str, bound: Bound<'_>) -> Result<String, Locked> {
        let (id, text) = parts(sealed).ok_or(Locked::NotOurs)?;
        let mut keys = std::iter::once(&self.newest).chain(&self.previous);
        let key = keys.find(|key| key.id == id);
        let key = key.ok_or(Locked::UnknownKey(id))?;
        let whole = BASE64_URL_SAFE_NO_PAD.decode(text);
        let whole = whole.map_err(|_| Locked::NotOurs)?;
        let (nonce, bytes) = whole.split_at_checked(NONCE_LEN).ok_or(Locked::NotOurs)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Locked::NotOurs)?;
        let mut bytes = bytes.to_vec();
        let opened = key
            .cipher
            .open_in_place(nonce, Aad::from(bound.bytes()), &mut bytes);
        let opened = opened.map_err(|_| Locked::NotOurs)?;
        String::from_utf8(opened.to_vec()).map_err(|_| Locked::NotOurs)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let previous = self.previous.iter().map(|key| key.id);
        f.debug_list()
            .entry(&self.newest.id)
            .entries(previous)
            .finish()
    }
}

/// Is the text sealed?
pub fn is_sealed(text: &str) -> bool {
    parts(text).is_some()
}

/// The key that a text is sealed with; `None`: it is not sealed.
pub fn sealed_with(text: &str) -> Option<KeyId> {
    parts(text).map(|(id, _)| id)
}

fn parts(text: &str) -> Option<(KeyId, &str)> {
    let (id, text) = text.strip_prefix(MARK)?.split_once('.')?;
    let mut bytes = [0; 4];
    hex::decode_to_slice(id, &mut bytes).ok()?;
    Some((KeyId(bytes), text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> Secret {
        Secret::new(BASE64_STANDARD.encode([byte; KEY_BYTES]))
    }

    const BOUND: Bound<'_> = Bound {
        hook: "7",
        part: "secret",
    };

    #[test]
    fn a_key_has_exactly_32_bytes() {
        for text in ["", "AAAA", "not base64", &BASE64_STANDARD.encode([0; 33])] {
            assert_eq!(
                Keyring::of([&Secret::new(text)]).err(),
                Some(BadKey),
                "{text}"
            );
        }
        let none: [&Secret; 0] = [];
        assert_eq!(Keyring::of(none).err(), Some(BadKey));
    }

    #[test]
    fn what_is_sealed_opens_as_the_same_and_as_nothing_else() {
        let keys = Keyring::of([&key(1)]).unwrap();
        let sealed = keys.seal("whsec_abc", BOUND).unwrap();
        assert_eq!(keys.open(&sealed, BOUND).unwrap(), "whsec_abc");
        for (hook, part) in [("8", "secret"), ("7", "target"), ("", "secret7")] {
            let other = keys.open(&sealed, Bound { hook, part });
            assert_eq!(other, Err(Locked::NotOurs), "{hook} {part}");
        }
    }

    #[test]
    fn an_earlier_key_opens_and_another_says_which_it_lacks() {
        let before = Keyring::of([&key(1)]).unwrap();
        let sealed = before.seal("s", BOUND).unwrap();
        let both = Keyring::of([&key(2), &key(1)]).unwrap();
        assert_eq!(both.open(&sealed, BOUND).unwrap(), "s");
        assert_eq!(
            sealed_with(&both.seal("s", BOUND).unwrap()),
            Some(both.newest())
        );
        let other = Keyring::of([&key(2)]).unwrap();
        let locked = other.open(&sealed, BOUND);
        assert_eq!(locked, Err(Locked::UnknownKey(before.newest())));
    }

    #[test]
    fn nothing_shows_a_key() {
        let shown = format!("{:?}", Keyring::of([&key(1), &key(2)]).unwrap());
        assert_eq!(shown.len(), "[00000000, 00000000]".len(), "{shown}");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_two_seals_of_it_differ(text in ".*", hook in ".{0,20}") {
            let keys = Keyring::of([&key(3)]).unwrap();
            let bound = Bound { hook: &hook, part: "header:x-key" };
            let (one, other) = (keys.seal(&text, bound).unwrap(), keys.seal(&text, bound).unwrap());
            prop_assert_ne!(&one, &other);
            prop_assert!(is_sealed(&one) && one.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)));
            prop_assert_eq!(keys.open(&one, bound), Ok(text));
        }

        #[test]
        fn a_changed_text_never_opens_as_another(text in ".{1,40}", at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
            let keys = Keyring::of([&key(4)]).unwrap();
            let sealed = keys.seal(&text, BOUND).unwrap();
            let at = at.index(sealed.len());
            let changed = format!("{}{to}{}", &sealed[..at], &sealed[at + 1..]);
            if let Ok(opened) = keys.open(&changed, BOUND) {
                prop_assert_eq!(opened, text);
            }
        }

        #[test]
        fn no_text_panics(text in "(rowhook-sealed\\.1\\.)?.*") {
            let keys = Keyring::of([&key(5)]).unwrap();
            prop_assert!(keys.open(&text, BOUND).is_err());
        }
    }
}
