//! Why an operation failed, precisely enough to make both a message and an HTTP status of it.

use tokio_postgres::error::SqlState;

use crate::{config::unfit::Unfit, postgres::error_message};

/// The parts of a hook that constraints of its table begin with the name of.
const PARTS: [&str; 7] = [
    "target",
    "rate",
    "method",
    "order",
    "content",
    "compress",
    "signature",
];

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
    /// A part of a hook that was given cannot be used.
    #[error("{reason}")]
    Unfit {
        /// The part, as the API calls it.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// The actor may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// Somebody has changed it since it was looked at.
    #[error("hook {0} was changed meanwhile; look at it, and change it again")]
    Changed(String),
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
        if !is_about_value {
            return Self::Failed(anyhow::Error::new(error).context(doing));
        }
        Unfit {
            part: part(&error),
            reason: error_message(&error),
        }
        .into()
    }
}

/// The part of a hook that a constraint or a trigger of rowhook's own table refuses.
fn part(error: &tokio_postgres::Error) -> Option<&'static str> {
    let error = error.as_db_error()?;
    if error.column() == Some("event") {
        return Some("events");
    }
    let (first, _) = error.constraint()?.split_once('_')?;
    PARTS.into_iter().find(|part| *part == first)
}

impl From<Unfit> for Error {
    fn from(Unfit { part, reason }: Unfit) -> Self {
        match part {
            Some(part) => Self::Unfit { part, reason },
            None => Self::Invalid(reason),
        }
    }
}
