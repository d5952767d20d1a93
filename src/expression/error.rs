//! Why a CEL expression cannot be used, or did not evaluate.

use thiserror::Error;

/// The most characters of an expression in what is logged and recorded of each event that it fails on.
const SHOWN: usize = 200;

/// Why a CEL expression cannot be used, or did not evaluate. The message quotes the expression.
#[derive(Debug, Clone, Error)]
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
    #[error("{:?} failed: {reason}", beginning(.expression))]
    Failed {
        /// The expression.
        expression: String,
        /// The interpreter's message.
        reason: String,
    },
    /// The expression gave a value that is neither true nor false.
    #[error("{:?} gave {answer}, which is neither true nor false", beginning(.expression))]
    NotBoolean {
        /// The expression.
        expression: String,
        /// The type of the value.
        answer: String,
    },
}

/// An expression as far as it is shown. It may be of thousands of characters, and fail on every event.
fn beginning(expression: &str) -> String {
    match expression.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", expression.get(..end).unwrap_or_default()),
        None => expression.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_expression_that_failed_is_shown_in_part() {
        for (expression, shown) in [
            ("new.n > 1".to_owned(), "new.n > 1".to_owned()),
            ("ö".repeat(200), "ö".repeat(200)),
            ("ö".repeat(201), format!("{}…", "ö".repeat(200))),
        ] {
            let reason = "no".to_owned();
            let error = Error::Failed { expression, reason };
            assert_eq!(error.to_string(), format!("{shown:?} failed: no"));
        }
    }
}
