//! Where a database is and how to log in to it: a libpq URL or key=value string, parsed and checked once.
//!
//! What the text leaves out comes from libpq's environment variables, then from libpq's defaults. Errors never repeat a
//! part of the text that could belong to a password: an unencoded `/` in a password moves the rest of it into other
//! fields.

use std::{borrow::Cow, collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use percent_encoding::percent_decode_str;

use super::passfile::{self, Login};
use crate::nearest::nearest;
use crate::secret::Secret;

/// The checked address of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The hosts, tried in this order; never empty.
    pub hosts: Vec<Host>,
    /// The role to log in as.
    pub user: String,
    /// The role's password. `None`: the password file is read when a connection is made; without an entry there, the
    /// server is expected not to ask for one.
    pub password: Option<Secret>,
    /// The name of the database.
    pub database: String,
    /// How connections are encrypted and verified; unix sockets never are.
    pub tls: Tls,
    /// The limit for connecting to one host; `None` leaves it to the operating system.
    pub connect_timeout: Option<Duration>,
    /// The `application_name` of every session, in place of the one that rowhook would choose.
    pub application_name: Option<String>,
    /// Settings for every session, written `-c name=value`.
    pub options: Option<String>,
    /// Whether a host that does not accept writes is passed over.
    pub read_write: bool,
    /// Whether `channel_binding=require` is set. The replication connection does not support channel binding.
    pub channel_binding: bool,
}

/// One host to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A host that is reached by TCP.
    Tcp {
        /// A DNS name or an IP address; IPv6 without brackets.
        name: String,
        /// The TCP port, 5432 by default.
        port: u16,
    },
    /// A unix socket on this machine.
    Unix {
        /// The folder of the socket, as an absolute path.
        folder: PathBuf,
        /// The port, which is part of the socket's file name.
        port: u16,
    },
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Self::Tcp { name, port } => write!(f, "{name}:{port}"),
            Self::Unix { folder, port } => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
        }
    }
}

/// `sslmode` and the files that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// What is required of the connection.
    pub mode: TlsMode,
    /// PEM file of the trusted certificate authorities; `None` means those of Mozilla, which are built in.
    pub roots: Option<PathBuf>,
    /// PEM files of the client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What `sslmode` requires of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it, without verification. `allow` is read as this too, since it differs only in what is
    /// tried first.
    Prefer,
    /// TLS always, without verification.
    Require,
    /// The certificate must come from a trusted authority. As in libpq, `require` with an `sslrootcert` means this.
    VerifyCa,
    /// The certificate must come from a trusted authority and be issued for the host's name.
    VerifyFull,
}

/// Why a text is not an address, in one line that repeats nothing secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

fn mistake<T>(text: impl Into<String>) -> Result<T, ParseError> {
    Err(ParseError(text.into()))
}

impl Address {
    /// Parses a URL (`postgresql://…`) or a key=value string. What it leaves out is taken from the environment.
    ///
    /// # Errors
    /// If the text is neither, has an unknown key, or asks for something that rowhook does not support.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, &|name| std::env::var(name).ok())
    }

    /// The password to log in with: the address's own or, if it has none, that of the password file as it is now.
    pub(super) fn find_password(&self) -> Option<Cow<'_, Secret>> {
        match &self.password {
            Some(password) => Some(Cow::Borrowed(password)),
            None => passfile::look_up(&self.login()?).map(Cow::Owned),
        }
    }

    /// The login that the password file is searched for: the one on the first host.
    fn login(&self) -> Option<Login<'_>> {
        let (host, port) = match self.hosts.first()? {
            Host::Tcp { name, port } => (name.as_str(), *port),
            Host::Unix { port, .. } => ("localhost", *port),
        };
        Some(Login {
            host,
            port,
            database: &self.database,
            user: &self.user,
        })
    }

    /// Parses a URL or a key=value string with other environment variables than those of the process.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ParseError> {
        let url = ["postgresql://", "postgres://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let settings = match url {
            Some(rest) => Settings::from_url(rest)?,
            None if text.contains("://") => {
                return mistake(
                    "the URL of the database must begin with postgresql:// or postgres://",
                );
            }
            None => Settings::from_pairs(text)?,
        };
        settings.check(environment)
    }
}

