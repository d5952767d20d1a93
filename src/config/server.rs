//! `[server]`: where rowhook itself listens, and who may use it.

use std::time::Duration;

use ipnet::IpNet;

use super::{
    admins::{self, NamedAdmin},
    delivery::networks,
    jwt::{self, Jwt},
    oidc::{self, Oidc},
    reader::{Keys, Table, Value},
};
use crate::secret::Secret;

/// `[server]`: the HTTP server of the API, the page, the metrics and the health checks.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address to listen on.
    pub listen: std::net::SocketAddr,
    /// The operator's token; `None`: nobody has it.
    pub admin_token: Option<Secret>,
    /// Operators with tokens and roles of their own.
    pub admins: Vec<NamedAdmin>,
    /// After how long without a request a session of the page ends. Default 8 h.
    pub session_idle: Duration,
    /// After how long a session of the page ends in any case. Default 24 h.
    pub session_max: Duration,
    /// How a target must prove that it wants to receive events. Default: it need not.
    pub verify: Verify,
    /// The most requests of one caller that are answered in a minute. Default 600.
    pub requests_per_minute: u32,
    /// The most bytes that a request may have. Default 1 MiB.
    pub max_request: usize,
    /// The origins whose pages may use the API from a browser. Default none.
    pub cors: Vec<String>,
    /// The networks of the proxies that are believed where a request comes from. Default none.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether everyone may see which events there are, and what is sent of them. Default: no.
    pub catalogue: bool,
    /// How tokens of the application's users are checked.
    pub jwt: Option<Jwt>,
    /// How operators log in to the page through a provider.
    pub oidc: Option<Oidc>,
}

/// How a target proves that it wants to receive events, before the API makes a hook for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// It need not prove anything.
    #[default]
    None,
    /// It accepts a test event.
    Ping,
    /// It answers a test event with the `X-Hook-Secret` that it was sent.
    SecretEcho,
}

pub(super) const KEYS: Keys = Keys {
    known: &[
        "listen",
        "admin_token",
        "admins",
        "session_idle",
        "session_max",
        "verify",
        "requests_per_minute",
        "max_request",
        "cors",
        "trusted_proxies",
        "catalogue",
        "jwt",
        "oidc",
    ],
    later: &[],
};

const SESSION_IDLE: Duration = Duration::from_secs(8 * 60 * 60);
const SESSION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const REQUESTS_PER_MINUTE: u32 = 600;
const MAX_REQUEST: usize = 1 << 20;

pub(super) fn read(section: &Table<'_>) -> Option<Server> {
    let listen = section.need("listen", "listen = \"127.0.0.1:8640\", or remove [server]");
    let admin_token = section.find("admin_token").and_then(admins::token);
    let admins = section
        .find("admins")
        .and_then(|value| admins::read(value, admin_token.as_ref()));
    let time = |key: &str| section.find(key).and_then(Value::positive_duration);
    let (session_idle, session_max) = (time("session_idle"), time("session_max"));
    let verify = section.find("verify").and_then(|value| {
        value.choice(&[
            ("none", Verify::None),
            ("ping", Verify::Ping),
            ("secret-echo", Verify::SecretEcho),
        ])
    });
    let requests_per_minute = section.find("requests_per_minute").and_then(Value::count);
    let max_request = section
        .find("max_request")
        .and_then(|value| value.size(1024, "1KiB"));
    let cors = section.find("cors").and_then(origins);
    let trusted_proxies = section.find("trusted_proxies").and_then(networks);
    let catalogue = section.find("catalogue").and_then(Value::flag);
    let jwt = section
        .find("jwt")
        .and_then(|value| value.table(&jwt::KEYS))
        .and_then(|section| jwt::read(&section));
    let oidc = section
        .find("oidc")
        .and_then(|value| value.table(&oidc::KEYS))
        .and_then(|section| oidc::read(&section));
    let listen = listen?;
    let text = listen.string()?;
    let address = text.parse().ok();
    if address.is_none() {
        listen.wrong(format!(
            "{} is no address to listen on; write an IP address and a port, such as \"127.0.0.1:8640\"",
            listen.quote(&text)
        ));
    }
    Some(Server {
        listen: address?,
        admin_token,
        admins: admins.unwrap_or_default(),
        session_idle: session_idle.unwrap_or(SESSION_IDLE),
        session_max: session_max.unwrap_or(SESSION_MAX),
        verify: verify.unwrap_or_default(),
        requests_per_minute: requests_per_minute.unwrap_or(REQUESTS_PER_MINUTE),
        max_request: max_request.unwrap_or(MAX_REQUEST),
        cors: cors.unwrap_or_default(),
        trusted_proxies: trusted_proxies.unwrap_or_default(),
        catalogue: catalogue.unwrap_or_default(),
        jwt,
        oidc,
    })
}

/// Origins as browsers send them: scheme, host and port, and nothing after them.
fn origins(value: &Value<'_>) -> Option<Vec<String>> {
    let remedy = "a list such as [\"https://app.example\"]";
    value.list_of(remedy, origin)
}

/// An origin as browsers send it.
pub(super) fn origin(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let origin = url::Url::parse(&text).ok().map(|url| url.origin());
    let origin = origin.filter(url::Origin::is_tuple);
    match origin.map(|origin| origin.ascii_serialization()) {
        Some(origin) if origin == text => Some(text),
        _ => {
            value.wrong(format!(
                "{} is no origin; write scheme and host, such as \"https://app.example\"",
                value.quote(&text)
            ));
            None
        }
    }
}
