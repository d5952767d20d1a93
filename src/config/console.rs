//! `[console]`: where `psql` can ask rowhook itself.

use crate::secret::Secret;
use std::net::SocketAddr;

use super::reader::{Keys, Table, Value};

/// `[console]`
#[derive(Debug, Clone)]
pub struct Console {
    /// Where `psql` connects to: an address of this host alone.
    pub listen: std::net::SocketAddr,
    /// What it is asked for; any user name will do.
    pub password: Secret,
}

pub(super) const KEYS: Keys = Keys {
    known: &["listen", "password"],
    later: &[],
};

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
    Some(Console {
        listen: listen?,
        password: password?,
    })
}

/// There is no TLS here, so nobody else shall be on the way.
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
