//! A session that has been entered, handed to tokio-postgres as if it had entered it itself.
//!
//! tokio-postgres does not know all that an address can demand of a login, and the replication session needs a login of
//! our own anyway. So every session logs in there. This socket swallows the startup message that tokio-postgres writes
//! first, and lets it read what the server said when we got in.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::login::Entered;
use crate::postgres::wire::Socket;

pub(super) struct Handed {
    socket: Socket,
    /// What is read before anything from the socket.
    greeting: BytesMut,
    /// How many bytes of the startup message are still to be swallowed; `None` before it begins.
    startup: Option<usize>,
}

impl From<Entered> for Handed {
    fn from(entered: Entered) -> Self {
        let mut greeting = entered.greeting;
        greeting.unsplit(entered.wire.unread);
        Self {
            socket: entered.wire.socket,
            greeting,
            startup: None,
        }
    }
}

impl AsyncRead for Handed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.greeting.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let length = buffer.remaining().min(self.greeting.len());
        buffer.put_slice(&self.greeting[..length]);
        self.greeting.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Handed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = match self.startup {
            Some(0) => return Pin::new(&mut self.socket).poll_write(context, bytes),
            Some(left) => left,
            // A startup message begins with its length.
            None => match bytes
                .first_chunk()
                .map(|length| u32::from_be_bytes(*length))
            {
                Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
                None => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            },
        };
        let swallowed = left.min(bytes.len());
        self.startup = Some(left - swallowed);
        Poll::Ready(Ok(swallowed))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
