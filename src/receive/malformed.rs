//! Why a request that is believed cannot be read.

use thiserror::Error;

use crate::expression::document;

/// A request that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The body is not UTF-8; the number is the offset of the first bad byte.
    #[error("the body is not UTF-8 at byte {0}; send JSON in UTF-8")]
    Encoding(usize),
    /// The body is not JSON.
    #[error("the body is not JSON: {0}; send application/json")]
    Json(String),
    /// The id is not 1 to 256 visible ASCII characters. Names the header that has it.
    #[error("the id in {0} is not 1 to 256 visible ASCII characters")]
    Id(String),
    /// The model or event is longer than 256 bytes. Names which of the two.
    #[error("the {0} in the body is longer than 256 bytes")]
    Name(&'static str),
}

impl From<document::Error> for Malformed {
    fn from(error: document::Error) -> Self {
        Self::Json(match error {
            document::Error::Malformed(at) => format!("it goes wrong at byte {at}"),
            other => other.to_string(),
        })
    }
}
