//! `sslmode`, and what belongs to it.

use std::path::{Path, PathBuf};

use super::{
    mistake::{ParseError, mistake},
    settings::Settings,
};
use crate::secret::Secret;

/// `sslmode` and the files that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// What is required of the connection.
    pub mode: TlsMode,
    /// Whether the handshake begins at once, without asking the server in its own protocol (`sslnegotiation=direct`).
    pub direct: bool,
    /// Who is trusted to certify a server.
    pub roots: Roots,
    /// PEM file of the certificates that their authorities have taken back.
    pub crl: Option<PathBuf>,
    /// The client certificate, if there is one.
    pub identity: Option<Identity>,
    /// Whether the server is told the host's name in clear text, which proxies of many servers need.
    pub sni: bool,
    /// Whether TLS 1.2 and TLS 1.3 may be used.
    pub versions: [bool; 2],
}

/// The PEM files of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, with those that lead to its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The password that the key is encrypted with.
    pub password: Option<Secret>,
}

/// Who is trusted to certify a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// The authorities of Mozilla, which are built in.
    BuiltIn,
    /// Those that the system trusts (`sslrootcert=system`).
    System,
    /// Those in a PEM file. Every connection with TLS is verified with them, as far as its mode says.
    File(PathBuf),
}

/// What `sslmode` requires of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS only if the server refuses a connection without it.
    Allow,
    /// TLS if the server offers it, and none if it refuses a connection with it.
    Prefer,
    /// TLS always.
    Require,
    /// The certificate must come from a trusted authority. As in libpq, `require` with an `sslrootcert` means this.
    VerifyCa,
    /// The certificate must come from a trusted authority and be issued for the host's name.
    VerifyFull,
}

impl Tls {
    /// Whether the certificate must come from a trusted authority.
    pub fn verifies(&self) -> bool {
        matches!(self.mode, TlsMode::VerifyCa | TlsMode::VerifyFull)
            || matches!(self.roots, Roots::File(_))
    }
}

/// Reads what begins with `ssl`. `folder` is where libpq looks for files that are not named.
pub(super) fn read(settings: &mut Settings, folder: Option<&Path>) -> Result<Tls, ParseError> {
    let usual = |name: &str| Some(folder?.join(name)).filter(|path| path.exists());
    let roots = match settings.take("sslrootcert") {
        Some(system) if system == "system" => Roots::System,
        Some(path) => Roots::File(path.into()),
        None => usual("root.crt").map_or(Roots::BuiltIn, Roots::File),
    };
    let mode = mode(settings.take("sslmode").as_deref(), &roots)?;
    let direct = match settings.take("sslnegotiation").as_deref() {
        None | Some("postgres") => false,
        Some("direct") if matches!(mode, TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer) => {
            return mistake(
                "sslnegotiation=direct needs sslmode=require, verify-ca or verify-full",
            );
        }
        Some("direct") => true,
        Some(_) => return mistake("sslnegotiation must be postgres or direct"),
    };
    let sni = match settings.take("sslsni").as_deref() {
        None | Some("1") => true,
        Some("0") => false,
        Some(_) => return mistake("sslsni must be 0 or 1"),
    };
    Ok(Tls {
        mode,
        direct,
        roots,
        crl: settings
            .take("sslcrl")
            .map(PathBuf::from)
            .or_else(|| usual("root.crl")),
        identity: identity(settings, &usual)?,
        sni,
        versions: versions(settings)?,
    })
}

fn mode(text: Option<&str>, roots: &Roots) -> Result<TlsMode, ParseError> {
    let mode = match text {
        None if *roots == Roots::System => TlsMode::VerifyFull,
        None | Some("prefer") => TlsMode::Prefer,
        Some("allow") => TlsMode::Allow,
        Some("disable") => TlsMode::Disable,
        // node-postgres has no-verify.
        Some("require" | "no-verify") if !matches!(roots, Roots::File(_)) => TlsMode::Require,
        Some("require" | "verify-ca") => TlsMode::VerifyCa,
        Some("verify-full") => TlsMode::VerifyFull,
        Some(_) => {
            return mistake(
                "sslmode must be disable, allow, prefer, require, verify-ca or verify-full",
            );
        }
    };
    if *roots == Roots::System && mode != TlsMode::VerifyFull {
        return mistake(
            "sslrootcert=system needs sslmode=verify-full: anyone can get a certificate from a public authority",
        );
    }
    Ok(mode)
}

fn identity(
    settings: &mut Settings,
    usual: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<Option<Identity>, ParseError> {
    let password = settings.take("sslpassword").map(Secret::new);
    let named = (
        settings.take("sslcert").map(PathBuf::from),
        settings.take("sslkey").map(PathBuf::from),
    );
    match settings.take("sslcertmode").as_deref() {
        None | Some("allow") => {}
        Some("disable") => return Ok(None),
        Some("require") => {
            return mistake("rowhook cannot do what sslcertmode=require asks for; leave it out");
        }
        Some(_) => return mistake("sslcertmode must be disable or allow"),
    }
    let is_named = named.0.is_some() || named.1.is_some();
    let certificate = named.0.or_else(|| usual("postgresql.crt"));
    let key = named.1.or_else(|| usual("postgresql.key"));
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(Identity {
            certificate,
            key,
            password,
        })),
        _ if is_named => mistake("sslcert and sslkey are given together or not at all"),
        _ => Ok(None),
    }
}

/// Whether TLS 1.2 and 1.3 lie between the two bounds. Older versions are never used.
fn versions(settings: &mut Settings) -> Result<[bool; 2], ParseError> {
    let mut bound = |name: &str, default: u8| match settings.take(name).as_deref() {
        None => Ok(default),
        Some("TLSv1") => Ok(0),
        Some("TLSv1.1") => Ok(1),
        Some("TLSv1.2") => Ok(2),
        Some("TLSv1.3") => Ok(3),
        Some(_) => mistake(format!("{name} must be TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3")),
    };
    let least = bound("ssl_min_protocol_version", 2)?;
    let most = bound("ssl_max_protocol_version", 3)?;
    let versions = [2, 3].map(|version| least <= version && version <= most);
    match versions {
        [false, false] => mistake(
            "ssl_min_protocol_version and ssl_max_protocol_version leave no version of TLS that rowhook has (1.2 and 1.3)",
        ),
        versions => Ok(versions),
    }
}
