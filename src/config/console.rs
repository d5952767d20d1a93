//! `[console]`: where `psql` can connect to rowhook itself.

use crate::secret::Secret;
use std::net::SocketAddr;

use super::{
    reader::{Keys, Table, Value},
    role::Role,
};

/// `[console]`: the admin console for `psql`.
#[derive(Debug, Clone)]
pub struct Console {
    /// The address to listen on, which is a loopback address.
    pub listen: std::net::SocketAddr,
    /// The password. Any user name is accepted.
    pub password: Secret,
    /// What may be done there. Default everything.
    pub role: Role,
}

pub(super) const KEYS: Keys = Keys {
    known: &["listen", "password", "role"],
    later: &[],
};

/// The fewest characters of a password.
const SHORTEST: usize = 8;

pub(super) fn read(section: &Table<'_>) -> Option<Console> {
    let listen = section.need("listen", "listen = \"127.0.0.1:6432\", or remove [console]");
    let password = section.need("password", "password = \"${ROWHOOK_CONSOLE_PASSWORD}\"");
    let password = password.and_then(|value| {
        let password = value.secret()?;
        if password.expose().len() < SHORTEST {
            value.wrong(format!(
                "{} is shorter than {SHORTEST} characters; choose a longer one",
                value.key
            ));
            return None;
        }
        Some(password)
    });
    let listen = listen.and_then(address);
    let role = section
        .find("role")
        .and_then(|value| value.choice(&Role::NAMED));
    Some(Console {
        listen: listen?,
        password: password?,
        role: role.unwrap_or(Role::All),
    })
}

/// A loopback address. The console has no TLS, so its connections must not leave the host.
fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let text = value.string()?;
    let address: Option<SocketAddr> = text.parse().ok();
    let address = address.filter(|address| address.ip().is_loopback());
    if address.is_none() {
        value.wrong(format!(
            "{} is no address of this host alone; write such as \"127.0.0.1:6432\"",
            value.quote(&text)
        ));
    }
    address
}
