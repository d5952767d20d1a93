//! Why an operation failed, precisely enough to make both a message and an HTTP status of it.

use tokio_postgres::error::SqlState;

use crate::postgres::error_message;

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or it belongs to somebody else. Which of the two is not said, on purpose.
    #[error("there is no {what} {id:?}")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A value that was given cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The actor may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// It cannot be done in the current state.
    #[error("{0}")]
    Conflict(String),
    /// Something failed that is not the actor's fault.
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

    /// Sorts an error of Postgres: one about a value that was given is [`Self::Invalid`], every other [`Self::Failed`].
    pub(super) fn from_postgres(doing: &'static str, error: tokio_postgres::Error) -> Self {
        let is_about_value = error.code().is_some_and(|code| {
            // Classes 22 and 23: data exceptions, and violations of constraints.
            let class = &code.code()[..2];
            class == "22" || class == "23" || *code == SqlState::RAISE_EXCEPTION
        });
        if is_about_value {
            Self::Invalid(error_message(&error))
        } else {
            Self::Failed(anyhow::Error::new(error).context(doing))
        }
    }
}
