//! Opens connections to an [`Address`], and says in one line what kept it from doing so and what to do about that.
//!
//! There are two kinds: ordinary sessions (tokio-postgres) and the replication session (`replication`). Both take the same
//! address, so what one can enter, the other can too.

mod error;

use std::{future::poll_fn, io, time::Duration};

use tokio::sync::mpsc;
use tokio_postgres::{
    AsyncMessage, Client, Config,
    config::{ChannelBinding, TargetSessionAttrs},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    address::{Address, Host, TlsMode},
    replication::Failure,
    tls,
};

pub use self::error::{Error, Reason};

/// The name of the replication session in pg_stat_replication. It tells our own walsender from somebody else's.
pub const STREAM: &str = "rowhook";

/// After so long without a word the other end is asked whether it is there.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(30);
/// So long may what we send stay without an answer of the other end's system.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// Somebody has hung up, which a server that is restarted does at any point.
const BROKEN: [io::ErrorKind; 4] = [
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
];

/// What `NOTIFY` says to a session that listens.
pub type Notifications = mpsc::UnboundedReceiver<String>;

impl Address {
    /// Opens a session, on the first of the hosts that lets us in.
    ///
    /// The connection lives in a task of its own and ends with the client. `application_name` is what the session is called
    /// in pg_stat_activity, unless the address names one.
    ///
    /// # Errors
    /// What the last host answered.
    pub async fn connect(&self, application_name: &str) -> Result<Client, Error> {
        Ok(self.connect_hearing(application_name).await?.0)
    }

    /// Opens a session, and with it what the server notifies it of: the payloads, until the session ends.
    ///
    /// # Errors
    /// What the last host answered.
    pub async fn connect_hearing(
        &self,
        application_name: &str,
    ) -> Result<(Client, Notifications), Error> {
        self.on_first_host(|host| self.connect_to(host, application_name))
            .await
    }

