//! Why a CEL expression cannot be used, or did not evaluate.

use thiserror::Error;

/// Why a CEL expression cannot be used, or did not evaluate. The message quotes the expression.
#[derive(Debug, Error)]
pub enum Error {
    /// The text is not CEL.
    #[error("{expression:?} is not a CEL expression: {reason}")]
    Syntax {
        /// The expression.
        expression: String,
        /// The parser's message, on one line.
        reason: String,
    },
    /// The expression names a variable that does not exist.
    #[error("{expression:?} uses {name:?}; an expression sees new, old, changed, event and owner")]
    UnknownVariable {
        /// The expression.
        expression: String,
        /// The name.
        name: String,
    },
    /// The expression is longer or deeper than is allowed.
    #[error("the expression is {how}; it may be of {bytes} bytes and {levels} levels")]
    TooLarge {
        /// `too long` or `too deep`.
        how: &'static str,
        /// The most bytes that are allowed.
        bytes: usize,
        /// The most levels of nesting that are allowed.
        levels: usize,
    },
    /// The expression cannot be evaluated on rows of this table, or gives no boolean.
    #[error("{expression:?} does not fit: {reason}")]
    Misfit {
        /// The expression.
        expression: String,
        /// What does not fit.
        reason: String,
    },
    /// Evaluating the expression on an event failed.
    #[error("{expression:?} failed: {reason}")]
    Failed {
        /// The expression.
        expression: String,
        /// The interpreter's message.
        reason: String,
    },
    /// The expression gave a value that is neither true nor false.
    #[error("{expression:?} gave {answer}, which is neither true nor false")]
    NotBoolean {
        /// The expression.
        expression: String,
        /// The type of the value.
        answer: String,
    },
}
