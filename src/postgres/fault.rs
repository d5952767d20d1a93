//! What the error of a query means to whoever asked.

use tokio_postgres::{Error, error::SqlState};

/// What the error of a query means to whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The session is over. Another one may answer.
    Lost,
    /// The server cannot answer now: a lock, a time-out, a collision, or too little of something.
    ForNow,
    /// A row is the reason: one of its values cannot be cast, computed or decoded.
    Row,
    /// A table or column has another name now, or none.
    Renamed,
    /// Asked again, the server would answer the same.
    ForGood,
}

impl Fault {
    /// What this error means.
    pub fn of(error: &Error) -> Self {
        if let Some(state) = error.code() {
            return Self::of_state(state);
        }
        let source = std::error::Error::source(error);
        match source {
            // The driver could not read a value that the server sent, or write one that it was to send.
            Some(source) if !error.is_closed() && !source.is::<std::io::Error>() => Self::Row,
            // Without a word of the server, the connection is broken.
            Some(_) | None => Self::Lost,
        }
    }

    /// What this error means, of a query that runs code of users for many rows. Such code fails as it likes, for some
    /// of them or for all.
    pub fn of_code(error: &Error) -> Self {
        match (Self::of(error), error.code()) {
            // What the query names or may do is the same for all rows.
            (Self::ForGood, Some(state)) if !state.code().starts_with("42") => Self::Row,
            (fault, _) => fault,
        }
    }

    /// What an error with causes means. If none of them is of a query, a value was not understood.
    pub fn of_any(error: &anyhow::Error) -> Self {
        let cause = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Error>());
        cause.map_or(Self::Row, Self::of)
    }

    /// What an error with this SQLSTATE means.
    pub fn of_state(state: &SqlState) -> Self {
        match *state {
            SqlState::QUERY_CANCELED | SqlState::OPERATOR_INTERVENTION => Self::ForNow,
            SqlState::LOCK_NOT_AVAILABLE | SqlState::SNAPSHOT_TOO_OLD => Self::ForNow,
            // Some functions of the catalog say this of what is dropped just while they look at it.
            SqlState::INTERNAL_ERROR => Self::ForNow,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Lost,
            SqlState::UNDEFINED_COLUMN
            | SqlState::UNDEFINED_TABLE
            | SqlState::UNDEFINED_FUNCTION
            | SqlState::INVALID_SCHEMA_NAME => Self::Renamed,
            _ => match state.code().get(..2) {
                Some("08" | "57") => Self::Lost,
                // Transactions that collided, too little of a resource, and trouble of the operating system.
                Some("40" | "53" | "58") => Self::ForNow,
                Some("22" | "21") => Self::Row,
                _ => Self::ForGood,
            },
        }
    }

    /// Can it go away by itself?
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Lost | Self::ForNow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sqlstate_says_what_it_means() {
        for (code, fault) in [
            ("08006", Fault::Lost),
            ("57P01", Fault::Lost),
            ("57P03", Fault::Lost),
            ("25P03", Fault::Lost),
            ("57014", Fault::ForNow),
            ("55P03", Fault::ForNow),
            ("40001", Fault::ForNow),
            ("40P01", Fault::ForNow),
            ("53200", Fault::ForNow),
            ("53300", Fault::ForNow),
            ("58030", Fault::ForNow),
            ("XX000", Fault::ForNow),
            ("22P02", Fault::Row),
            ("22003", Fault::Row),
            ("22021", Fault::Row),
            ("21000", Fault::Row),
            ("42703", Fault::Renamed),
            ("42P01", Fault::Renamed),
            ("42883", Fault::Renamed),
            ("3F000", Fault::Renamed),
            ("42501", Fault::ForGood),
            ("42601", Fault::ForGood),
            ("42846", Fault::ForGood),
            ("55006", Fault::ForGood),
            ("25006", Fault::ForGood),
            ("XX001", Fault::ForGood),
            ("P0001", Fault::ForGood),
            ("", Fault::ForGood),
        ] {
            assert_eq!(Fault::of_state(&SqlState::from_code(code)), fault, "{code}");
        }
    }
}
