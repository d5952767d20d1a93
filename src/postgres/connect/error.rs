//! Why a connection could not be opened, and what to do about it.

use std::{borrow::Cow, fmt, time::Duration};

use super::pooler;
use crate::postgres::{password_command::NoPassword, quote};

/// The oldest version of Postgres that rowhook works with.
pub const OLDEST: u32 = 14;

/// Why a connection could not be opened. It is displayed in one line: what happened at which host, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The host, as `name:port` or the path of its socket.
    pub at: String,
    /// What happened there.
    pub reason: Reason,
}

/// What happened when a connection was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nothing answers at the host's address.
    Unreachable(String),
    /// The connection was not open within this connect_timeout.
    Silent(Duration),
    /// TLS is required and could not be established, or a file that it needs cannot be used.
    Tls(String),
    /// The password is wrong.
    Password {
        /// The role.
        user: String,
    },
    /// The server asks for a password, and the address has none.
    NoPassword {
        /// The role.
        user: String,
    },
    /// There is no such role.
    NoRole {
        /// The role.
        user: String,
    },
    /// There is no such database.
    NoDatabase {
        /// The database.
        database: String,
    },
    /// No line of pg_hba.conf admits the connection.
    NoEntry {
        /// The role.
        user: String,
        /// The database.
        database: String,
        /// Whether the connection was not encrypted.
        plain: bool,
    },
    /// All connections are in use (max_connections).
    Full,
    /// All WAL senders are in use (max_wal_senders).
    NoSender,
    /// The role lacks the attribute REPLICATION.
    NoReplication {
        /// The role.
        user: String,
    },
    /// A connection pooler answers, which does not carry a session as it is.
    Pooler(String),
    /// The server is a standby, and the address requires a primary.
    ReadOnly,
    /// The server is no standby, and the address requires one.
    NoStandby,
    /// The server or the login is not what the address demands.
    Demanded(String),
    /// `password_command` brought no password.
    NoCommand(NoPassword),
    /// The server is older than rowhook can work with.
    TooOld {
        /// Its version, as far as it told.
        version: Option<String>,
    },
    /// Others may create in rowhook's schema, and would have us run what they make.
    OpenSchema {
        /// The schema.
        schema: String,
        /// Who may create there.
        creators: Vec<String>,
    },
    /// The server is starting, stopping or recovering, in its own words.
    NotNow(String),
    /// Anything else, in the words of the server or of the client library.
    Other(String),
}

