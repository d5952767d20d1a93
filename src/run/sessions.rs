//! The ordinary sessions beside the stream: one with the server that is written to, and where changes are read from a
//! standby, one with that. When one of them is lost, the stream is ended too.

use std::{convert::Infallible, time::Duration};

use anyhow::Result;
use tokio_postgres::Client;

use super::control::{self, until_lost};
use crate::{
    config::Database,
    postgres::{connect::Notifications, stream},
    setup::{catalog::Facts, plan::unfit_standby},
};

/// The interval at which it is looked whether the standby still is one.
const LOOK: Duration = Duration::from_millis(500);

/// The sessions of an attempt to attach, and of what comes of it.
pub(super) struct Sessions {
    /// With the server that is written to.
    pub(super) control: Client,
    /// With the standby that changes are read from; `None` where they are read at the primary.
    pub(super) standby: Option<Client>,
}

impl Sessions {
    /// Opens the sessions. The notifications name what is made due by hand.
    ///
    /// # Errors
    /// When one cannot be opened or prepared, and when what is to be written to is a standby.
    pub(super) async fn open(
        database: &Database,
        was_primary: bool,
    ) -> Result<(Self, Notifications)> {
        let (control, notifications) = control::open(database, was_primary).await?;
        let standby = database.connect_standby("rowhook control").await?;
        Ok((Self { control, standby }, notifications))
    }

    /// The session with the server that changes are read from: it knows the slot, and is asked for what they lack. What
    /// it sees is never behind what it decodes.
    pub(super) fn source(&self) -> &Client {
        self.standby.as_ref().unwrap_or(&self.control)
    }

    /// Limits what the look-ups wait for from now on: everybody waits with them.
    ///
    /// # Errors
    /// When a session is lost.
    pub(super) async fn limit_waits(&self) -> Result<()> {
        for client in [&self.control].into_iter().chain(&self.standby) {
            control::limit_waits(client).await?;
        }
        Ok(())
    }

    /// Waits until a session is lost, or the standby is promoted, and returns the error for it.
    pub(super) async fn until_lost(&self) -> stream::Error {
        let Some(standby) = &self.standby else {
            return until_lost(&self.control).await;
        };
        tokio::select! {
            error = until_lost(&self.control) => error,
            error = until_lost(standby) => error,
            error = until_promoted(standby) => error,
        }
    }
}

/// Waits until the standby is promoted. The stream goes on then, but what it says is of a history that the server which
/// we write to may not have.
async fn until_promoted(standby: &Client) -> stream::Error {
    let sql = "select pg_is_in_recovery()";
    let mut was_standby = false;
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        // If this fails, the session is lost, which `until_lost` finds.
        match standby.query_one(sql, &[]).await.map(|row| row.try_get(0)) {
            Ok(Ok(true)) => was_standby = true,
            Ok(Ok(false)) if was_standby => {
                return stream::Error::Lost(
                    "the standby that changes are read from was promoted".into(),
                );
            }
            // It is the primary already, and is written to as well.
            Ok(Ok(false)) => return never().await,
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

async fn never<T>() -> T {
    match std::future::pending::<Infallible>().await {}
}

/// Changes cannot be read where `[database] url` says.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(super) struct UnfitStandby {
    problem: String,
    /// Whether they could be in an earlier session, and so may be again: while servers change their places.
    pub(super) was_fit: bool,
}

impl UnfitStandby {
    /// Checks that what is read is what is written to, or a standby of it.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn check(facts: &Facts, was_fit: bool) -> Result<(), Self> {
        match unfit_standby(facts) {
            None => Ok(()),
            Some(problem) => Err(Self {
                problem: problem.to_string(),
                was_fit,
            }),
        }
    }

    #[cfg(test)]
    pub(super) fn of_test(was_fit: bool) -> Self {
        Self {
            problem: "the server is no standby any more".into(),
            was_fit,
        }
    }
}
