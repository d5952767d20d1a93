//! An attached session: it reads the stream until the session ends or rowhook stops.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    context::SessionContext,
    control::{self, until_counted, watch_slot},
    held::watch_held,
    hook_table,
    policy::Superseded,
    progress::ProgressRecorder,
    sessions::Sessions,
    tables::TableWatch,
};
use crate::{
    before::session::keep_answering,
    postgres::{
        connect::Notifications,
        stream::{Batch, Stream},
    },
    reader::Reader,
    store::Notice,
};

/// The interval at which deliveries older than the retention are deleted, and hooks of missing owners looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// The interval at which is looked whether the hook table is still the one that hooks were read from.
const LOOK: Duration = Duration::from_secs(3);

/// A session that holds the slot.
pub(super) struct Following<'a> {
    pub(super) context: &'a SessionContext<'a>,
    pub(super) progress: ProgressRecorder<'a>,
    pub(super) tables: &'a mut TableWatch,
    pub(super) stream: Stream,
    pub(super) sessions: Sessions,
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
            sessions,
            mut notifications,
        } = self;
        // In a task of its own, because the reader may take long over something. Whoever holds the slot answers.
        let _answering = context.asker.as_ref().map(|asker| {
            let database = context.config.database.clone();
            let answering = keep_answering(database, Arc::clone(asker));
            AbortOnDropHandle::new(tokio::spawn(answering.in_current_span()))
        });
        let mut recorded = progress.recorded.subscribe();
        let followed = reader.followed().clone();
        let source = context.config.database.source();
        // Goes on whatever the reader does, which may wait for one of these.
        let ending = async {
            tokio::select! {
                error = sessions.until_lost() => Err(error.into()),
                counted = until_counted(sessions.source(), source.stream_name()) => Err(counted.into()),
                () = context.store.overtaken() => Err(Superseded::SlotTaken.into()),
                () = context.stop.cancelled() => Ok(()),
                never = progress.keep_recording() => match never {},
                outdated = tables.keep_watching(&sessions.control, context, &followed) => Err(outdated.into()),
                never = watch_held(context) => match never {},
                never = watch_slot(sessions.source(), context.slot(), context.health) => match never {},
            }
        };
        tokio::pin!(ending);
        let mut sweep = tokio::time::interval(SWEEP);
        let mut look = tokio::time::interval(LOOK);
        let mut reported = None;
        stream.confirm(*recorded.borrow_and_update());
        loop {
            let work = tokio::select! {
                batch = stream.next_batch() => Work::Read(batch?),
                _ = sweep.tick() => Work::Sweep,
                _ = look.tick() => Work::Look,
                Some(payload) = notifications.recv() => Work::Notice(payload),
                () = at(reader.next_look()) => Work::LookAgain,
                () = reader.asked() => Work::TellHooks,
                _ = recorded.changed() => {
                    stream.confirm(*recorded.borrow_and_update());
                    continue;
                }
                ended = &mut ending => {
                    if !reader.is_between_batches() {
                        stream.abandon();
                    }
                    return ended.map(|()| stream);
                }
            };
            let working = work.run(context, reader, &sessions, &mut reported);
            tokio::pin!(working);
            loop {
                tokio::select! {
                    done = &mut working => break done?,
                    _ = recorded.changed() => stream.confirm(*recorded.borrow_and_update()),
                    ended = &mut ending => {
                        stream.abandon();
                        return ended.map(|()| stream);
                    }
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
    /// It is time to ask again about changes that wait for an answer of the database.
    LookAgain,
    /// Senders of a cluster want to know hooks.
    TellHooks,
    /// It is time to look for the hook table, and for rows of it that could not be read.
    Look,
    /// A notification says that a delivery was made due by hand, or that something was forgotten.
    Notice(String),
}

impl Work {
    async fn run(
        self,
        context: &SessionContext<'_>,
        reader: &mut Reader,
        sessions: &Sessions,
        reported: &mut Option<String>,
    ) -> Result<()> {
        match self {
            Self::Look => {
                reader.read_unread();
                if reader.can_open_many() {
                    return Err(Superseded::KeysFound.into());
                }
                reader.read_set_aside(&sessions.control).await?;
                return hook_table::look(context, reader, sessions, reported).await;
            }
            Self::Read(Batch {
                received,
                room: _held,
            }) => return reader.read(received, sessions.source()).await,
            Self::Sweep => {
                reader.disable_orphans(&sessions.control).await;
                enforce_retention(reader).await;
            }
            Self::TellHooks => reader.tell_hooks(),
            Self::LookAgain => return reader.look_again(sessions.source()).await,
            Self::Notice(payload) => match Notice::parse(&payload) {
                Ok(Notice::Due(due)) => reader.send_due(due),
                Ok(Notice::Forgotten) => reader.leave_out_forgotten().await,
                Err(error) => tracing::warn!(error = format!("{error:#}"), "not understood"),
            },
        }
        Ok(())
    }
}

/// Waits for this moment, for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
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
