//! `[delivery] proxy`: through which proxy requests leave.

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use url::Url;

use super::reader::Value;
use crate::secret::Secret;

/// The port of a proxy that names none.
const PORT: u16 = 3128;

/// A proxy of HTTP that opens a tunnel to each target (`CONNECT`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its name or address. One of IPv6 has no brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<Secret>,
}

/// Reads `http://user:password@host:port`.
pub(super) fn read(value: &Value<'_>) -> Option<Proxy> {
    let text = value.secret()?;
    let proxy = parse(text.expose());
    if let Err(reason) = &proxy {
        // The text may have a password in it.
        value.wrong(format!(
            "{reason}; write \"http://HOST:PORT\", or \"http://USER:PASSWORD@HOST:PORT\""
        ));
    }
    proxy.ok()
}

fn parse(text: &str) -> Result<Proxy, &'static str> {
    let url = Url::parse(text).map_err(|_| "this is no URL of a proxy")?;
    if url.scheme() != "http" {
        return Err("rowhook speaks HTTP with a proxy, in which TLS with the targets goes on");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("a proxy has no path");
    }
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or("this names no host")?;
    let decoded = |part: &str| percent_decode_str(part).collect::<Vec<u8>>();
    let has_login = !url.username().is_empty() || url.password().is_some();
    let authorization = has_login.then(|| {
        let user = decoded(url.username());
        let password = decoded(url.password().unwrap_or_default());
        let login = BASE64_STANDARD.encode([&user[..], b":", &password[..]].concat());
        Secret::new(format!("Basic {login}"))
    });
    Ok(Proxy {
        host: host.trim_matches(['[', ']']).to_owned(),
        // Url leaves out the port that is usual for the scheme.
        port: url
            .port()
            .unwrap_or(if names_port_80(text) { 80 } else { PORT }),
        authorization,
    })
}

fn names_port_80(text: &str) -> bool {
    text.trim_end_matches('/').ends_with(":80")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_a_port_and_a_login_where_they_are_named() {
        for (text, host, port, login) in [
            ("http://proxy", "proxy", 3128, None),
            ("http://proxy:80", "proxy", 80, None),
            ("http://proxy:80/", "proxy", 80, None),
            ("http://10.0.0.1:8080", "10.0.0.1", 8080, None),
            ("http://[::1]:8080/", "::1", 8080, None),
            (
                "http://me:p%40ss@proxy:1",
                "proxy",
                1,
                Some("Basic bWU6cEBzcw=="),
            ),
            ("http://me@proxy:1", "proxy", 1, Some("Basic bWU6")),
        ] {
            let proxy = parse(text).unwrap();
            let authorization = proxy.authorization.as_ref().map(Secret::expose);
            assert_eq!(
                (proxy.host.as_str(), proxy.port, authorization),
                (host, port, login),
                "{text}"
            );
        }
        for text in [
            "proxy:3128",
            "https://proxy",
            "socks5://proxy",
            "http://proxy/path",
            "http://",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