/// The supported keys, each with the environment variable that is used in its absence.
const KEYS: [(&str, &str); 14] = [
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("dbname", "PGDATABASE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("application_name", "PGAPPNAME"),
    ("options", "PGOPTIONS"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("channel_binding", "PGCHANNELBINDING"),
];

/// Keys of libpq and of well-known clients that a shared DATABASE_URL may contain and that do not matter to rowhook.
const IGNORED: [&str; 19] = [
    "client_encoding",
    "connection_limit",
    "fallback_application_name",
    "gssencmode",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "sslcompression",
    "sslnegotiation",
    "sslsni",
    "tcp_user_timeout",
    "uselibpqcompat",
];

/// Keys of libpq that change where or how securely to connect, so that ignoring them would be wrong.
const UNSUPPORTED: [&str; 13] = [
    "hostaddr",
    "passfile",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "replication",
];

/// The settings of the text, by key.
#[derive(Default)]
struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Parses `[user[:password]@][host[:port],…][/database][?key=value&…]`.
    fn from_url(rest: &str) -> Result<Self, ParseError> {
        let mut settings = Self::default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let mut names = Vec::new();
        let mut ports = Vec::new();
        for host in hosts.split(',') {
            let (name, port) = split_port(host)?;
            names.push(decode(name)?);
            ports.push(port);
        }
        settings.add("user", decode(user)?)?;
        settings.add("password", decode(password)?)?;
        settings.add("host", names.join(","))?;
        settings.add("port", ports.join(","))?;
        settings.add("dbname", decode(database)?)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return mistake(
                    "after the ? of the database's URL, each setting is written key=value",
                );
            };
            // JDBC writes `ssl=true`, which libpq accepts too.
            match (decode(key)?.as_str(), decode(value)?) {
                ("ssl", value) if value == "true" => settings.add("sslmode", "require".into())?,
                (key, value) => settings.add(key, value)?,
            }
        }
        Ok(settings)
    }

    /// Parses `key=value key='a value'`, in which `\` escapes a quote or a backslash.
    fn from_pairs(text: &str) -> Result<Self, ParseError> {
        let mut settings = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let Some((key, after)) = rest.split_once('=') else {
                return mistake(
                    "the database's address is neither a URL (postgresql://…) nor key=value pairs",
                );
            };
            let (value, after) = read_value(after.trim_start())?;
            settings.add(key.trim_end(), value)?;
            rest = after.trim_start();
        }
        Ok(settings)
    }

    /// Adds a setting. It replaces an earlier one of the same key; an empty value is ignored.
    fn add(&mut self, key: &str, value: String) -> Result<(), ParseError> {
        let known = || KEYS.iter().map(|(key, _)| *key);
        if IGNORED.contains(&key) || value.is_empty() {
            return Ok(());
        }
        if known().any(|known| known == key) {
            self.0.insert(key.to_owned(), value);
            return Ok(());
        }
        if UNSUPPORTED.contains(&key) {
            return mistake(format!(
                "rowhook cannot do what the setting {key} of a database's address asks for"
            ));
        }
        // The key is not shown, because it can be part of an unencoded password.
        match nearest(key, known()) {
            Some(near) => mistake(format!(
                "the database's address has an unknown setting; did you mean {near}?"
            )),
            None => mistake(
                "the database's address has a setting that rowhook does not know (in a password, / ? # @ & are percent-encoded)",
            ),
        }
    }

    fn check(
        mut self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Address, ParseError> {
        for (key, variable) in KEYS {
            if let (false, Some(value)) = (
                self.0.contains_key(key),
                environment(variable).filter(|value| !value.is_empty()),
            ) {
                self.0.insert(key.to_owned(), value);
            }
        }
        let user = match self.0.remove("user") {
            Some(user) => user,
            None => system_user()?,
        };
        Ok(Address {
            hosts: self.hosts()?,
            password: self.0.remove("password").map(Secret::new),
            database: self.0.remove("dbname").unwrap_or_else(|| user.clone()),
            tls: self.tls()?,
            connect_timeout: self.connect_timeout()?,
            application_name: self.0.remove("application_name"),
            options: self.0.remove("options"),
            read_write: self.read_write()?,
            channel_binding: self.0.remove("channel_binding").as_deref() == Some("require"),
            user,
        })
    }

    fn hosts(&mut self) -> Result<Vec<Host>, ParseError> {
        let ports = self.0.remove("port").unwrap_or_default();
        let ports = ports
            .split(',')
            .map(read_port)
            .collect::<Result<Vec<_>, _>>()?;
        let names = self.0.remove("host").unwrap_or_default();
        let names: Vec<&str> = names.split(',').collect();
        if ports.len() != 1 && ports.len() != names.len() {
            return mistake(format!(
                "the database's address has {} hosts but {} ports",
                names.len(),
                ports.len()
            ));
        }
        Ok(names
            .into_iter()
            .enumerate()
            .map(|(at, name)| {
                let port = *ports.get(at).unwrap_or(&ports[0]);
                match name {
                    "" => default_host(port),
                    folder if folder.starts_with('/') => Host::Unix {
                        folder: folder.into(),
                        port,
                    },
                    name => Host::Tcp {
                        name: name.to_owned(),
                        port,
                    },
                }
            })
            .collect())
    }

    fn tls(&mut self) -> Result<Tls, ParseError> {
        let roots = self.0.remove("sslrootcert");
        let system = roots.as_deref() == Some("system");
        let mode = match self.0.remove("sslmode").as_deref() {
            None if system => TlsMode::VerifyFull,
            None | Some("prefer" | "allow") => TlsMode::Prefer,
            Some("disable") => TlsMode::Disable,
            Some("require" | "no-verify") if roots.is_none() => TlsMode::Require,
            Some("require" | "verify-ca") => TlsMode::VerifyCa,
            Some("verify-full") => TlsMode::VerifyFull,
            Some(_) => {
                return mistake(
                    "sslmode must be disable, allow, prefer, require, verify-ca or verify-full",
                );
            }
        };
        if system && mode != TlsMode::VerifyFull {
            return mistake(
                "sslrootcert=system needs sslmode=verify-full: anyone can get a certificate from a public authority",
            );
        }
        let identity = match (self.0.remove("sslcert"), self.0.remove("sslkey")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            _ => return mistake("sslcert and sslkey are given together or not at all"),
        };
        Ok(Tls {
            mode,
            roots: roots.filter(|_| !system).map(PathBuf::from),
            identity,
        })
    }

    /// As in libpq, 0 or less means no limit.
    fn connect_timeout(&mut self) -> Result<Option<Duration>, ParseError> {
        let Some(text) = self.0.remove("connect_timeout") else {
            return Ok(None);
        };
        match text.parse::<i64>() {
            Ok(seconds) => Ok(u64::try_from(seconds)
                .ok()
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs)),
            Err(_) => mistake("connect_timeout is a whole number of seconds"),
        }
    }

    fn read_write(&mut self) -> Result<bool, ParseError> {
        match self.0.remove("target_session_attrs").as_deref() {
            None | Some("any") => Ok(false),
            Some("read-write" | "primary") => Ok(true),
            Some(_) => {
                mistake("target_session_attrs must be any, read-write or primary: rowhook writes")
            }
        }
    }
}

