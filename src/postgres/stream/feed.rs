//! The task that reads the stream ahead of its reader, within bounds, and sends status updates to the server, however
//! busy the reader is.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::{backend::Message, frontend};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::frame::{self, Frame};
use crate::postgres::{
    Lsn,
    failure::Failure,
    wire::{Socket, head, whole},
};

/// How often a status update is sent while there is a new position to confirm, or no room to read. A position that is
/// sent late only makes the server send more again after a crash.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);
/// How often a status update is sent while nothing happens.
const IDLE_INTERVAL: Duration = Duration::from_secs(5);
/// The most bytes of messages in memory, read ahead or handled by the reader. A larger message takes all of it, so it
/// is in memory alone.
const ROOM: usize = 8 << 20;
/// The most messages in a batch.
const BATCH_MESSAGES: usize = 1024;
/// The bytes of messages at which a batch is full.
const BATCH_BYTES: usize = ROOM / 4;
/// The size of a read buffer, in bytes. Messages are slices of it.
const READ: usize = 64 << 10;
/// The least free space of a read buffer, in bytes. With less, a new buffer is allocated.
const READ_LEAST: usize = 4 << 10;

/// Messages that were read together.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) frames: Vec<Frame>,
    bytes: usize,
    /// The memory that the messages take, until the reader drops it.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// The task that reads the stream.
pub(super) struct Feed {
    socket: Socket,
    unread: BytesMut,
    chunk: Chunk,
    room: Arc<Semaphore>,
    /// Memory for the next message, once it is acquired.
    held: Option<OwnedSemaphorePermit>,
    batches: mpsc::Sender<Result<Chunk, Failure>>,
    /// The position to confirm to the server.
    confirmed: watch::Receiver<Lsn>,
    /// The position that has been confirmed to the server.
    reported: watch::Sender<Lsn>,
    reported_at: Instant,
    /// The position that the server has come to.
    reached: watch::Sender<Lsn>,
    come_to: Lsn,
    /// Whether the server has requested a status update.
    reply_requested: bool,
    stop: CancellationToken,
}

/// What has to happen before another message can be added to the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// More bytes of the message have to be received.
    Bytes,
    /// This many bytes of memory have to be free.
    Room(u32),
    /// The batch is full, and has to be taken.
    Batch,
}

/// The reader's end of a [`Feed`].
pub(super) struct Handle {
    pub(super) batches: mpsc::Receiver<Result<Chunk, Failure>>,
    /// Takes the position to confirm to the server.
    pub(super) confirmed: watch::Sender<Lsn>,
    /// The position that has been confirmed to the server.
    pub(super) reported: watch::Receiver<Lsn>,
    /// The position that the server has come to: it has read the WAL at least so far for us.
    pub(super) reached: watch::Receiver<Lsn>,
    /// Ends the stream in the orderly way of the protocol.
    pub(super) stop: CancellationToken,
}

impl Feed {
    /// A feed that reads from `socket`, of which `unread` has already been received.
    pub(super) fn new(socket: Socket, unread: BytesMut) -> (Self, Handle) {
        let (batches, taken) = mpsc::channel(1);
        // Postgres takes zero for no word about what is confirmed.
        let (confirm, confirmed) = watch::channel(Lsn::ZERO);
        let (reported, reports) = watch::channel(Lsn::ZERO);
        let (reached, reaches) = watch::channel(Lsn::ZERO);
        let stop = CancellationToken::new();
        let feed = Self {
            socket,
            unread,
            chunk: Chunk::default(),
            room: Arc::new(Semaphore::new(ROOM)),
            held: None,
            batches,
            confirmed,
            reported,
            reported_at: Instant::now(),
            reached,
            come_to: Lsn::ZERO,
            reply_requested: false,
            stop: stop.clone(),
        };
        let handle = Handle {
            batches: taken,
            confirmed: confirm,
            reported: reports,
            reached: reaches,
            stop,
        };
        (feed, handle)
    }

    /// Runs until the stream ends or its [`Handle`] is dropped.
    pub(super) async fn run(mut self) {
        let end = self.feed().await;
        // What was read before the end is still valid. If the handle is gone, nobody needs it.
        if !self.chunk.frames.is_empty() {
            let _ = self.batches.send(Ok(self.chunk)).await;
        }
        if let Err(failure) = end {
            let _ = self.batches.send(Err(failure)).await;
        }
    }

