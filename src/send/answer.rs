//! The outcome of a request. `Display` describes it in a few words, and never shows a URL, a header or credentials.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::header::HeaderMap;

/// How the description of a proxy that cannot be used begins.
pub const PROXY_FAILED: &str = "the proxy cannot be used";

/// The outcome of a request: an answer, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The endpoint answered.
    Status {
        /// The status code.
        code: u16,
        /// Its `Retry-After`, as it was sent.
        retry_after: Option<String>,
        /// All headers of the answer.
        headers: HeaderMap,
        /// At most the first 4 KiB of its body.
        body: Bytes,
    },
    /// There was no answer.
    Failed(Failure),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The time-out passed.
    TimedOut(Duration),
    /// Nothing was sent, because it is unknown whether the hook's owner may see the row.
    Unasked(String),
    /// Nothing was sent, because the target may not be called.
    Refused(String),
    /// The name of the host cannot be resolved.
    Resolve(String),
    /// The proxy through which requests leave cannot be used. That says nothing of the endpoint.
    Proxy(String),
    /// There is no token for the request.
    Token(String),
    /// The connection was not accepted.
    Connect(String),
    /// The TLS handshake failed.
    Tls(String),
    /// The connection was closed before an answer.
    Closed,
    /// The endpoint has not looked at the request, on several connections: it refused the stream or ended the
    /// connection.
    Untaken,
    /// The endpoint did not answer in HTTP.
    Protocol(String),
}

impl Failure {
    /// The kind of failure, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TimedOut(_) => "timeout",
            Self::Unasked(_) => "unasked",
            Self::Refused(_) => "refused",
            Self::Resolve(_) => "resolve",
            Self::Proxy(_) => "proxy",
            Self::Token(_) => "token",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Closed => "closed",
            Self::Untaken => "untaken",
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
            Self::Resolve(error) => write!(f, "the name cannot be resolved: {error}"),
            Self::Proxy(error) => write!(f, "{PROXY_FAILED}: {error}"),
            Self::Token(error) => write!(f, "no token: {error}"),
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Tls(error) => write!(f, "no TLS: {error}"),
            Self::Closed => f.write_str("the connection was closed before an answer"),
            Self::Untaken => f.write_str(
                "the endpoint refused each stream or ended the connection (GOAWAY, REFUSED_STREAM)",
            ),
            Self::Protocol(error) => write!(f, "the answer is not HTTP: {error}"),
        }
    }
}
