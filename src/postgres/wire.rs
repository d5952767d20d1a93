//! Whole messages of Postgres' protocol, on a socket of any kind.

use std::io;

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::backend::{Header, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::failure::Failure;

/// The largest message that Postgres sends, in bytes.
const LARGEST: usize = 1 << 30;

/// The socket of a session: unix, TCP or TLS.
pub type Socket = Box<dyn Carrier>;

/// A stream of bytes in both directions.
pub trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Carrier for T {}

/// A socket that messages are sent on and received from.
pub(super) struct Wire {
    pub(super) socket: Socket,
    /// Bytes that have been received and not yet been parsed.
    pub(super) unread: BytesMut,
}

/// The kind of the next message and its length in bytes, with its header. Returns `None` until the header has been
/// received.
///
/// # Errors
/// If it is not a header, or is that of a message larger than Postgres sends.
pub(super) fn head(unread: &[u8]) -> Result<Option<(u8, usize)>, Failure> {
    let Some(header) = Header::parse(unread).map_err(Failure::protocol)? else {
        return Ok(None);
    };
    match usize::try_from(header.len()) {
        Ok(length) if length <= LARGEST => Ok(Some((header.tag(), length + 1))),
        _ => Err(Failure::protocol(format!(
            "a message of {} bytes",
            header.len()
        ))),
    }
}

/// The kind of the next message and its length in bytes, with its header. Returns `None` until all of it has been
/// received.
///
/// # Errors
/// If it does not begin with a header, or is larger than Postgres sends.
pub(super) fn whole(unread: &[u8]) -> Result<Option<(u8, usize)>, Failure> {
    Ok(head(unread)?.filter(|(_, length)| *length <= unread.len()))
}

impl Wire {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            unread: BytesMut::new(),
        }
    }

    pub(super) async fn send(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut out = BytesMut::new();
        write(&mut out)?;
        self.socket.write_all(&out).await?;
        Ok(self.socket.flush().await?)
    }

    /// Receives the next message of the server. An ErrorResponse is an error.
    pub(super) async fn receive(&mut self) -> Result<Message, Failure> {
        Ok(self.receive_raw().await?.0)
    }

    /// As [`receive`](Self::receive), with the message's bytes.
    pub(super) async fn receive_raw(&mut self) -> Result<(Message, Bytes), Failure> {
        let length = loop {
            match whole(&self.unread)? {
                Some((_, length)) => break length,
                None => self.read().await?,
            }
        };
        let bytes = self.unread.split_to(length);
        let raw = Bytes::copy_from_slice(&bytes);
        let mut bytes = bytes;
        match Message::parse(&mut bytes).map_err(Failure::protocol)? {
            Some(Message::ErrorResponse(error)) => Err(Failure::refused(&error)),
            Some(message) => Ok((message, raw)),
            None => Err(Failure::protocol("half a message")),
        }
    }

    pub(super) async fn read(&mut self) -> Result<(), Failure> {
        match self.socket.read_buf(&mut self.unread).await? {
            0 => Err(Failure::closed()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_whole_when_all_of_it_has_come_and_none_is_larger_than_postgres_makes() {
        let message = b"d\0\0\0\x06ab";
        for come in 0..5 {
            assert_eq!(head(&message[..come]).unwrap(), None);
        }
        assert_eq!(head(&message[..5]).unwrap(), Some((b'd', 7)));
        assert_eq!(whole(&message[..6]).unwrap(), None);
        assert_eq!(whole(message).unwrap(), Some((b'd', 7)));
        for length in [3, -1, i32::MAX] {
            let head_of = [&b"d"[..], &length.to_be_bytes()].concat();
            assert!(
                matches!(head(&head_of), Err(Failure::Protocol(_))),
                "{length}"
            );
        }
    }
}
