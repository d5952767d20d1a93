//! Why a request is not believed.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, StatusCode};
use thiserror::Error;

/// Why a request is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The signature, or a header that it covers, is missing.
    #[error("the header {0} is missing")]
    Missing(HeaderName),
    /// A header cannot be read. The text says what to send instead.
    #[error("the header {0} is malformed; {1}")]
    Malformed(HeaderName, &'static str),
    /// No signature in the header was made with any of the secrets.
    #[error("the signature in {0} does not fit the body and any secret")]
    Wrong(HeaderName),
    /// The signature is right, but was made too long ago or for the future.
    #[error("its time stamp is {} {}, more than the {} that are tolerated", humantime::format_duration(*distance), if *ahead { "ahead" } else { "old" }, humantime::format_duration(*tolerance))]
    Stale {
        /// How far the time stamp is from now, in whole seconds.
        distance: Duration,
        /// Whether the time stamp lies in the future.
        ahead: bool,
        /// How far it may be from now.
        tolerance: Duration,
    },
}

impl Refusal {
    /// The status of the answer: 401, or 400 where the request could not be verified at all.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(..) => StatusCode::BAD_REQUEST,
            Self::Missing(_) | Self::Wrong(_) | Self::Stale { .. } => StatusCode::UNAUTHORIZED,
        }
    }
}

/// The value of a header that must be there.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Refusal> {
    let Some(value) = headers.get(name) else {
        return Err(Refusal::Missing(name.clone()));
    };
    value
        .to_str()
        .map_err(|_| Refusal::Malformed(name.clone(), "send visible ASCII"))
}
