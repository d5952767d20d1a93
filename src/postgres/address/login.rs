//! What is demanded of a server and of how it asks who we are, and the limits of a connection.

use std::time::Duration;

use super::{
    mistake::{ParseError, mistake},
    settings::Settings,
};

/// Which servers a session is wanted with (`target_session_attrs`).
///
/// Our sessions switch `default_transaction_read_only` off themselves, so only a standby is read-only to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Any server.
    Any,
    /// One that is no standby.
    Primary,
    /// A standby.
    Standby,
    /// A standby, or any server if none of the hosts is one.
    PreferStandby,
}

/// How a session is bound to its TLS connection (`channel_binding`), so that nobody in between can take part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Not at all.
    Disable,
    /// If the server offers it.
    Prefer,
    /// Always.
    Require,
}

/// A way in which a server asks who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// It does not ask.
    None,
    /// It asks for the password itself.
    Password,
    /// It asks for an MD5 hash of the password.
    Md5,
    /// It asks for a proof that the password is known.
    Scram,
}

impl Method {
    /// Its name in `require_auth`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::Scram => "scram-sha-256",
        }
    }
}

/// The methods that `require_auth` lets a server use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed(Vec<Method>);

impl Allowed {
    /// Whether the server may ask in this way.
    pub fn has(&self, method: Method) -> bool {
        self.0.contains(&method)
    }
}

const METHODS: [Method; 4] = [Method::None, Method::Password, Method::Md5, Method::Scram];

/// The TCP options that detect a dead connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keepalive {
    /// Whether probes are sent at all.
    pub on: bool,
    /// Time without traffic until the first probe; `None` leaves it to the system, as each of these does.
    pub idle: Option<Duration>,
    /// Time between two probes.
    pub interval: Option<Duration>,
    /// Unanswered probes that end the connection.
    pub count: Option<u32>,
    /// How long sent data may stay unacknowledged.
    pub unacknowledged: Option<Duration>,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            on: true,
            idle: Some(Duration::from_secs(30)),
            interval: Some(Duration::from_secs(10)),
            count: Some(3),
            unacknowledged: Some(Duration::from_secs(30)),
        }
    }
}

/// Reads `target_session_attrs`.
pub(super) fn target(settings: &mut Settings) -> Result<Target, ParseError> {
    match settings.take("target_session_attrs").as_deref() {
        None | Some("any") => Ok(Target::Any),
        Some("read-write" | "primary") => Ok(Target::Primary),
        Some("read-only" | "standby") => Ok(Target::Standby),
        Some("prefer-standby") => Ok(Target::PreferStandby),
        Some(_) => mistake(
            "target_session_attrs must be any, read-write, primary, read-only, standby or prefer-standby",
        ),
    }
}

/// Reads `channel_binding`.
pub(super) fn channel_binding(settings: &mut Settings) -> Result<ChannelBinding, ParseError> {
    match settings.take("channel_binding").as_deref() {
        None | Some("prefer") => Ok(ChannelBinding::Prefer),
        Some("disable") => Ok(ChannelBinding::Disable),
        Some("require") => Ok(ChannelBinding::Require),
        Some(_) => mistake("channel_binding must be disable, prefer or require"),
    }
}

/// Reads `require_auth`: a list of methods, or a list of those that are excluded, each with a `!`.
pub(super) fn allowed(settings: &mut Settings) -> Result<Allowed, ParseError> {
    let Some(text) = settings.take("require_auth") else {
        return Ok(Allowed(METHODS.to_vec()));
    };
    let excludes = text.starts_with('!');
    let mut named = Vec::new();
    for word in text.split(',').map(str::trim) {
        let (name, excluded) = match word.strip_prefix('!') {
            Some(name) => (name, true),
            None => (word, false),
        };
        if excluded != excludes {
            return mistake("require_auth lists methods, or methods with a ! each, and not both");
        }
        if named.contains(&name) {
            return mistake(format!("require_auth names {name:?} twice"));
        }
        let known = METHODS.iter().any(|method| method.name() == name);
        if !known && !matches!(name, "gss" | "sspi" | "oauth") {
            return mistake(
                "require_auth lists some of password, md5, gss, sspi, scram-sha-256, oauth and none",
            );
        }
        named.push(name);
    }
    let methods = METHODS.into_iter();
    let allowed = Allowed(
        methods
            .filter(|method| named.contains(&method.name()) != excludes)
            .collect(),
    );
    if allowed.0.is_empty() {
        return mistake(
            "require_auth leaves only methods that rowhook has not; it has password, md5, scram-sha-256 and none",
        );
    }
    Ok(allowed)
}

/// Reads `load_balance_hosts`: whether the hosts are tried in a random order.
pub(super) fn shuffled(settings: &mut Settings) -> Result<bool, ParseError> {
    match settings.take("load_balance_hosts").as_deref() {
        None | Some("disable") => Ok(false),
        Some("random") => Ok(true),
        Some(_) => mistake("load_balance_hosts must be disable or random"),
    }
}

/// Reads `connect_timeout`. As in libpq, 0 or less means no limit.
pub(super) fn connect_timeout(settings: &mut Settings) -> Result<Option<Duration>, ParseError> {
    Ok(match number(settings, "connect_timeout")? {
        Some(seconds) => above_zero(seconds).map(Duration::from_secs),
        None => None,
    })
}

/// Reads `keepalives…` and `tcp_user_timeout`. As in libpq, 0 leaves a value to the system.
pub(super) fn keepalive(settings: &mut Settings) -> Result<Keepalive, ParseError> {
    let usual = Keepalive::default();
    let seconds = |value: i64| above_zero(value).map(Duration::from_secs);
    let milliseconds = |value: i64| above_zero(value).map(Duration::from_millis);
    let count = |value: i64| above_zero(value).and_then(|value| u32::try_from(value).ok());
    let on = number(settings, "keepalives")?.is_none_or(|value| value != 0);
    let mut read = |name: &str| number(settings, name);
    Ok(Keepalive {
        on,
        idle: read("keepalives_idle")?.map_or(usual.idle, seconds),
        interval: read("keepalives_interval")?.map_or(usual.interval, seconds),
        count: read("keepalives_count")?.map_or(usual.count, count),
        unacknowledged: read("tcp_user_timeout")?.map_or(usual.unacknowledged, milliseconds),
    })
}

fn above_zero(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value > 0)
}

fn number(settings: &mut Settings, name: &str) -> Result<Option<i64>, ParseError> {
    let Some(text) = settings.take(name) else {
        return Ok(None);
    };
    match text.trim().parse::<i32>() {
        Ok(number) => Ok(Some(number.into())),
        Err(_) if name == "connect_timeout" => {
            mistake("connect_timeout is a whole number of seconds")
        }
        Err(_) => mistake(format!("{name} is a whole number")),
    }
}
