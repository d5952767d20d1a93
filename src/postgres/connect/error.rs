//! What kept a connection from opening, and what to do about it.

use std::{fmt, time::Duration};

use crate::postgres::quote;

/// What kept a connection from opening. It shows as one line: what happened where, and the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The host, as `name:port` or the socket's path.
    pub at: String,
    /// What happened.
    pub reason: Reason,
}

/// Why a connection did not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nobody answers there.
    Unreachable(String),
    /// Somebody answers, but not within connect_timeout.
    Silent(Duration),
    /// TLS was demanded and did not come about, or a file it needs is missing.
    Tls(String),
    /// A wrong password.
    Password {
        /// Of this role.
        user: String,
    },
    /// A password is wanted, and we have none.
    NoPassword {
        /// For this role.
        user: String,
    },
    /// There is no such role, or it may not log in.
    NoRole {
        /// The role.
        user: String,
    },
    /// There is no such database.
    NoDatabase {
        /// The database.
        database: String,
    },
    /// pg_hba.conf lets nobody in this way.
    NoEntry {
        /// The role.
        user: String,
        /// The database.
        database: String,
        /// We came without TLS.
        plain: bool,
    },
    /// max_connections is reached.
    Full,
    /// max_wal_senders is reached.
    NoSender,
    /// The role may not open a replication session.
    NoReplication {
        /// The role.
        user: String,
    },
    /// A pooler stands between us and the server.
    Pooler(String),
    /// A standby, where a primary was demanded.
    ReadOnly,
    /// The server is starting, stopping or recovering.
    NotNow(String),
    /// Anything else, in the server's words.
    Other(String),
}

impl Error {
    /// Can it go away by itself? If not, a person must act first.
    pub fn is_transient(&self) -> bool {
        match self.reason {
            Reason::Unreachable(_)
            | Reason::Silent(_)
            | Reason::Full
            | Reason::NoSender
            | Reason::ReadOnly
            | Reason::NotNow(_) => true,
            Reason::Tls(_)
            | Reason::Password { .. }
            | Reason::NoPassword { .. }
            | Reason::NoRole { .. }
            | Reason::NoDatabase { .. }
            | Reason::NoEntry { .. }
            | Reason::NoReplication { .. }
            | Reason::Pooler(_)
            | Reason::Other(_) => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.at;
        match &self.reason {
            Reason::Unreachable(told) => {
                write!(
                    f,
                    "cannot reach Postgres at {at}: {told}; is it running, and is the address in [database] url right?"
                )
            }
            Reason::Silent(limit) => {
                write!(
                    f,
                    "Postgres at {at} did not answer within {} s; is a firewall in between, or connect_timeout too short?",
                    limit.as_secs()
                )
            }
            Reason::Tls(told) => {
                write!(
                    f,
                    "no TLS with {at}: {told}; see sslmode and sslrootcert in [database] url"
                )
            }
            Reason::Password { user } => {
                write!(
                    f,
                    "{at} refuses the password of {user}; correct it in [database] url or PGPASSWORD"
                )
            }
            Reason::NoPassword { user } => {
                write!(
                    f,
                    "{at} wants a password for {user}; give it in [database] url or PGPASSWORD"
                )
            }
            Reason::NoRole { user } => {
                write!(
                    f,
                    "{at} has no role {user}; correct it in [database] url, or create it"
                )
            }
            Reason::NoDatabase { database } => {
                write!(
                    f,
                    "{at} has no database {database}; correct it in [database] url"
                )
            }
            Reason::NoEntry {
                user,
                database,
                plain,
            } => {
                let without = if *plain { " without TLS" } else { "" };
                let mend = if *plain {
                    ", or use sslmode=require"
                } else {
                    ""
                };
                write!(
                    f,
                    "{at} lets {user} not into {database} from here{without}; add a line to pg_hba.conf{mend}"
                )
            }
            Reason::Full => write!(
                f,
                "{at} has no connection left; raise max_connections, or close some"
            ),
            Reason::NoSender => write!(f, "{at} has no WAL sender left; raise max_wal_senders"),
            Reason::NoReplication { user } => {
                write!(
                    f,
                    "{user} may not replicate from {at}; run: alter role {} replication",
                    quote::name(user)
                )
            }
            Reason::Pooler(_) => {
                write!(
                    f,
                    "{at} is a pooler, which cannot carry a replication session; give the server's own port in [database] url"
                )
            }
            Reason::ReadOnly => write!(f, "{at} is a standby; rowhook needs the primary"),
            Reason::NotNow(told) | Reason::Other(told) => {
                write!(f, "{at} refuses the connection: {told}")
            }
        }
    }
}

impl std::error::Error for Error {}
