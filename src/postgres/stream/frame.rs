//! The messages of the replication protocol, which are carried by CopyData messages.

use std::time::SystemTime;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::postgres::{Lsn, time};

/// The kind of a CopyData message.
pub(super) const COPY_DATA: u8 = b'd';
/// The length of a message's header in bytes: its kind and its length.
pub(super) const HEADER: usize = 5;

/// A message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// XLogData: a message of the output plugin.
    Data(Bytes),
    /// A keepalive: the server has nothing to send up to `wal_end`.
    Keepalive { wal_end: Lsn },
}

/// A CopyData message that is not one of the replication protocol.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a message of the stream of kind {kind:?} and {length} bytes")]
pub(super) struct Malformed {
    kind: Option<char>,
    length: usize,
}

/// Decodes the content of a CopyData message. Returns with it a position that the server has come to, and whether it
/// requests a status update.
pub(super) fn decode(mut content: Bytes) -> Result<(Frame, Lsn, bool), Malformed> {
    /// Bytes before the data: its LSN, the end of the WAL, and the server's time.
    const DATA_HEADER: usize = 8 + 8 + 8;
    let malformed = Malformed {
        kind: content.first().copied().map(char::from),
        length: content.len(),
    };
    match content.try_get_u8() {
        Ok(b'w') if content.len() >= DATA_HEADER => {
            let reached = Lsn(content.get_u64());
            content.advance(DATA_HEADER - 8);
            Ok((Frame::Data(content), reached, false))
        }
        Ok(b'k') if content.len() == 8 + 8 + 1 => {
            let wal_end = Lsn(content.get_u64());
            content.advance(8);
            let asks = content.get_u8() != 0;
            Ok((Frame::Keepalive { wal_end }, wal_end, asks))
        }
        _ => Err(malformed),
    }
}

/// A status update at the time `at`: everything up to `confirmed` has been written, flushed and applied.
pub(super) fn status_update(confirmed: Lsn, at: SystemTime) -> BytesMut {
    const LENGTH: u32 = 4 + 1 + 3 * 8 + 8 + 1;
    let mut out = BytesMut::with_capacity(LENGTH as usize + 1);
    out.put_u8(COPY_DATA);
    out.put_u32(LENGTH);
    out.put_u8(b'r');
    for _ in ["written", "flushed", "applied"] {
        out.put_u64(confirmed.in_our_hand().0);
    }
    out.put_i64(time::to_micros(at));
    // No reply is requested.
    out.put_u8(0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_keepalives_are_told_apart() {
        let at = 5_u64.to_be_bytes();
        let data = [b"w".as_slice(), &at, &[0; 16], b"Insert"].concat();
        assert_eq!(
            decode(data.into()),
            Ok((Frame::Data(Bytes::from_static(b"Insert")), Lsn(5), false))
        );
        let keepalive = |asks: u8| {
            let message = [&b"k"[..], &7_u64.to_be_bytes(), &[0; 8], &[asks]].concat();
            decode(message.into())
        };
        let wal_end = Lsn(7);
        let frame = Frame::Keepalive { wal_end };
        assert_eq!(keepalive(0), Ok((frame.clone(), wal_end, false)));
        assert_eq!(keepalive(1), Ok((frame, wal_end, true)));
    }

    #[test]
    fn what_is_neither_is_said() {
        for content in ["", "w", "k", "x12345678", "k123456789012345678"] {
            let malformed = decode(content.as_bytes().into()).unwrap_err();
            assert_eq!(malformed.length, content.len());
            assert_eq!(malformed.kind, content.chars().next());
        }
    }

    #[test]
    fn a_status_says_how_long_it_is() {
        let status = status_update(Lsn(0x0102), SystemTime::UNIX_EPOCH);
        assert_eq!(status.len(), 1 + 38);
        assert_eq!(status[..6], *b"d\0\0\0\x26r");
        assert_eq!(status[6..14], status[22..30]);
        // Thirty years before Postgres begins to count.
        assert!(status[30] >= 0x80);
    }
}