/// Splits `name`, `name:port` or `[ipv6]:port` into name and port; the port is empty if there is none.
fn split_port(host: &str) -> Result<(&str, &str), ParseError> {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((name, after)) = rest.split_once(']') else {
            return mistake("an IPv6 address in the database's URL needs its closing ]");
        };
        return Ok((name, after.strip_prefix(':').unwrap_or(after)));
    }
    Ok(host.split_once(':').unwrap_or((host, "")))
}

fn read_port(text: &str) -> Result<u16, ParseError> {
    match text {
        "" => Ok(5432),
        _ => text.parse().map_err(|_| {
            ParseError(
                "the port of the database is not a number from 1 to 65535 (in a password, / ? # @ are percent-encoded)"
                    .into(),
            )
        }),
    }
}

/// Undoes percent-encoding: `%41` becomes `A`.
fn decode(text: &str) -> Result<String, ParseError> {
    let is_escape = |after: &str| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    // `percent_decode_str` would leave an invalid escape as it is.
    let decoded = match text.split('%').skip(1).all(is_escape) {
        true => percent_decode_str(text).decode_utf8().ok(),
        false => None,
    };
    decoded.map(Into::into).ok_or_else(|| {
        ParseError("the database's URL has a % that is not followed by two hex digits of UTF-8 (write %25 for a % sign)".into())
    })
}