    /// What `open` makes of the first of the hosts that lets us in, each within `connect_timeout`.
    ///
    /// # Errors
    /// What the last host answered.
    pub(super) async fn on_first_host<'a, T, F>(
        &'a self,
        open: impl Fn(&'a Host) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Reason>>,
    {
        let mut last = None;
        for host in &self.hosts {
            let opening = open(host);
            let opened = match self.connect_timeout {
                Some(limit) => tokio::time::timeout(limit, opening)
                    .await
                    .unwrap_or(Err(Reason::Silent(limit))),
                None => opening.await,
            };
            match opened {
                Ok(opened) => return Ok(opened),
                Err(reason) => {
                    let at = host.to_string();
                    last = Some(Error { at, reason });
                }
            }
        }
        Err(last.unwrap_or_else(|| Error {
            at: self.database.clone(),
            reason: Reason::Other("the address has no host".into()),
        }))
    }

    async fn connect_to(
        &self,
        host: &Host,
        application_name: &str,
    ) -> Result<(Client, Notifications), Reason> {
        let rustls = tls::client(&self.tls).map_err(Reason::Tls)?;
        let session = self.session(host, application_name);
        let connected = session.connect(MakeRustlsConnect::new(rustls)).await;
        let (client, mut connection) = connected.map_err(|error| self.reason(&error))?;
        let (heard, notifications) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                match message {
                    // Most sessions listen to nothing, and nobody listens to them.
                    Ok(AsyncMessage::Notification(notification)) => {
                        let _ = heard.send(notification.payload().to_owned());
                    }
                    Ok(AsyncMessage::Notice(notice)) => {
                        tracing::debug!(%notice, "Postgres has a remark");
                    }
                    Ok(_) => {}
                    // Each pending query fails with the same error, where it is handled.
                    Err(error) => {
                        tracing::debug!(%error, "a connection to Postgres ended");
                        return;
                    }
                }
            }
        });
        Ok((client, notifications))
    }

    fn session(&self, host: &Host, application_name: &str) -> Config {
        let mut config = Config::new();
        config
            .user(&self.user)
            .dbname(&self.database)
            .keepalives_idle(KEEPALIVE)
            .keepalives_interval(KEEPALIVE / 3)
            .keepalives_retries(3)
            .tcp_user_timeout(SILENCE)
            .application_name(self.application_name.as_deref().unwrap_or(application_name))
            .ssl_mode(match self.tls.mode {
                TlsMode::Disable => tokio_postgres::config::SslMode::Disable,
                TlsMode::Prefer => tokio_postgres::config::SslMode::Prefer,
                TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
                    tokio_postgres::config::SslMode::Require
                }
            });
        match host {
            Host::Tcp { name, port } => config.host(name).port(*port),
            Host::Unix { folder, port } => config
                .host_path(folder)
                .port(*port)
                .ssl_mode(tokio_postgres::config::SslMode::Disable),
        };
        if let Some(password) = self.find_password() {
            config.password(password.expose());
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        if self.read_write {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if self.channel_binding {
            config.channel_binding(ChannelBinding::Require);
        }
        config
    }

    /// What the replication session is called in pg_stat_replication.
    pub fn stream_name(&self) -> &str {
        self.application_name.as_deref().unwrap_or(STREAM)
    }

    /// Why a replication session did not open.
    pub(super) fn refused(&self, failure: Failure) -> Reason {
        match failure {
            Failure::Io(error) => Reason::Unreachable(error.to_string()),
            Failure::Tls(told) => Reason::Tls(told),
            Failure::Refused { code, told } => self.refusal(&code, &told, true),
            Failure::NoPassword => Reason::NoPassword {
                user: self.user.clone(),
            },
            Failure::ReadOnly => Reason::ReadOnly,
            Failure::Unlike(told) => Reason::Other(told),
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
        let told = causes.last().cloned().unwrap_or_else(|| error.to_string());
        let io =
            std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
        let broken = io.is_some_and(|io| BROKEN.contains(&io.kind()));
        if error.is_closed() || broken {
            return Reason::Unreachable(told);
        }
        match error.to_string().split(':').next() {
            Some("error performing TLS handshake") => Reason::Tls(told),
            Some("invalid configuration") if told.contains("password") => Reason::NoPassword {
                user: self.user.clone(),
            },
            _ if io.is_some_and(|io| {
                io.kind() == io::ErrorKind::PermissionDenied && self.read_write
            }) =>
            {
                Reason::ReadOnly
            }
            _ if io.is_some() => Reason::Unreachable(told),
            _ => Reason::Other(told),
        }
    }

    /// What the server means by refusing us.
    fn refusal(&self, code: &str, told: &str, replication: bool) -> Reason {
        let user = self.user.clone();
        let database = self.database.clone();
        let told = told.lines().next().unwrap_or(told).to_owned();
        match SqlState::from_code(code) {
            _ if told.contains("unsupported startup parameter") => Reason::Pooler(told),
            SqlState::INVALID_PASSWORD => Reason::Password { user },
            SqlState::INVALID_CATALOG_NAME => Reason::NoDatabase { database },
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION if told.contains("does not exist") => {
                Reason::NoRole { user }
            }
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION if told.contains("pg_hba.conf") => {
                Reason::NoEntry {
                    user,
                    database,
                    plain: told.contains("no encryption"),
                }
            }
            SqlState::TOO_MANY_CONNECTIONS if replication && told.contains("max_wal_senders") => {
                Reason::NoSender
            }
            SqlState::TOO_MANY_CONNECTIONS => Reason::Full,
            SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
                Reason::NotNow(told)
            }
            SqlState::INSUFFICIENT_PRIVILEGE if replication => Reason::NoReplication { user },
            _ => Reason::Other(told),
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
    fn a_refused_replication_session_names_the_mend() {
        let address = address("postgres://u:hunter2@db/d");
        let told = |code: &str, told: &str| {
            let (code, told) = (code.to_owned(), told.to_owned());
            let reason = address.refused(Failure::Refused { code, told });
            let at = "db:5432".to_owned();
            Error { at, reason }.to_string()
        };
        assert_eq!(
            told("08P01", "unsupported startup parameter: replication"),
            "db:5432 is a pooler, which cannot carry a replication session; give the server's own port in [database] url"
        );
        assert_eq!(
            told("42501", "permission denied to start WAL sender"),
            "u may not replicate from db:5432; run: alter role \"u\" replication"
        );
        assert_eq!(
            told(
                "53300",
                "number of requested standby connections exceeds \"max_wal_senders\" (currently 1)"
            ),
            "db:5432 has no WAL sender left; raise max_wal_senders"
        );
    }
}
