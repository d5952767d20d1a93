//! Why a text is not an address.

/// Why a text is not an address, in one line that repeats nothing secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

/// The error with this text.
pub(super) fn mistake<T>(text: impl Into<String>) -> Result<T, ParseError> {
    Err(ParseError(text.into()))
}
