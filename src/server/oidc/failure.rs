//! Why nobody has logged in.

use std::error::Error as _;

use axum::http::StatusCode;

/// Why a login through the provider failed, in words for whoever wanted to log in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum Failure {
    /// The provider does not answer.
    #[error("{host} cannot be asked: {reason}. Try again later, or log in with a token.")]
    Unreachable {
        /// The host that was asked.
        host: String,
        /// Why that failed.
        reason: String,
    },
    /// The provider lets nobody in.
    #[error("{host} has let nobody in: {reason}.")]
    Refused {
        /// The host that was asked.
        host: String,
        /// The error that it names.
        reason: String,
    },
    /// What the provider says cannot be used.
    #[error("What {host} says cannot be used: {reason}.")]
    Unusable {
        /// The host that was asked.
        host: String,
        /// What is wrong.
        reason: String,
    },
}

impl Failure {
    /// The status of the answer.
    pub(in crate::server) fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused { .. } => StatusCode::FORBIDDEN,
            Self::Unusable { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// The failure of a request. What is innermost says most, and the address may not be for everyone.
    pub(super) fn of_request(host: &str, error: reqwest::Error) -> Self {
        let error = error.without_url();
        let reason = match error.is_timeout() {
            true => "it has not answered in time".to_owned(),
            false => {
                let mut innermost = error.to_string();
                let mut cause = error.source();
                while let Some(inner) = cause {
                    innermost = inner.to_string();
                    cause = inner.source();
                }
                innermost
            }
        };
        Self::Unreachable {
            host: host.to_owned(),
            reason,
        }
    }
}

/// The name of an error as RFC 6749 has them: plain characters. Anything else is not shown.
pub(super) fn error_name(name: &str) -> &str {
    const LONGEST: usize = 60;
    let is_name =
        (1..=LONGEST).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name {
        name
    } else {
        "an error without a name"
    }
}
