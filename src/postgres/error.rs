//! Errors of Postgres, for a person to read.

/// The message of an error in one line: the server's message with its hint, or else the error with its causes.
pub(crate) fn error_message(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        // The server has no hint for it, or one that would take the rule away from everybody.
        Some(error)
            if error
                .message()
                .contains("row-level security policy for table") =>
        {
            format!(
                "{} (run: alter role … bypassrls, for the role of [database] url)",
                error.message()
            )
        }
        Some(error) => match error.hint() {
            Some(hint) => format!("{} ({hint})", error.message()),
            None => error.message().to_owned(),
        },
        None => std::iter::successors(Some(error as &dyn std::error::Error), |error| {
            error.source()
        })
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": "),
    }
}
