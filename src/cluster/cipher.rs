//! What rowhooks of a cluster say to each other is sealed: bodies and secrets are in it, and whoever can write into
//! NATS must not be able to make up deliveries. The keys follow from one that is in the database, so there is none to
//! configure, and nobody has them who cannot read rowhook's own tables.

use aws_lc_rs::aead::{
    AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, RandomizedNonceKey, UnboundKey,
};
use thiserror::Error;

use crate::message::MessageKey;

/// It was not sealed with this key for this place, or is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it was not sealed by a rowhook of this cluster")]
pub(super) struct Foreign;

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the reader to a sender.
    Out,
    /// Back from there.
    Back,
}

/// Makes the keys of a cluster.
#[derive(Debug)]
pub(super) struct Keys {
    key: MessageKey,
    /// The name of the cluster and the database.
    of: String,
}

impl Keys {
    pub(super) fn new(key: MessageKey, of: String) -> Self {
        Self { key, of }
    }

    /// The key of one way of a link. A link has a number of its own, so no two have the same key.
    pub(super) fn of_link(&self, partition: u32, epoch: i64, link: u64, way: Way) -> LinkCipher {
        let of = format!("cluster {} {partition} {epoch} {link} {way:?}", self.of);
        let key = UnboundKey::new(&AES_256_GCM, &self.key.derive(&of));
        LinkCipher(LessSafeKey::new(
            key.expect("the key has as many bytes as the algorithm wants"),
        ))
    }

    /// The key of what is said to everyone.
    pub(super) fn of_all(&self, what: &str) -> OpenCipher {
        let of = format!("cluster {} {what}", self.of);
        let key = RandomizedNonceKey::new(&AES_256_GCM, &self.key.derive(&of));
        OpenCipher(key.expect("the key has as many bytes as the algorithm wants"))
    }
}

/// Seals the packets of one way of a link. Each has a number, which is never used for another.
#[derive(Debug)]
pub(super) struct LinkCipher(LessSafeKey);

impl LinkCipher {
    /// Seals a packet. `head` is authenticated with it.
    pub(super) fn seal(&self, number: u64, head: &[u8], text: &mut Vec<u8>) {
        let sealed = self
            .0
            .seal_in_place_append_tag(nonce(number), Aad::from(head), text);
        sealed.expect("a packet is far shorter than what the algorithm can seal");
    }

    /// Opens a packet.
    pub(super) fn open<'a>(
        &self,
        number: u64,
        head: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], Foreign> {
        let opened = self.0.open_in_place(nonce(number), Aad::from(head), sealed);
        opened.map(|opened| &*opened).map_err(|_| Foreign)
    }
}

/// Seals what is said to everyone, each time with another nonce.
#[derive(Debug)]
pub(super) struct OpenCipher(RandomizedNonceKey);

impl OpenCipher {
    pub(super) fn seal(&self, mut text: Vec<u8>) -> Vec<u8> {
        let nonce = self.0.seal_in_place_append_tag(Aad::empty(), &mut text);
        let nonce = nonce.expect("it is far shorter than what the algorithm can seal");
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut text);
        whole
    }

    pub(super) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Foreign> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(Foreign)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Foreign)?;
        let mut text = text.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::empty(), &mut text);
        let length = opened.map_err(|_| Foreign)?.len();
        text.truncate(length);
        Ok(text)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let (_, last) = bytes.split_at_mut(NONCE_LEN - size_of::<u64>());
    last.copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Lsn;

    fn keys(byte: u8) -> Keys {
        Keys::new(MessageKey::new(&[byte; 64], Lsn(0)), "rowhook".into())
    }

    #[test]
    fn a_packet_opens_as_itself_alone() {
        let cipher = keys(1).of_link(3, 5, 7, Way::Out);
        let mut sealed = b"text".to_vec();
        cipher.seal(9, b"head", &mut sealed);
        let open = |keys: Keys, way, number, head: &[u8]| {
            let mut sealed = sealed.clone();
            let opened = keys.of_link(3, 5, 7, way).open(number, head, &mut sealed);
            opened.map(<[u8]>::to_vec)
        };
        assert_eq!(open(keys(1), Way::Out, 9, b"head"), Ok(b"text".to_vec()));
        assert_eq!(open(keys(1), Way::Out, 8, b"head"), Err(Foreign));
        assert_eq!(open(keys(1), Way::Out, 9, b"tail"), Err(Foreign));
        assert_eq!(open(keys(1), Way::Back, 9, b"head"), Err(Foreign));
        assert_eq!(open(keys(2), Way::Out, 9, b"head"), Err(Foreign));
    }

    #[test]
    fn what_is_said_to_everyone_opens_with_the_same_key_alone() {
        let sealed = keys(1).of_all("hello").seal(b"it is me".to_vec());
        assert_eq!(
            keys(1).of_all("hello").open(&sealed),
            Ok(b"it is me".to_vec())
        );
        assert_eq!(keys(1).of_all("beat").open(&sealed), Err(Foreign));
        assert_eq!(keys(1).of_all("hello").open(b"short"), Err(Foreign));
    }
}
