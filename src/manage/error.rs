//! Why something could not be done, in a way that both a person and an HTTP status can be made of.

use tokio_postgres::error::SqlState;

use crate::postgres::error_message;

/// What can come of asking for something.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or it is not theirs: nobody shall learn which.
    #[error("there is no {what} {id:?}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which id.
        id: String,
    },
    /// What was given cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// They may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// It cannot be done as things stand.
    #[error("{0}")]
    Conflict(String),
    /// It is not their fault.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl Error {
    pub(super) fn not_found(what: &'static str, id: &str) -> Self {
        Self::NotFound {
            what,
            id: id.to_owned(),
        }
    }

    /// What Postgres says of a value that somebody has given is for them to read, and everything else is a failure.
    pub(super) fn of_postgres(doing: &'static str, error: tokio_postgres::Error) -> Self {
        let theirs = error.code().is_some_and(|code| {
            // Data exceptions, and constraints that do not hold.
            let class = &code.code()[..2];
            class == "22" || class == "23" || *code == SqlState::RAISE_EXCEPTION
        });
        if theirs {
            Self::Invalid(error_message(&error))
        } else {
            Self::Failed(anyhow::Error::new(error).context(doing))
        }
    }
}
