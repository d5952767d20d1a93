//! What follows from an error that ended a session, or kept one from beginning.

use std::error::Error;

use super::{control::AtStandby, sessions::UnfitStandby};
use crate::{
    postgres::{connect, fault::Fault, standby::Counted, stream},
    setup,
};

/// What is in memory no longer describes the server or the slot. No later session can go on from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Superseded {
    /// This server has another history of WAL than the one that was read before.
    #[error("the server was replaced by a standby or a backup")]
    ServerReplaced,
    /// Another rowhook has read on from our position. It may have read changes of hooks that we do not know.
    #[error("another rowhook has had the slot meanwhile")]
    SlotTaken,
    /// What is in memory may be half changed.
    #[error("rowhook panicked while it followed the stream")]
    Panicked,
    /// Another table has the name of the hook table, and its hooks are to be read.
    #[error("another table has the name of the hook table, and its hooks are read")]
    HookTableReplaced,
    /// There are keys now for many hooks, which are read again.
    #[error("the key of [secrets] has come, and hooks are read again")]
    KeysFound,
}

/// What to do after a session has ended with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Open another session, after a pause.
    Again,
    /// Another session holds the slot: open another one when the slot is free.
    StandBy,
    /// Drop what is in memory, and begin at the slot like a new process.
    StartAnew(Superseded),
    /// End with the error: a person must act first.
    ForPerson,
}

/// What to do after a session has ended with `error`.
pub(super) fn next(error: &anyhow::Error) -> Next {
    if let Some(superseded) = error.downcast_ref::<Superseded>() {
        Next::StartAnew(*superseded)
    } else if let Some(stream::Error::Occupied { .. }) = error.downcast_ref() {
        Next::StandBy
    } else if error.chain().any(is_transient) {
        Next::Again
    } else {
        Next::ForPerson
    }
}

/// Can this cause of an error go away by itself?
fn is_transient(cause: &(dyn Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<stream::Error>() {
        error.is_transient()
    } else if let Some(error) = cause.downcast_ref::<connect::Error>() {
        error.is_transient()
    } else if let Some(AtStandby { was_primary, .. }) = cause.downcast_ref() {
        *was_primary
    } else if let Some(UnfitStandby { was_fit, .. }) = cause.downcast_ref() {
        *was_fit
    } else if cause.is::<Counted>() {
        // A setting of the server, which is read again when it changes. Attaching then would hold nobody up.
        true
    } else if let Some(setup::Error::Connect(error)) = cause.downcast_ref() {
        error.is_transient()
    } else if let Some(error) = cause.downcast_ref::<tokio_postgres::Error>() {
        Fault::of(error).is_transient()
    } else {
        false
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;
    use crate::postgres::{connect::Reason, pgoutput, standby};

    fn connect(reason: Reason) -> connect::Error {
        connect::Error {
            at: "db:5432".into(),
            reason,
        }
    }

    #[test]
    fn every_error_says_what_to_do_next() {
        let occupied = || stream::Error::Occupied {
            slot: "rowhook".into(),
        };
        let refused = || stream::Error::Refused {
            message: "it has no publication".into(),
            remedy: "run rowhook setup".into(),
        };
        let at_standby = |was_primary| AtStandby {
            was_primary,
            key: "url",
            readable: true,
        };
        let lost = || stream::Error::Lost("the server is shutting down".into());
        let cases: [(anyhow::Error, Next); 21] = [
            (
                Superseded::ServerReplaced.into(),
                Next::StartAnew(Superseded::ServerReplaced),
            ),
            (
                Superseded::SlotTaken.into(),
                Next::StartAnew(Superseded::SlotTaken),
            ),
            (occupied().into(), Next::StandBy),
            (
                anyhow::Error::new(occupied()).context("open the stream"),
                Next::StandBy,
            ),
            (lost().into(), Next::Again),
            (
                anyhow::Error::new(lost()).context("read the stream"),
                Next::Again,
            ),
            (refused().into(), Next::ForPerson),
            (
                stream::Error::Garbled(pgoutput::decode(bytes::Bytes::new()).unwrap_err()).into(),
                Next::ForPerson,
            ),
            (
                stream::Error::Connect(connect(Reason::Full)).into(),
                Next::Again,
            ),
            (
                stream::Error::Connect(connect(Reason::Tls("no certificate".into()))).into(),
                Next::ForPerson,
            ),
            (
                connect(Reason::Unreachable("connection refused".into())).into(),
                Next::Again,
            ),
            (
                connect(Reason::NoRole { user: "app".into() }).into(),
                Next::ForPerson,
            ),
            (
                setup::Error::Connect(connect(Reason::ReadOnly)).into(),
                Next::Again,
            ),
            (
                setup::Error::Failed {
                    action: "make the slot".into(),
                    message: "permission denied".into(),
                }
                .into(),
                Next::ForPerson,
            ),
            (
                Err::<(), _>(connect(Reason::NoSender))
                    .context("look up owners")
                    .unwrap_err(),
                Next::Again,
            ),
            (standby::counts("*", "rowhook").unwrap().into(), Next::Again),
            (at_standby(true).into(), Next::Again),
            (at_standby(false).into(), Next::ForPerson),
            (UnfitStandby::of_test(true).into(), Next::Again),
            (UnfitStandby::of_test(false).into(), Next::ForPerson),
            (anyhow!("the slot rowhook is gone"), Next::ForPerson),
        ];
        for (error, expected) in cases {
            assert_eq!(next(&error), expected, "{error:#}");
        }
    }
}
