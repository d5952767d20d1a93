//! Opens connections to an [`Address`]. An error says in one line what went wrong and what to do about it.
//!
//! There are two kinds: ordinary sessions (tokio-postgres) and the replication connection (`replication`). Both take
//! the same address, so where one can log in, the other can too.

mod enter;
mod error;
mod handed;
mod login;
mod pooler;
pub mod session;
mod socket;

use std::{future::poll_fn, io};

use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, config::SslMode, error::SqlState};

use self::handed::Handed;
use super::{address::Address, failure::Failure};

pub use self::error::{Error, OLDEST, Reason, close_schema, open_schema};

/// The default name of the replication connection in pg_stat_replication. It tells rowhook's walsender from others.
pub const STREAM: &str = "rowhook";

/// A setting of every session that older versions than [`OLDEST`] do not know.
const SINCE_OLDEST: &str = "idle_session_timeout";

/// Errors of a connection that was cut off, which a server that restarts does at any point.
const BROKEN: [io::ErrorKind; 4] = [
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
];

/// The payloads of the notifications that a session receives after `LISTEN`.
pub type Notifications = mpsc::UnboundedReceiver<String>;

impl Address {
    /// Opens a session on the first host that accepts it, with the settings of [`session`].
    ///
    /// The connection runs in a task of its own, which ends with the client. `application_name` is the session's name
    /// in pg_stat_activity, unless the address has one.
    ///
    /// # Errors
    /// If no host accepts it: the error of the last one.
    pub async fn connect(&self, application_name: &str) -> Result<Client, Error> {
        Ok(self.connect_listening(application_name).await?.0)
    }

