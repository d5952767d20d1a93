//! `[cluster]`: one rowhook reads, and many send.

use std::{fs, net::IpAddr, path::Path, time::Duration};

use url::{Host, Url};

use super::reader::{Keys, Table, Value};
use crate::secret::Secret;

/// `[cluster]`: the NATS through which the rowhooks of a cluster find each other.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The servers of NATS.
    pub nats: Vec<NatsServer>,
    /// What tells this cluster from others on the same NATS. Default `rowhook`.
    pub name: String,
    /// Into how many partitions the hooks are divided. Default 64.
    pub partitions: u32,
    /// For how long a sender keeps its partitions without a sign of it. Default 3 s.
    pub lease: Duration,
    /// How it logs in to NATS, beside what its URLs say.
    pub login: Option<NatsLogin>,
    /// The PEM of the authorities that NATS is trusted by; `None`: those of the system.
    pub ca: Option<Vec<u8>>,
}

/// A server of NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServer {
    /// The URL without credentials, for people.
    pub place: String,
    /// The URL.
    pub url: Secret,
    /// Whether it is reached in the clear, and over a network.
    pub is_open: bool,
}

/// How to log in to NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatsLogin {
    /// The text of a file of credentials.
    Credentials(Secret),
    /// The seed of an nkey.
    Nkey(Secret),
}

pub(super) const KEYS: Keys = Keys {
    known: &[
        "nats",
        "name",
        "partitions",
        "lease",
        "credentials",
        "nkey",
        "ca",
    ],
    later: &[],
};

const EXAMPLE: &str = "\"nats://a:4222,nats://b:4222,nats://c:4222\"";
/// The port of a server that names none.
const PORT: u16 = 4222;
const NAME: &str = "rowhook";
/// The most characters of a name.
const LONGEST_NAME: usize = 32;
const PARTITIONS: u32 = 64;
/// Each partition takes a task and a subject, and is told of in every sign of life.
const MOST_PARTITIONS: u32 = 1024;
const LEASE: Duration = Duration::from_secs(3);
/// A lease is renewed three times while it lasts, and a slow network must not end it.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

impl Cluster {
    /// The servers, without credentials.
    pub fn places(&self) -> String {
        let places: Vec<&str> = self.nats.iter().map(|server| &*server.place).collect();
        places.join(",")
    }
}

/// Reads `[cluster]`. Relative names of files start at `folder`.
pub(super) fn read(section: &Table<'_>, folder: &Path) -> Option<Cluster> {
    let remedy = format!("nats = {EXAMPLE}, or remove [cluster]");
    let nats = section.need("nats", &remedy).and_then(servers);
    let name = section.find("name").map(name);
    let partitions = section.find("partitions").map(partitions);
    let lease = section.find("lease").map(lease);
    let file = |key: &str| section.find(key).map(|value| file(value, folder));
    let (credentials, ca) = (file("credentials"), file("ca"));
    let nkey = section.find("nkey").map(Value::secret);
    if let (Some(_), Some(nkey)) = (&credentials, section.find("nkey")) {
        nkey.wrong("nkey stands beside credentials; keep one of the two");
    }
    let login = match (credentials, nkey) {
        (Some(credentials), _) => Some(NatsLogin::Credentials(Secret::new(
            String::from_utf8_lossy(&credentials?).into_owned(),
        ))),
        (None, Some(nkey)) => Some(NatsLogin::Nkey(nkey?)),
        (None, None) => None,
    };
    Some(Cluster {
        nats: nats?,
        name: name.unwrap_or_else(|| Some(NAME.to_owned()))?,
        partitions: partitions.unwrap_or(Some(PARTITIONS))?,
        lease: lease.unwrap_or(Some(LEASE))?,
        login,
        ca: match ca {
            Some(ca) => Some(ca?),
            None => None,
        },
    })
}

/// The URLs of servers, separated by commas. One without a scheme has that of the one before.
fn servers(value: &Value<'_>) -> Option<Vec<NatsServer>> {
    // A URL may have a password.
    let text = value.secret()?;
    let mut scheme = "nats".to_owned();
    let servers = text.expose().split(',').map(|text| {
        let text = text.trim();
        let url = match text.split_once("://") {
            Some((own, _)) => {
                own.clone_into(&mut scheme);
                Url::parse(text).ok()
            }
            None => Url::parse(&format!("{scheme}://{text}")).ok(),
        };
        server(url?)
    });
    let servers: Option<Vec<NatsServer>> = servers.collect();
    if servers.is_none() {
        value.wrong(format!(
            "{} names something that is no server of NATS; write such as {EXAMPLE}",
            value.key
        ));
    }
    servers
}

fn server(mut url: Url) -> Option<NatsServer> {
    let is_tls = match url.scheme() {
        "nats" => false,
        "tls" => true,
        _ => return None,
    };
    let is_here = match url.host()? {
        Host::Domain(name) => match name.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => name == "localhost",
        },
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    if url.host_str().is_none_or(str::is_empty) {
        return None;
    }
    if url.port().is_none() {
        url.set_port(Some(PORT)).ok()?;
    }
    let secret = Secret::new(url.as_str());
    // Neither can fail for a URL with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(NatsServer {
        place: url.as_str().trim_end_matches('/').to_owned(),
        url: secret,
        is_open: !is_tls && !is_here,
    })
}

/// A word that can be part of a subject.
fn name(value: &Value<'_>) -> Option<String> {
    let name = value.string()?;
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.len() > LONGEST_NAME || !name.chars().all(is_good) {
        value.wrong(format!(
            "{} is no name of a cluster; write up to {LONGEST_NAME} of a-z, A-Z, 0-9, _ and -",
            value.quote(&name)
        ));
        return None;
    }
    Some(name)
}

fn partitions(value: &Value<'_>) -> Option<u32> {
    let count = value.count()?;
    if count > MOST_PARTITIONS {
        value.wrong(format!(
            "{} is more than {MOST_PARTITIONS}; write some ten for each sender that there may be one day",
            value.key
        ));
        return None;
    }
    Some(count)
}

fn lease(value: &Value<'_>) -> Option<Duration> {
    let lease = value.positive_duration()?;
    if lease < SHORTEST_LEASE {
        value.wrong(format!(
            "{} is shorter than 1s, and a slow network would end it; write such as \"3s\"",
            value.key
        ));
        return None;
    }
    Some(lease)
}

fn file(value: &Value<'_>, folder: &Path) -> Option<Vec<u8>> {
    let name = value.string()?;
    match fs::read(folder.join(&name)) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            value.wrong(format!(
                "{} cannot be read from {}: {error}; name a file from the folder of this one",
                value.key,
                value.quote(&name)
            ));
            None
        }
    }
}
