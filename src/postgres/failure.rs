//! How a replication connection fails.
//!
//! It stands apart from the connection because what opens connections explains these failures too.

use std::{fmt, io};

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorResponseBody;
use thiserror::Error;

/// Why a replication connection did not open, or ended.
#[derive(Debug, Error)]
pub enum Failure {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// TLS is required and could not be established.
    #[error("{0}")]
    Tls(String),
    /// The server sent an error.
    #[error("{message}")]
    Refused {
        /// Its SQLSTATE.
        code: String,
        /// Its message.
        message: String,
    },
    /// The server asks for a password, and the address has none.
    #[error("a password is wanted")]
    NoPassword,
    /// The server is a standby, and the address requires a primary.
    #[error("it is a standby")]
    Standby,
    /// The server is no standby, and the address requires one.
    #[error("it is no standby")]
    NoStandby,
    /// The login would not be what the address demands.
    #[error("{0}")]
    Demand(String),
    /// The other end does not follow the protocol of Postgres.
    #[error("it does not speak like Postgres: {0}")]
    Protocol(String),
}

impl Failure {
    /// The failure that an ErrorResponse of the server stands for.
    pub(super) fn refused(error: &ErrorResponseBody) -> Self {
        let (mut code, mut message) = (String::new(), String::new());
        let fields = error.fields().for_each(|field| {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => code = value,
                b'M' => message = value,
                _ => {}
            }
            Ok(())
        });
        match fields {
            Ok(()) => Self::Refused { code, message },
            Err(error) => Self::protocol(error),
        }
    }

    /// The other end broke the protocol, in the way that `violation` describes.
    pub(super) fn protocol(violation: impl fmt::Display) -> Self {
        Self::Protocol(violation.to_string())
    }

    /// The server closed the connection without an error message.
    pub(super) fn closed() -> Self {
        io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it").into()
    }
}
