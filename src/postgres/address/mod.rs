//! Where a database is and how to log in to it: a libpq URL or key=value string, parsed and checked once.
//!
//! What the text leaves out comes from libpq's environment variables, then from libpq's defaults. Errors never repeat a
//! part of the text that could belong to a password: an unencoded `/` in a password moves the rest of it into other
//! fields.

mod host;
mod login;
mod mistake;
mod parameter;
mod service;
mod settings;
mod tls;

use std::{path::PathBuf, sync::Arc, time::Duration};

use self::settings::Settings;
pub use self::{
    host::Host,
    login::{Allowed, ChannelBinding, Keepalive, Method, Target},
    mistake::ParseError,
    tls::{Identity, Roots, Tls, TlsMode},
};
use super::password_command::PasswordCommand;
use crate::secret::Secret;

/// The checked address of one database: all there is to know about how to connect to it. Ordinary and replication
/// sessions obey it alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The hosts, tried in this order; never empty.
    pub hosts: Vec<Host>,
    /// Whether they are tried in a random order instead.
    pub shuffled: bool,
    /// The role to log in as.
    pub user: String,
    /// The role's password. `None`: the password file is read when a connection is made; without an entry there, the
    /// server is expected not to ask for one.
    pub password: Option<Secret>,
    /// The command that prints the password, if there is one. It is run for each connection.
    pub password_command: Option<Arc<PasswordCommand>>,
    /// The password file; `None` if there is no home folder that it could be in.
    pub passfile: Option<PathBuf>,
    /// The name of the database.
    pub database: String,
    /// How connections are encrypted and verified; unix sockets never are.
    pub tls: Tls,
    /// The user that must own the server behind a unix socket.
    pub peer: Option<String>,
    /// The limit for connecting to one IP address or socket; `None` leaves it to the operating system.
    pub connect_timeout: Option<Duration>,
    /// When a TCP connection counts as dead.
    pub keepalive: Keepalive,
    /// The `application_name` of every session, in place of the one that rowhook would choose.
    pub application_name: Option<String>,
    /// Settings for every session, written `-c name=value`.
    pub options: Option<String>,
    /// Which servers a session is wanted with. Others are passed over.
    pub target: Target,
    /// How a session is bound to its TLS connection.
    pub channel_binding: ChannelBinding,
    /// How the server may ask who we are.
    pub allowed: Allowed,
}

impl Address {
    /// Parses a URL (`postgresql://…`) or a key=value string. What it leaves out is taken from the environment.
    ///
    /// # Errors
    /// If the text is neither, has an unknown key, or asks for something that rowhook does not support.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, &|name| std::env::var(name).ok())
    }

    /// Parses a URL or a key=value string with other environment variables than those of the process.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ParseError> {
        let home = home(environment);
        let mut settings = Settings::read(text)?;
        service::add(&mut settings, home.as_ref(), environment)?;
        settings.add_environment(environment)?;
        let user = match settings.take("user") {
            Some(user) => user,
            None => system_user()?,
        };
        let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let fallback = settings.take("fallback_application_name");
        let address = Self {
            hosts: host::read(&mut settings)?,
            shuffled: login::shuffled(&mut settings)?,
            password: settings.take("password").map(Secret::new),
            password_command: None,
            passfile: settings
                .take("passfile")
                .map(PathBuf::from)
                .or_else(|| in_home(".pgpass")),
            database: settings.take("dbname").unwrap_or_else(|| user.clone()),
            tls: tls::read(&mut settings, in_home(".postgresql").as_deref())?,
            peer: settings.take("requirepeer"),
            connect_timeout: login::connect_timeout(&mut settings)?,
            keepalive: login::keepalive(&mut settings)?,
            application_name: settings.take("application_name").or(fallback),
            options: settings.take("options"),
            target: login::target(&mut settings)?,
            channel_binding: login::channel_binding(&mut settings)?,
            allowed: login::allowed(&mut settings)?,
            user,
        };
        if address.channel_binding == ChannelBinding::Require && !address.allowed.has(Method::Scram)
        {
            return mistake::mistake("channel_binding=require needs scram-sha-256 in require_auth");
        }
        Ok(address)
    }
}

/// The home folder, as libpq finds it.
fn home(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    match environment("HOME").filter(|home| !home.is_empty()) {
        Some(home) => Some(home.into()),
        None => Some(this_user()?.dir),
    }
}

fn system_user() -> Result<String, ParseError> {
    match this_user() {
        Some(user) => Ok(user.name),
        None => mistake::mistake("the database's address names no user"),
    }
}

