//! The bytes of a connection, in the clear or over TLS.

use std::{
    io,
    pin::Pin,
    task::{self, Poll, ready},
};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::send::connect::Placed;

/// What a connection is made of.
#[derive(Debug)]
pub(super) enum Stream {
    /// The connection itself.
    Plain(Placed),
    /// TLS over it.
    Tls(Box<TlsStream<Placed>>),
}

impl Stream {
    /// Reads what there is.
    pub(super) fn poll_read(
        &mut self,
        context: &mut task::Context<'_>,
        piece: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, piece),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, piece),
        }
    }

    /// Sends all that is left.
    pub(super) fn poll_send(
        &mut self,
        context: &mut task::Context<'_>,
        unsent: &mut impl Buf,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => poll_send(Pin::new(stream), context, unsent),
            Self::Tls(stream) => poll_send(Pin::new(&mut **stream), context, unsent),
        }
    }

    /// Ends it in order.
    pub(super) async fn end(self) -> io::Result<()> {
        match self {
            Self::Plain(mut stream) => stream.shutdown().await,
            Self::Tls(mut stream) => stream.shutdown().await,
        }
    }
}

fn poll_send(
    mut stream: Pin<&mut impl AsyncWrite>,
    context: &mut task::Context<'_>,
    unsent: &mut impl Buf,
) -> Poll<io::Result<()>> {
    while unsent.has_remaining() {
        let mut pieces = [io::IoSlice::new(&[]); 2];
        let count = unsent.chunks_vectored(&mut pieces);
        let pieces = pieces.get(..count).unwrap_or_default();
        match ready!(stream.as_mut().poll_write_vectored(context, pieces))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            sent => unsent.advance(sent),
        }
    }
    stream.poll_flush(context)
}
