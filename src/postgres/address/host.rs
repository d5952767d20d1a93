//! The hosts of an address.

use std::{fmt, net::IpAddr, path::PathBuf};

use super::{
    mistake::{ParseError, mistake},
    settings::Settings,
};

/// The folders in which libpq looks for a socket, depending on how it was built.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

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
    /// A host that is reached by TCP at an address of its own (`hostaddr`), so that its name is not looked up.
    At {
        /// What its certificate and the password file call it; the IP address where it has no name.
        name: String,
        /// The IP address, which may have a zone.
        address: String,
        /// The TCP port, 5432 by default.
        port: u16,
    },
    /// A unix socket on this machine.
    Unix {
        /// The folder of the socket, as an absolute path. One that begins with `@` is an abstract name.
        folder: PathBuf,
        /// The port, which is part of the socket's file name.
        port: u16,
    },
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { name, port } | Self::At { name, port, .. } if name.contains(':') => {
                write!(f, "[{name}]:{port}")
            }
            Self::Tcp { name, port } | Self::At { name, port, .. } => write!(f, "{name}:{port}"),
            Self::Unix { folder, port } => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
        }
    }
}

impl Host {
    /// What the password file calls it, and the port.
    pub(in super::super) fn in_password_file(&self) -> (&str, u16) {
        match self {
            Self::Tcp { name, port } | Self::At { name, port, .. } => (name, *port),
            Self::Unix { folder, port } => match folder.to_str() {
                Some(folder) if !SOCKET_FOLDERS.contains(&folder) => (folder, *port),
                _ => ("localhost", *port),
            },
        }
    }

    /// The name that a certificate must be issued for; `None` for a socket, which has no TLS.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Tcp { name, .. } | Self::At { name, .. } => Some(name),
            Self::Unix { .. } => None,
        }
    }
}

/// Reads `host`, `hostaddr` and `port`, which are lists of equal length; one port may stand for all.
pub(super) fn read(settings: &mut Settings) -> Result<Vec<Host>, ParseError> {
    let names = settings.take("host");
    let addresses = settings.take("hostaddr");
    let ports = settings.take("port").unwrap_or_default();
    let ports = ports
        .split(',')
        .map(read_port)
        .collect::<Result<Vec<_>, _>>()?;
    let list = |text: &Option<String>| -> Vec<String> {
        let text = text.as_deref().unwrap_or_default();
        text.split(',').map(str::to_owned).collect()
    };
    let (listed, listed_addresses) = (list(&names), list(&addresses));
    let count = if names.is_some() {
        listed.len()
    } else {
        listed_addresses.len()
    };
    if addresses.is_some() && listed_addresses.len() != count {
        return mistake(format!(
            "the database's address has {count} hosts but {} in hostaddr",
            listed_addresses.len()
        ));
    }
    if ports.len() != 1 && ports.len() != count {
        return mistake(format!(
            "the database's address has {count} hosts but {} ports",
            ports.len()
        ));
    }
    (0..count)
        .map(|at| {
            let port = *ports.get(at).unwrap_or(&ports[0]);
            let text = |list: &[String]| list.get(at).cloned().unwrap_or_default();
            host(text(&listed), text(&listed_addresses), port)
        })
        .collect()
}

fn host(name: String, address: String, port: u16) -> Result<Host, ParseError> {
    if !address.is_empty() {
        let number = address.split('%').next().unwrap_or_default();
        if number.parse::<IpAddr>().is_err() {
            return mistake("hostaddr in the database's address is not an IP address");
        }
        let name = if name.is_empty() {
            address.clone()
        } else {
            name
        };
        return Ok(Host::At {
            name,
            address,
            port,
        });
    }
    Ok(match name.as_str() {
        "" => default_host(port),
        folder if folder.starts_with(['/', '@']) => Host::Unix {
            folder: folder.into(),
            port,
        },
        _ => Host::Tcp { name, port },
    })
}

fn read_port(text: &str) -> Result<u16, ParseError> {
    match (text, text.trim().parse()) {
        ("", _) => Ok(5432),
        (_, Ok(port)) if port > 0 => Ok(port),
        _ => mistake(
            "the port of the database is not a number from 1 to 65535 (in a password, / ? # @ are percent-encoded)",
        ),
    }
}

/// The host to use if none is named: a local socket if there is one, as in libpq, and else localhost. The folder of the
/// socket depends on how libpq was built, so the usual ones are tried.
fn default_host(port: u16) -> Host {
    SOCKET_FOLDERS
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