    /// Opens a session on the first host that accepts it, and returns the notifications that it receives until it ends.
    ///
    /// # Errors
    /// If no host accepts it: the error of the last one.
    pub async fn connect_listening(
        &self,
        application_name: &str,
    ) -> Result<(Client, Notifications), Error> {
        let options = session::options(self);
        let name = self.application_name.as_deref().unwrap_or(application_name);
        let startup = [("application_name", name), ("options", options.as_str())];
        let entered = self.enter(&startup, false).await?;
        let failed = |error: &tokio_postgres::Error| self.error(self.reason(error));
        // The login is behind us, and so are TLS and whatever else the address demands.
        let config = Config::new()
            .user(&self.user)
            .dbname(&self.database)
            .ssl_mode(SslMode::Disable)
            .to_owned();
        let connected = config.connect_raw(Handed::from(entered), NoTls).await;
        let (client, mut connection) = connected.map_err(|error| failed(&error))?;
        let version = connection.parameter("server_version").map(str::to_owned);
        let major = version.as_deref().and_then(session::major);
        if major.is_some_and(|major| major < OLDEST) {
            return Err(self.error(Reason::TooOld { version }));
        }
        let (payloads, notifications) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                match message {
                    // The receiver is gone for sessions without LISTEN.
                    Ok(AsyncMessage::Notification(notification)) => {
                        let _ = payloads.send(notification.payload().to_owned());
                    }
                    Ok(AsyncMessage::Notice(notice)) => {
                        tracing::debug!(%notice, "Postgres has a remark");
                    }
                    Ok(_) => {}
                    // Not an error here: each pending query fails with it, and is handled where it was sent.
                    Err(error) => {
                        tracing::debug!(%error, "a connection to Postgres ended");
                        return;
                    }
                }
            }
        });
        let own = pooler::keeps_session(&client).await;
        if !own.map_err(|error| failed(&error))? {
            return Err(self.error(Reason::Pooler("it keeps no settings of a session".into())));
        }
        let settled = session::settle(&client, major).await;
        settled.map_err(|error| failed(&error))?;
        Ok((client, notifications))
    }

    /// The name of the replication connection in pg_stat_replication.
    pub fn stream_name(&self) -> &str {
        self.application_name.as_deref().unwrap_or(STREAM)
    }

    /// The reason why a session did not open.
    pub(super) fn refused(&self, failure: Failure, replication: bool) -> Reason {
        match failure {
            Failure::Io(error) => Reason::Unreachable(error.to_string()),
            Failure::Tls(message) => Reason::Tls(message),
            Failure::Refused { code, message } => self.refusal(&code, &message, replication),
            Failure::NoPassword => Reason::NoPassword {
                user: self.user.clone(),
            },
            Failure::Standby => Reason::ReadOnly,
            Failure::NoStandby => Reason::NoStandby,
            Failure::Demand(cause) => Reason::Demanded(cause),
            Failure::Protocol(message) => Reason::Other(message),
        }
    }

    fn reason(&self, error: &tokio_postgres::Error) -> Reason {
        if let Some(refused) = error.as_db_error() {
            return self.refusal(refused.code().code(), refused.message(), false);
        }
        let causes: Vec<String> =
            std::iter::successors(std::error::Error::source(error), |cause| cause.source())
                .map(ToString::to_string)
                .collect();
        let message = causes.last().cloned().unwrap_or_else(|| error.to_string());
        let io =
            std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
        let broken = io.is_some_and(|io| BROKEN.contains(&io.kind()));
        if error.is_closed() || broken {
            return Reason::Unreachable(message);
        }
        match io {
            Some(_) => Reason::Unreachable(message),
            None => Reason::Other(message),
        }
    }

    /// The reason for an error that the server answered with.
    fn refusal(&self, code: &str, message: &str, replication: bool) -> Reason {
        let user = self.user.clone();
        let database = self.database.clone();
        let message = message.lines().next().unwrap_or(message).to_owned();
        match SqlState::from_code(code) {
            _ if pooler::refuses(&message) => Reason::Pooler(message),
            // Postgres 13 and older do not know a setting of our sessions, and say so before they say their version.
            SqlState::UNDEFINED_OBJECT if message.contains(SINCE_OLDEST) => {
                Reason::TooOld { version: None }
            }
            SqlState::INVALID_PASSWORD => Reason::Password { user },
            SqlState::INVALID_CATALOG_NAME => Reason::NoDatabase { database },
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION if message.contains("does not exist") => {
                Reason::NoRole { user }
            }
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION if message.contains("pg_hba.conf") => {
                Reason::NoEntry {
                    user,
                    database,
                    plain: message.contains("no encryption"),
                }
            }
            SqlState::TOO_MANY_CONNECTIONS
                if replication && message.contains("max_wal_senders") =>
            {
                Reason::NoSender
            }
            SqlState::TOO_MANY_CONNECTIONS => Reason::Full,
            SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
                Reason::NotNow(message)
            }
            SqlState::INSUFFICIENT_PRIVILEGE if replication => Reason::NoReplication { user },
            _ => Reason::Other(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse_with(text, &|_| None).unwrap()
    }

    #[test]
    fn a_server_that_does_not_know_our_settings_is_too_old() {
        let message = r#"unrecognized configuration parameter "idle_session_timeout""#;
        let reason = address("postgres://u@db/d").refusal("42704", message, false);
        let at = "db:5432".to_owned();
        assert_eq!(
            Error { at, reason }.to_string(),
            "Postgres at db:5432 is too old; rowhook needs Postgres 14 or newer"
        );
    }

    #[test]
    fn a_refused_replication_session_names_the_remedy() {
        let address = address("postgres://u:hunter2@db/d");
        let shown = |code: &str, message: &str| {
            let (code, message) = (code.to_owned(), message.to_owned());
            let reason = address.refused(Failure::Refused { code, message }, true);
            let at = "db:5432".to_owned();
            Error { at, reason }.to_string()
        };
        assert_eq!(
            shown("08P01", "unsupported startup parameter: replication"),
            "db:5432 is a pooler, which cannot carry a replication session; give the server's own port in [database] url"
        );
        assert_eq!(
            shown("42501", "permission denied to start WAL sender"),
            "u may not replicate from db:5432; run: alter role \"u\" replication"
        );
        assert_eq!(
            shown(
                "53300",
                "number of requested standby connections exceeds \"max_wal_senders\" (currently 1)"
            ),
            "db:5432 has no WAL sender left; raise max_wal_senders"
        );
    }
}
