//! Packets: the pieces in which a link carries what is said over it. Each has its number, so that a lost one is missed.

use bytes::Bytes;

use super::cipher::{Foreign, LinkCipher};

/// The version of what is said over links. One that is newer than ours is not understood.
pub(super) const VERSION: u8 = 1;

/// The bytes of a head.
const HEAD: usize = 1 + 8 + 8 + 8;

/// What stands before the sealed part of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: u8,
    /// The link that it belongs to.
    pub(super) link: u64,
    /// The epoch of the partition.
    pub(super) epoch: i64,
    /// Its number on this way of the link, from 0.
    pub(super) number: u64,
}

impl Head {
    fn bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        let parts: [&[u8]; 4] = [
            &[self.version],
            &self.link.to_be_bytes(),
            &self.epoch.to_be_bytes(),
            &self.number.to_be_bytes(),
        ];
        for (byte, part) in bytes.iter_mut().zip(parts.concat()) {
            *byte = part;
        }
        bytes
    }

    /// Reads the head of a packet, and returns what comes after it. `None`: it is no packet.
    pub(super) fn read(packet: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = packet.split_at_checked(HEAD)?;
        let (version, head) = head.split_first()?;
        let (link, head) = head.split_first_chunk()?;
        let (epoch, head) = head.split_first_chunk()?;
        let (number, _) = head.split_first_chunk()?;
        let head = Self {
            version: *version,
            link: u64::from_be_bytes(*link),
            epoch: i64::from_be_bytes(*epoch),
            number: u64::from_be_bytes(*number),
        };
        Some((head, rest))
    }

    /// The packet with this head and text.
    pub(super) fn seal(self, cipher: &LinkCipher, mut text: Vec<u8>) -> Bytes {
        let head = self.bytes();
        cipher.seal(self.number, &head, &mut text);
        let mut packet = Vec::with_capacity(HEAD + text.len());
        packet.extend_from_slice(&head);
        packet.append(&mut text);
        packet.into()
    }

    /// The text of a packet with this head, added to `text`.
    pub(super) fn open(
        self,
        cipher: &LinkCipher,
        sealed: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), Foreign> {
        let mut sealed = sealed.to_vec();
        let opened = cipher.open(self.number, &self.bytes(), &mut sealed)?;
        text.extend_from_slice(opened);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::cipher::{Keys, Way},
        message::MessageKey,
        postgres::Lsn,
    };

    #[test]
    fn a_packet_is_read_as_it_was_written_and_others_are_none() {
        let keys = Keys::new(MessageKey::new(&[1; 64], Lsn(0)), "rowhook".into());
        let cipher = keys.of_link(1, 2, 3, Way::Out);
        let head = Head {
            version: VERSION,
            link: 3,
            epoch: -2,
            number: u64::MAX,
        };
        let packet = head.seal(&cipher, b"text".to_vec());
        let (read, sealed) = Head::read(&packet).unwrap();
        assert_eq!(read, head);
        let mut text = b"before ".to_vec();
        assert_eq!(read.open(&cipher, sealed, &mut text), Ok(()));
        assert_eq!(text, b"before text");
        let other = Head { link: 4, ..head };
        assert_eq!(other.open(&cipher, sealed, &mut text), Err(Foreign));
        assert_eq!(Head::read(b"too short"), None);
    }
}
