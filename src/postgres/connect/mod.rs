//! Opens connections to an [`Address`], and says in one line what kept it from doing so and what to do about that.
//!
//! There are two kinds: ordinary sessions (tokio-postgres) and the replication session (pgwire-replication). Both take the
//! same address, so what one can enter, the other can too.

mod error;

use std::{future::poll_fn, io};

use pgwire_replication::{PgWireError, ReplicationConfig, SslMode, TlsConfig};
use tokio::sync::mpsc;
use tokio_postgres::{
    AsyncMessage, Client, Config,
    config::{ChannelBinding, TargetSessionAttrs},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    address::{Address, Host, TlsMode},
    tls,
};

pub use self::error::{Error, Reason};

/// The name of the replication session in pg_stat_replication. It tells our own walsender from somebody else's.
pub const STREAM: &str = "rowhook";

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
        let mut last = None;
        for host in &self.hosts {
            match self.connect_to(host, application_name).await {
                Ok(connected) => return Ok(connected),
                Err(error) => last = Some(error),
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
    ) -> Result<(Client, Notifications), Error> {
        let failed = |reason| Error {
            at: host.to_string(),
            reason,
        };
        let rustls = tls::client(&self.tls).map_err(|told| failed(Reason::Tls(told)))?;
        let session = self.session(host, application_name);
        let connecting = session.connect(MakeRustlsConnect::new(rustls));
        // Around all of it: tokio-postgres' own limit ends when the socket is open, and a server can fall silent after.
        let connected = match self.connect_timeout {
            Some(limit) => tokio::time::timeout(limit, connecting)
                .await
                .map_err(|_| failed(Reason::Silent(limit)))?,
            None => connecting.await,
        };
        let (client, mut connection) = connected.map_err(|error| failed(self.reason(&error)))?;
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
        if let Some(password) = &self.password {
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

    /// What a replication session on the first host is opened with. `options` (`-c name=value …`) come after those of the
    /// address and so override them; buffers and intervals are the caller's to set.
    pub fn replication(
        &self,
        slot: &str,
        publications: Vec<String>,
        options: &str,
    ) -> ReplicationConfig {
        let (host, port) = match self.hosts.first() {
            Some(Host::Tcp { name, port }) => (name.clone(), *port),
            Some(Host::Unix { folder, port }) => (folder.display().to_string(), *port),
            None => (String::new(), 5432),
        };
        let ours = self.options.as_deref().unwrap_or_default();
        let options = format!("{ours} {options}");
        let config = ReplicationConfig::new(
            host.clone(),
            &self.user,
            self.password
                .as_ref()
                .map_or("", |password| password.expose()),
            &self.database,
            slot,
            publications,
        )
        .with_port(port)
        .with_tls(self.replication_tls(&host))
        .with_application_name(self.stream_name());
        match options.trim() {
            "" => config,
            options => config.with_options(options),
        }
    }

    /// What the replication session is called in pg_stat_replication.
    pub fn stream_name(&self) -> &str {
        self.application_name.as_deref().unwrap_or(STREAM)
    }

    fn replication_tls(&self, host: &str) -> TlsConfig {
        let mode = match self.tls.mode {
            _ if host.starts_with('/') => SslMode::Disable,
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require => SslMode::Require,
            TlsMode::VerifyCa => SslMode::VerifyCa,
            TlsMode::VerifyFull => SslMode::VerifyFull,
        };
        let (certificate, key) = self.tls.identity.clone().unzip();
        TlsConfig {
            mode,
            ca_pem_path: self.tls.roots.clone(),
            // Said out loud because the library takes a bare IP address for an oversight; a certificate may well have one.
            sni_hostname: (mode == SslMode::VerifyFull).then(|| host.to_owned()),
            client_cert_pem_path: certificate,
            client_key_pem_path: key,
        }
    }

    /// Says what kept a replication session from opening.
    pub fn replication_error(&self, error: &PgWireError) -> Error {
        let at = match self.hosts.first() {
            Some(host) => host.to_string(),
            None => String::new(),
        };
        let reason = match error {
            PgWireError::Io(error) => Reason::Unreachable(error.to_string()),
            PgWireError::Tls(told)
                if self.tls.mode == TlsMode::VerifyCa && told.contains("not valid for name") =>
            {
                Reason::Tls(format!(
                    "{told} (in a replication session, verify-ca checks the name too: use a name of the certificate as host)"
                ))
            }
            PgWireError::Tls(told) => Reason::Tls(told.clone()),
            PgWireError::Server(told) | PgWireError::Auth(told) => {
                self.refusal(sqlstate(told), told, true)
            }
            other => Reason::Other(other.to_string()),
        };
        Error { at, reason }
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
            SqlState::CANNOT_CONNECT_NOW => Reason::NotNow(told),
            SqlState::INSUFFICIENT_PRIVILEGE if replication => Reason::NoReplication { user },
            _ => Reason::Other(told),
        }
    }
}

/// pgwire-replication keeps the code in its text: `… (SQLSTATE 28P01)`.
fn sqlstate(told: &str) -> &str {
    told.split_once("SQLSTATE ")
        .and_then(|(_, rest)| rest.get(..5))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse_with(text, &|_| None).unwrap()
    }

    #[test]
    fn both_kinds_of_session_demand_the_same() {
        let address = address(
            "postgres://u:p@10.0.0.1/d?sslmode=verify-full&sslrootcert=/ca.pem&options=-c%20a%3Db",
        );
        let config = address.replication("s", vec!["p".into(), "p_inserts".into()], "-c c=d");
        assert_eq!(config.tls.mode, SslMode::VerifyFull);
        assert_eq!(config.tls.sni_hostname.as_deref(), Some("10.0.0.1"));
        assert_eq!(config.options.as_deref(), Some("-c a=b -c c=d"));
        assert_eq!(config.publication.names(), ["p", "p_inserts"]);
        assert_eq!(config.application_name.as_deref(), Some("rowhook"));
    }

    #[test]
    fn a_socket_has_no_tls() {
        let address = address("postgres://u@/d?host=/run/pg&sslmode=require");
        let config = address.replication("s", vec!["p".into()], "");
        assert_eq!(config.tls.mode, SslMode::Disable);
        assert!(config.is_unix_socket());
    }

    #[test]
    fn a_refused_replication_session_names_the_mend() {
        let address = address("postgres://u:hunter2@db/d");
        let told = |text: &str| {
            address
                .replication_error(&PgWireError::Server(text.into()))
                .to_string()
        };
        assert_eq!(
            told("unsupported startup parameter: replication (SQLSTATE 08P01)"),
            "db:5432 is a pooler, which cannot carry a replication session; give the server's own port in [database] url"
        );
        assert_eq!(
            told("permission denied to start WAL sender (SQLSTATE 42501)"),
            "u may not replicate from db:5432; run: alter role \"u\" replication"
        );
        assert_eq!(
            told(
                "number of requested standby connections exceeds \"max_wal_senders\" (currently 1) (SQLSTATE 53300)"
            ),
            "db:5432 has no WAL sender left; raise max_wal_senders"
        );
    }
}