    async fn feed(&mut self) -> Result<(), Failure> {
        loop {
            let need = self.gather()?;
            self.tell_reached();
            if std::mem::take(&mut self.reply_requested) {
                self.send_status().await?;
            }
            let is_news = *self.confirmed.borrow_and_update() > *self.reported.borrow();
            let pause = match is_news || need != Need::Bytes {
                true => STATUS_INTERVAL,
                false => IDLE_INTERVAL,
            };
            let room = match need {
                Need::Room(room) => room,
                Need::Bytes | Need::Batch => 0,
            };
            let due = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep_until(self.reported_at + pause) => true,
                taker = self.batches.reserve(), if !self.chunk.frames.is_empty() => {
                    let Ok(taker) = taker else {
                        return Ok(());
                    };
                    taker.send(Ok(std::mem::take(&mut self.chunk)));
                    false
                }
                held = Arc::clone(&self.room).acquire_many_owned(room), if room > 0 => {
                    self.held = held.ok();
                    false
                }
                read = self.socket.read_buf(&mut self.unread), if need == Need::Bytes => {
                    if read? == 0 {
                        return Err(Failure::closed());
                    }
                    false
                }
                news = self.confirmed.changed(), if !is_news => {
                    if news.is_err() {
                        return Ok(());
                    }
                    false
                }
            };
            if due {
                self.send_status().await?;
            }
        }
        self.finish().await
    }

    /// Tells how far the server has come. Once for many messages, because whoever waits for it is woken.
    fn tell_reached(&self) {
        let come_to = self.come_to;
        self.reached.send_if_modified(|known| {
            let is_news = come_to > *known;
            *known = come_to.max(*known);
            is_news
        });
    }

    /// Moves complete messages from the buffer to the batch, while there is memory for them.
    fn gather(&mut self) -> Result<Need, Failure> {
        loop {
            if self.chunk.frames.len() >= BATCH_MESSAGES || self.chunk.bytes >= BATCH_BYTES {
                return Ok(Need::Batch);
            }
            let Some((kind, length)) = head(&self.unread)? else {
                self.reserve(0);
                return Ok(Need::Bytes);
            };
            if self.held.is_none() {
                let room = u32::try_from(length.min(ROOM)).unwrap_or(u32::MAX);
                match Arc::clone(&self.room).try_acquire_many_owned(room) {
                    Ok(held) => self.held = Some(held),
                    Err(_) => return Ok(Need::Room(room)),
                }
            }
            let missing = length.saturating_sub(self.unread.len());
            if missing > 0 {
                self.reserve(missing);
                return Ok(Need::Bytes);
            }
            let message = self.unread.split_to(length);
            self.take(kind, message)?;
            match (&mut self.chunk.room, self.held.take()) {
                (Some(room), Some(held)) => room.merge(held),
                (room, held) => *room = held,
            }
            self.chunk.bytes += length;
        }
    }

    /// Makes space in the buffer for `missing` bytes; at least as much as one read needs.
    fn reserve(&mut self, missing: usize) {
        if self.unread.capacity() - self.unread.len() < missing.max(READ_LEAST) {
            self.unread.reserve(missing.max(READ));
        }
    }

    /// Adds a message to the batch, if it is one of the stream.
    fn take(&mut self, kind: u8, mut message: BytesMut) -> Result<(), Failure> {
        if kind == frame::COPY_DATA {
            message.advance(frame::HEADER);
            let (frame, reached, reply_requested) =
                frame::decode(message.freeze()).map_err(Failure::protocol)?;
            self.come_to = reached.max(self.come_to);
            self.chunk.frames.push(frame);
            self.reply_requested |= reply_requested;
            return Ok(());
        }
        match Message::parse(&mut message).map_err(Failure::protocol)? {
            Some(Message::ErrorResponse(error)) => Err(Failure::refused(&error)),
            Some(Message::CopyDone | Message::CommandComplete(_)) => Err(Failure::closed()),
            _ => Ok(()),
        }
    }

    /// Sends a status update with the position to confirm.
    async fn send_status(&mut self) -> Result<(), Failure> {
        let confirmed = *self.confirmed.borrow_and_update();
        self.send(&frame::status_update(confirmed, SystemTime::now()))
            .await?;
        self.reported.send_replace(confirmed);
        self.reported_at = Instant::now();
        Ok(())
    }

    /// Sends the last status update, ends the stream, and waits until the server has ended it too. Closing the socket
    /// while the server still sends could lose the last status update.
    async fn finish(&mut self) -> Result<(), Failure> {
        self.send_status().await?;
        self.chunk = Chunk::default();
        let mut last = BytesMut::new();
        frontend::copy_done(&mut last);
        self.send(&last).await?;
        loop {
            match whole(&self.unread)? {
                Some((frame::COPY_DATA, length)) => self.unread.advance(length),
                Some(_) => {
                    if let Ok(Some(Message::ReadyForQuery(_))) = Message::parse(&mut self.unread) {
                        break;
                    }
                }
                None => {
                    if self.socket.read_buf(&mut self.unread).await? == 0 {
                        break;
                    }
                }
            }
        }
        Ok(self.socket.shutdown().await?)
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.socket.write_all(message).await?;
        Ok(self.socket.flush().await?)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use tokio::{
        io::{DuplexStream, duplex},
        time::timeout,
    };

    use super::*;

    /// The handle of a running feed, and the server's end of its socket.
    fn feed() -> (DuplexStream, Handle) {
        let (ours, theirs) = duplex(1 << 20);
        let (feed, handle) = Feed::new(Box::new(ours), BytesMut::new());
        tokio::spawn(feed.run());
        (theirs, handle)
    }

    fn data(length: usize) -> BytesMut {
        let mut message = BytesMut::new();
        message.put_u8(frame::COPY_DATA);
        message.put_u32(u32::try_from(4 + 1 + 24 + length).unwrap());
        message.put_u8(b'w');
        message.put_bytes(0, 24 + length);
        message
    }

    /// A keepalive that requests a status update.
    fn keepalive() -> BytesMut {
        let mut message = BytesMut::new();
        message.put_u8(frame::COPY_DATA);
        message.put_u32(4 + 18);
        message.put_u8(b'k');
        message.put_bytes(0, 16);
        message.put_u8(1);
        message
    }

    /// The position that the next status update confirms.
    async fn status(server: &mut DuplexStream) -> Lsn {
        let mut status = [0; 39];
        server.read_exact(&mut status).await.unwrap();
        assert_eq!(status[..6], *b"d\0\0\0\x26r");
        Lsn(u64::from_be_bytes(status[6..14].try_into().unwrap()))
    }

    async fn lengths(handle: &mut Handle) -> (Vec<usize>, Chunk) {
        let batch = handle.batches.recv().await.unwrap().unwrap();
        let lengths = batch.frames.iter().map(|frame| match frame {
            Frame::Data(data) => data.len(),
            Frame::Keepalive { .. } => 0,
        });
        (lengths.collect(), batch)
    }

    #[tokio::test(start_paused = true)]
    async fn messages_come_whole_and_in_order_however_they_are_cut() {
        let (mut server, mut handle) = feed();
        let sent: Vec<usize> = (1..3000).collect();
        let mut bytes = BytesMut::new();
        sent.iter().for_each(|length| bytes.extend(data(*length)));
        let writing = async move {
            for (number, piece) in bytes.chunks(977).enumerate() {
                server.write_all(piece).await.unwrap();
                if number % 3 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            server
        };
        let writing = tokio::spawn(writing);
        let mut came = Vec::new();
        while came.len() < sent.len() {
            let (lengths, batch) = lengths(&mut handle).await;
            assert!(batch.frames.len() <= BATCH_MESSAGES);
            came.extend(lengths);
        }
        assert_eq!(came, sent);
        drop(writing.await.unwrap());
        assert!(matches!(
            handle.batches.recv().await,
            Some(Err(Failure::Io(_)))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_is_answered_and_a_confirmation_told_within_the_interval() {
        let (mut server, handle) = feed();
        server.write_all(&keepalive()).await.unwrap();
        assert_eq!(status(&mut server).await, Lsn::ZERO);
        let began = Instant::now();
        handle.confirmed.send_replace(Lsn(7));
        assert_eq!(status(&mut server).await, Lsn(7));
        assert!(began.elapsed() <= STATUS_INTERVAL);
        assert_eq!(*handle.reported.borrow(), Lsn(7));
        assert_eq!(status(&mut server).await, Lsn(7));
        assert!(began.elapsed() <= STATUS_INTERVAL + IDLE_INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_read_than_there_is_room_for_and_the_server_hears_from_us_meanwhile() {
        let (server, mut handle) = feed();
        let (mut statuses, mut server) = tokio::io::split(server);
        let writing = tokio::spawn(async move {
            for _ in 0..(3 * ROOM) >> 20 {
                server.write_all(&data(1 << 20)).await.unwrap();
            }
        });
        let began = Instant::now();
        statuses.read_exact(&mut [0; 39 * 100]).await.unwrap();
        assert!(began.elapsed() <= STATUS_INTERVAL * 100);
        assert!(!writing.is_finished());
        let mut came = 0;
        while came < (3 * ROOM) >> 20 {
            came += lengths(&mut handle).await.0.len();
        }
        writing.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_larger_than_the_room_is_there_alone() {
        let (mut server, mut handle) = feed();
        let writing = tokio::spawn(async move {
            for length in [1, ROOM + 1, 2] {
                server.write_all(&data(length)).await.unwrap();
            }
            server
        });
        let mut held = None;
        for length in [1, ROOM + 1, 2] {
            if held.is_some() {
                let none = timeout(IDLE_INTERVAL, handle.batches.recv()).await;
                assert!(none.is_err(), "there was room beside the one before");
            }
            drop(held.take());
            let (came, batch) = lengths(&mut handle).await;
            assert_eq!(came, [length]);
            held = Some(batch);
        }
        writing.await.unwrap();
    }
}
