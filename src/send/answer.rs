//! What came of a request. It shows in few words, and never shows a URL, a header or a credential.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::header::HeaderMap;

/// An answer, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The endpoint answered.
    Status {
        /// The status code.
        code: u16,
        /// Its Retry-After, as it stands.
        retry_after: Option<String>,
        /// All of its headers.
        headers: HeaderMap,
        /// The first 4 KiB of its body at most.
        body: Bytes,
    },
    /// It did not.
    Failed(Failure),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Not within this time.
    TimedOut(Duration),
    /// Whether the owner may see it could not be asked, for this reason, and nothing was sent.
    Unasked(String),
    /// The guard does not let us go there.
    Refused(String),
    /// The host's name has no address.
    Resolve(String),
    /// Nobody accepts connections there.
    Connect(String),
    /// TLS did not come about.
    Tls(String),
    /// The connection was closed before an answer.
    Closed,
    /// What came is not HTTP.
    Protocol(String),
}

impl Failure {
    /// Its kind in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TimedOut(_) => "timeout",
            Self::Unasked(_) => "unasked",
            Self::Refused(_) => "refused",
            Self::Resolve(_) => "resolve",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Closed => "closed",
            Self::Protocol(_) => "protocol",
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { code, .. } => write!(f, "{code}"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(limit) => write!(f, "timed out after {limit:?}"),
            Self::Refused(reason) | Self::Unasked(reason) => f.write_str(reason),
            Self::Resolve(told) => write!(f, "the name cannot be resolved: {told}"),
            Self::Connect(told) => write!(f, "no connection: {told}"),
            Self::Tls(told) => write!(f, "no TLS: {told}"),
            Self::Closed => f.write_str("the connection was closed before an answer"),
            Self::Protocol(told) => write!(f, "the answer is not HTTP: {told}"),
        }
    }
}