impl Error {
    /// Whether it can go away by itself, so that trying again makes sense. If not, a person must act first.
    pub fn is_transient(&self) -> bool {
        match &self.reason {
            Reason::NoCommand(cause) => cause.is_transient(),
            Reason::Unreachable(_)
            | Reason::Silent(_)
            | Reason::Full
            | Reason::NoSender
            | Reason::ReadOnly
            | Reason::NoStandby
            | Reason::NotNow(_) => true,
            Reason::Tls(_)
            | Reason::Password { .. }
            | Reason::NoPassword { .. }
            | Reason::NoRole { .. }
            | Reason::NoDatabase { .. }
            | Reason::NoEntry { .. }
            | Reason::NoReplication { .. }
            | Reason::Pooler(_)
            | Reason::Demanded(_)
            | Reason::TooOld { .. }
            | Reason::OpenSchema { .. }
            | Reason::Other(_) => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason.what(&self.at))?;
        match self.reason.remedy(&self.at) {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl Reason {
    /// Whether another host may still let us in, as libpq sees it. What a server refuses is refused by all.
    pub(super) fn is_of_host(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::Silent(_)
                | Self::NotNow(_)
                | Self::ReadOnly
                | Self::NoStandby
        )
    }

    /// What happened at this host.
    fn what(&self, at: &str) -> String {
        match self {
            Self::Unreachable(cause) => format!("cannot reach Postgres at {at}: {cause}"),
            Self::Silent(limit) => format!(
                "Postgres at {at} did not answer within {} s",
                limit.as_secs()
            ),
            Self::Tls(cause) => format!("no TLS with {at}: {cause}"),
            Self::Password { user } => format!("{at} refuses the password of {user}"),
            Self::NoPassword { user } => format!("{at} wants a password for {user}"),
            Self::NoRole { user } => format!("{at} has no role {user}"),
            Self::NoDatabase { database } => format!("{at} has no database {database}"),
            Self::NoEntry {
                user,
                database,
                plain,
            } => {
                let without = if *plain { " without TLS" } else { "" };
                format!("{at} lets {user} not into {database} from here{without}")
            }
            Self::Full => format!("{at} has no connection left"),
            Self::NoSender => format!("{at} has no WAL sender left"),
            Self::NoReplication { user } => format!("{user} may not replicate from {at}"),
            Self::Pooler(_) => {
                format!("{at} is a pooler, which cannot carry a replication session")
            }
            Self::ReadOnly => format!("{at} is a standby"),
            Self::NoStandby => format!("{at} is no standby, which target_session_attrs asks for"),
            Self::Demanded(cause) => format!("{at} is not logged in to: {cause}"),
            Self::NoCommand(cause) => format!("no password for {at}: {cause}"),
            Self::TooOld {
                version: Some(version),
            } => {
                format!("Postgres at {at} is version {version}, which is too old")
            }
            Self::TooOld { version: None } => format!("Postgres at {at} is too old"),
            Self::OpenSchema { schema, creators } => open_schema(schema, creators),
            Self::NotNow(cause) | Self::Other(cause) => {
                format!("{at} refuses the connection: {cause}")
            }
        }
    }

    /// What to do about it; `None` if only the words of the server can say.
    fn remedy(&self, at: &str) -> Option<Cow<'static, str>> {
        let remedy = match self {
            Self::Unreachable(_) => "is it running, and is the address in [database] url right?",
            Self::Silent(_) => "is a firewall in between, or connect_timeout too short?",
            Self::Tls(_) => "see sslmode and sslrootcert in [database] url",
            Self::Password { .. } => "correct it in [database] url or PGPASSWORD",
            Self::NoPassword { .. } => "give it in [database] url or PGPASSWORD",
            Self::NoRole { .. } => "correct it in [database] url, or create it",
            Self::NoDatabase { .. } => "correct it in [database] url",
            Self::NoEntry { plain: true, .. } => {
                "add a line to pg_hba.conf, or use sslmode=require"
            }
            Self::NoEntry { plain: false, .. } => "add a line to pg_hba.conf",
            Self::Full => "raise max_connections, or close some",
            Self::NoSender => "raise max_wal_senders",
            Self::NoReplication { user } => {
                return Some(format!("run: alter role {} replication", quote::name(user)).into());
            }
            Self::Pooler(_) => pooler::way_around(at),
            Self::ReadOnly => "rowhook needs the primary",
            Self::NoStandby => "name one, or leave target_session_attrs out",
            Self::Demanded(_) => {
                "see require_auth, channel_binding and requirepeer in [database] url"
            }
            Self::NoCommand(_) => "run [database] password_command by hand",
            Self::TooOld { .. } => {
                return Some(format!("rowhook needs Postgres {OLDEST} or newer").into());
            }
            Self::OpenSchema { schema, creators } => {
                return Some(close_schema(schema, creators).into());
            }
            Self::NotNow(_) | Self::Other(_) => return None,
        };
        Some(remedy.into())
    }
}

/// Stands for all roles, as in SQL, where no role can have this name.
const EVERYONE: &str = "public";

/// What is wrong with a schema that `creators` may create in.
pub fn open_schema(schema: &str, creators: &[String]) -> String {
    let who = creators.iter().map(|role| match role.as_str() {
        EVERYONE => "every role",
        role => role,
    });
    let who = who.collect::<Vec<_>>().join(", ");
    format!("{who} may create in the schema {schema}, and rowhook would run what is made there")
}

/// How to keep `creators` from creating in a schema.
pub fn close_schema(schema: &str, creators: &[String]) -> String {
    let roles = creators.iter().map(|role| match role.as_str() {
        EVERYONE => EVERYONE.to_owned(),
        role => quote::name(role),
    });
    let roles = roles.collect::<Vec<_>>().join(", ");
    format!(
        "run: revoke create on schema {} from {roles}; or set [database] schema to one of its own",
        quote::name(schema)
    )
}
