//! A connection to an endpoint, and one exchange on it.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    task::{self, Poll, Waker},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::{
    head::{self, Head},
    stream::Stream,
};
use crate::send::{answer::Failure, client::explain};

/// How much is read at once.
const PIECE: usize = 8 << 10;

/// A connection to an endpoint.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// What has come and was not looked at.
    pub(super) input: BytesMut,
}

impl Connection {
    /// A connection on which nothing was said yet.
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
        }
    }

    /// Sends a request and reads the head of its answer, whichever comes first: an endpoint may refuse a large body
    /// before it is sent. Returns whether all was sent.
    pub(super) async fn exchange(
        &mut self,
        head: Vec<u8>,
        body: &Bytes,
    ) -> Result<(Head, bool), Failure> {
        let mut unsent = Buf::chain(&head[..], &body[..]);
        let (mut is_sent, mut searched, mut is_deaf) = (false, 0, false);
        poll_fn(|context| {
            if !is_sent && !is_deaf {
                match self.stream.poll_send(context, &mut unsent) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => is_sent = true,
                    // It takes no more, but may have said why.
                    Poll::Ready(Err(_)) => is_deaf = true,
                }
            }
            loop {
                let read = match self.poll_piece(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(read) => read,
                };
                let taken = head::take(&mut self.input, &mut searched);
                match (read, taken) {
                    (_, Err(bad)) => return Poll::Ready(Err(Failure::Protocol(bad.to_string()))),
                    (Ok(1..), Ok(Some(head))) => return Poll::Ready(Ok((head, is_sent))),
                    (Ok(1..), Ok(None)) => {}
                    (Ok(0), Ok(_)) => return Poll::Ready(Err(Failure::Closed)),
                    (Err(error), Ok(_)) => return Poll::Ready(Err(explain(&error, false))),
                }
            }
        })
        .await
    }

    /// Reads what there is, and returns how many bytes that was; 0: the other side has ended the connection.
    pub(super) fn poll_piece(
        &mut self,
        context: &mut task::Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut piece = [const { MaybeUninit::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut piece);
        let read = self.stream.poll_read(context, &mut piece);
        read.map_ok(|()| {
            self.input.extend_from_slice(piece.filled());
            piece.filled().len()
        })
    }

    /// Whether another request may be made on it: nothing has come since the last answer, and nobody has ended it.
    pub(super) fn is_open(&mut self) -> bool {
        let mut nobody = task::Context::from_waker(Waker::noop());
        self.poll_piece(&mut nobody).is_pending()
    }
}