fn this_user() -> Option<nix::unistd::User> {
    nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, ParseError> {
        Address::parse_with(text, &|name| (name == "PGUSER").then(|| "ada".into()))
    }

    fn tcp(name: &str, port: u16) -> Host {
        Host::Tcp {
            name: name.into(),
            port,
        }
    }

    #[test]
    fn a_url_is_read_as_libpq_reads_it() {
        let address = parse("postgresql://bob:p%40ss@db.example:6432/shop?sslmode=require&connect_timeout=3&application_name=x&options=-c%20a%3Db").unwrap();
        assert_eq!(address.hosts, [tcp("db.example", 6432)]);
        assert_eq!(address.user, "bob");
        assert_eq!(address.password.unwrap().expose(), "p@ss");
        assert_eq!(address.database, "shop");
        assert_eq!(address.tls.mode, TlsMode::Require);
        assert_eq!(address.connect_timeout, Some(Duration::from_secs(3)));
        assert_eq!(address.application_name.as_deref(), Some("x"));
        assert_eq!(address.options.as_deref(), Some("-c a=b"));
    }

    #[test]
    fn what_is_left_out_has_libpqs_defaults() {
        let address = parse("postgres://db").unwrap();
        assert_eq!(address.hosts, [tcp("db", 5432)]);
        assert_eq!(
            (address.user.as_str(), address.database.as_str()),
            ("ada", "ada")
        );
        assert_eq!(address.password, None);
        assert_eq!(address.tls.mode, TlsMode::Prefer);
    }

    #[test]
    fn hosts_are_names_addresses_lists_and_sockets() {
        let hosts = |text: &str| parse(text).unwrap().hosts;
        let socket = [Host::Unix {
            folder: "/run/pg".into(),
            port: 5433,
        }];
        assert_eq!(hosts("postgres://a:1,b:2/x"), [tcp("a", 1), tcp("b", 2)]);
        assert_eq!(hosts("postgres://[::1]:7/x"), [tcp("::1", 7)]);
        assert_eq!(hosts("postgres:///x?host=/run/pg&port=5433"), socket);
        assert_eq!(hosts("postgres://%2Frun%2Fpg:5433/x"), socket);
        assert_eq!(hosts("host=/run/pg port=5433"), socket);
        assert_eq!(hosts("postgres://[::1]:7/x")[0].to_string(), "[::1]:7");
    }

    #[test]
    fn a_unix_socket_is_localhost_in_the_password_file() {
        let host = |text: &str| {
            parse(text).unwrap().hosts[0]
                .in_password_file()
                .0
                .to_owned()
        };
        assert_eq!(host("postgres://eve@/x?host=/tmp"), "localhost");
        assert_eq!(host("postgres://eve@/x?host=/run/pg"), "/run/pg");
        assert_eq!(host("postgres://eve@db/x"), "db");
        assert_eq!(host("host=db hostaddr=10.0.0.1"), "db");
        assert_eq!(host("hostaddr=10.0.0.1"), "10.0.0.1");
    }

    #[test]
    fn pairs_may_be_quoted() {
        let address = parse(r"host = db password = 'it\'s a \\' dbname=shop").unwrap();
        assert_eq!(address.password.unwrap().expose(), r"it's a \");
        assert_eq!(address.database, "shop");
    }

    #[test]
    fn sslrootcert_makes_require_verify() {
        let tls = |query: &str| parse(&format!("postgres://db/x?{query}")).unwrap().tls;
        assert_eq!(
            tls("sslmode=require&sslrootcert=ca.pem").mode,
            TlsMode::VerifyCa
        );
        assert_eq!(tls("sslrootcert=system").mode, TlsMode::VerifyFull);
        assert_eq!(tls("sslrootcert=system").roots, Roots::System);
        assert_eq!(tls("sslmode=allow").mode, TlsMode::Allow);
        assert!(tls("sslrootcert=ca.pem").verifies());
        assert!(!tls("sslmode=require").verifies());
    }

    #[test]
    fn a_mistake_is_shown_in_one_line_without_the_password() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                error("mysql://db/x"),
                error("what"),
                error("postgres://u:hunter/2@db/x"),
                error("postgres://u@db/x?sslmode"),
                error("postgres://u@db/x?options=-c a=b"),
                error("postgres://u:a@b@db/x"),
                error("postgres://u:100%@db/x"),
                error("postgres://u:%+1@db/x"),
                error("postgres://db/x?sslmod=require"),
                error("postgres://db/x?sslcrldir=x"),
                error("postgres://db/x?sslmode=on"),
                error("postgres://db/x?sslrootcert=system&sslmode=require"),
                error("postgres://db/x?sslcert=a"),
                error("postgres://a,b/x?port=1,2,3"),
                error("host='db"),
            ]
            .join("\n"),
            @r"
        the URL of the database must begin with postgresql:// or postgres://
        the database's address is neither a URL (postgresql://…) nor key=value pairs
        the port of the database is not a number from 1 to 65535 (in a password, / ? # @ are percent-encoded)
        after the ? of the database's URL, each setting is written key=value
        a setting after the ? of the database's URL has a second = sign; write it %3D
        the host in the database's URL has an @ (in a password, / ? # @ are percent-encoded)
        the database's URL has a % that is not followed by two hex digits of UTF-8 (write %25 for a % sign)
        the database's URL has a % that is not followed by two hex digits of UTF-8 (write %25 for a % sign)
        the database's address has an unknown setting; did you mean sslmode?
        rowhook cannot do what the setting sslcrldir of a database's address asks for; name one file in sslcrl
        sslmode must be disable, allow, prefer, require, verify-ca or verify-full
        sslrootcert=system needs sslmode=verify-full: anyone can get a certificate from a public authority
        sslcert and sslkey are given together or not at all
        the database's address has 2 hosts but 3 ports
        a quoted value in the database's address has no closing quote
        "
        );
    }
}
