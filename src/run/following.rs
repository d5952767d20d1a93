//! An attached session: it reads the stream until the session ends or rowhook stops.

use std::time::Duration;

use anyhow::Result;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::{
    context::SessionContext,
    control::{self, until_lost, watch_slot},
    policy::Superseded,
    progress::ProgressRecorder,
    tables::TableWatch,
};
use crate::{
    postgres::{
        connect::Notifications,
        stream::{Batch, Stream},
    },
    reader::Reader,
    store::Due,
};

/// The interval at which deliveries older than the retention are deleted, and hooks of missing owners looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// A session that holds the slot.
pub(super) struct Following<'a> {
    pub(super) context: &'a SessionContext<'a>,
    pub(super) progress: ProgressRecorder<'a>,
    pub(super) tables: &'a mut TableWatch,
    pub(super) stream: Stream,
    pub(super) control: Client,
    pub(super) notifications: Notifications,
}

impl Following<'_> {
    /// Reads until it is time to stop, and returns the stream, which is still open then.
    ///
    /// # Errors
    /// When the session has ended.
    pub(super) async fn follow(self, reader: &mut Reader) -> Result<Stream> {
        let Self {
            context,
            progress,
            tables,
            mut stream,
            control,
            mut notifications,
        } = self;
        let mut recorded = progress.recorded.subscribe();
        let followed = reader.followed().clone();
        // Goes on whatever the reader does, which may wait for one of these.
        let ending = async {
            tokio::select! {
                error = until_lost(&control) => Err(error.into()),
                () = context.store.overtaken() => Err(Superseded::SlotTaken.into()),
                () = context.stop.cancelled() => Ok(()),
                never = progress.keep_recording() => match never {},
                never = tables.keep_watching(&control, context, &followed) => match never {},
                never = watch_slot(&control, context.slot(), context.health) => match never {},
            }
        };
        tokio::pin!(ending);
        let mut sweep = tokio::time::interval(SWEEP);
        stream.confirm(*recorded.borrow_and_update());
        loop {
            let work = tokio::select! {
                batch = stream.next_batch() => Work::Read(batch?),
                _ = sweep.tick() => Work::Sweep,
                Some(payload) = notifications.recv() => Work::Due(payload),
                _ = recorded.changed() => {
                    stream.confirm(*recorded.borrow_and_update());
                    continue;
                }
                ended = &mut ending => return ended.map(|()| stream),
            };
            let working = work.run(reader, &control);
            tokio::pin!(working);
            loop {
                tokio::select! {
                    done = &mut working => break done?,
                    _ = recorded.changed() => stream.confirm(*recorded.borrow_and_update()),
                    ended = &mut ending => return ended.map(|()| stream),
                }
            }
        }
    }
}

/// What there is for the reader to do.
enum Work {
    /// A batch of the stream has come.
    Read(Batch),
    /// It is time to look for what is too old, and for hooks whose owners are gone.
    Sweep,
    /// A notification says that a delivery was made due by hand.
    Due(String),
}

impl Work {
    async fn run(self, reader: &mut Reader, control: &Client) -> Result<()> {
        match self {
            Self::Read(Batch {
                received,
                room: _held,
            }) => return reader.read(received, control).await,
            Self::Sweep => {
                reader.disable_orphans(control).await?;
                enforce_retention(reader).await;
            }
            Self::Due(payload) => match Due::parse(&payload) {
                Ok(due) => reader.send_due(due),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "not understood"),
            },
        }
        Ok(())
    }
}

/// Deletes what is older than the retention. A failure is only logged: the next sweep deletes it.
async fn enforce_retention(reader: &mut Reader) {
    match timeout(control::PROBE, reader.enforce_retention()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(
            error = format!("{error:#}"),
            "old deliveries were not deleted; tried again later"
        ),
        Err(_) => tracing::warn!("deleting old deliveries took too long; tried again later"),
    }
}