/// Reads one value of a key=value string, and returns it with the text that follows it.
fn read_value(text: &str) -> Result<(String, &str), ParseError> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            space if !quoted && space.is_whitespace() => return Ok((value, &body[at..])),
            _ => value.push(character),
        }
    }
    if quoted {
        return mistake("a quoted value in the database's address has no closing quote");
    }
    Ok((value, ""))
}

/// The host to use if none is named: a local socket if there is one, as in libpq, and else localhost. The folder of the
/// socket depends on how libpq was built, so the usual ones are tried.
fn default_host(port: u16) -> Host {
    ["/var/run/postgresql", "/tmp"]
        .into_iter()
        .map(PathBuf::from)
        .find(|folder| folder.join(format!(".s.PGSQL.{port}")).exists())
        .map_or_else(
            || Host::Tcp {
                name: "localhost".into(),
                port,
            },
            |folder| Host::Unix { folder, port },
        )
}

fn system_user() -> Result<String, ParseError> {
    match nix::unistd::User::from_uid(nix::unistd::Uid::effective()) {
        Ok(Some(user)) => Ok(user.name),
        _ => mistake("the database's address names no user"),
    }
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
        let host = |text: &str| parse(text).unwrap().login().unwrap().host.to_owned();
        assert_eq!(host("postgres://eve@/x?host=/tmp"), "localhost");
        assert_eq!(host("postgres://eve@db/x"), "db");
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
        assert_eq!(tls("sslrootcert=system").roots, None);
        assert_eq!(tls("sslmode=allow").mode, TlsMode::Prefer);
    }

    #[test]
    fn a_mistake_is_shown_in_one_line_without_the_password() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                error("mysql://db/x"),
                error("what"),
                error("postgres://u:hunter/2@db/x"),
                error("postgres://u:hunter?2@db/x"),
                error("postgres://u:100%@db/x"),
                error("postgres://u:%+1@db/x"),
                error("postgres://db/x?sslmod=require"),
                error("postgres://db/x?sslcrl=x"),
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
        the database's URL has a % that is not followed by two hex digits of UTF-8 (write %25 for a % sign)
        the database's URL has a % that is not followed by two hex digits of UTF-8 (write %25 for a % sign)
        the database's address has an unknown setting; did you mean sslmode?
        rowhook cannot do what the setting sslcrl of a database's address asks for
        sslmode must be disable, allow, prefer, require, verify-ca or verify-full
        sslrootcert=system needs sslmode=verify-full: anyone can get a certificate from a public authority
        sslcert and sslkey are given together or not at all
        the database's address has 2 hosts but 3 ports
        a quoted value in the database's address has no closing quote
        "
        );
    }
}
