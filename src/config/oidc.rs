//! `[server.oidc]`: operators who log in to the page through a provider of OpenID Connect.

use url::{Host, Url};

use super::{
    reader::{Keys, Table, Value},
    role::Role,
};
use crate::secret::Secret;

/// `[server.oidc]`: how operators log in to the page through a provider.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// The provider, exactly as it names itself.
    pub issuer: Url,
    /// The issuer as it is written, which is what the provider's texts are compared with.
    pub issuer_text: String,
    /// The name of rowhook at the provider.
    pub client_id: String,
    /// Its secret there; `None`: the provider asks for none.
    pub client_secret: Option<Secret>,
    /// What the provider is asked for. Default `openid`, `profile` and `email`.
    pub scopes: Vec<String>,
    /// The claim that holds the groups of a person. Default `groups`.
    pub role_claim: String,
    /// The role of each group.
    pub roles: Vec<(String, Role)>,
    /// How browsers reach the server; `None`: as their requests say.
    pub public_url: Option<Url>,
    /// Whether a session ends when the ID token does. Default false.
    pub end_with_token: bool,
}

pub(super) const KEYS: Keys = Keys {
    known: &[
        "issuer",
        "client_id",
        "client_secret",
        "scopes",
        "role_claim",
        "roles",
        "public_url",
        "end_with_token",
    ],
    later: &[],
};

const SCOPES: [&str; 3] = ["openid", "profile", "email"];

pub(super) fn read(section: &Table<'_>) -> Option<Oidc> {
    let issuer = section
        .need("issuer", "issuer = \"https://login.example\"")
        .and_then(|value| Some((address(value)?, value.string()?)));
    let client_id = section
        .need("client_id", "client_id = \"rowhook\"")
        .and_then(Value::string);
    let client_secret = section.find("client_secret").map(Value::secret);
    let scopes = section.find("scopes").and_then(Value::strings);
    let role_claim = section.string("role_claim");
    let roles = section
        .need("roles", "roles = { \"a group\" = \"read\" }")
        .and_then(roles);
    let public_url = section.find("public_url").map(origin);
    let end_with_token = section.find("end_with_token").and_then(Value::flag);
    let mut scopes = scopes.unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec());
    if !scopes.iter().any(|scope| scope == "openid") {
        scopes.insert(0, "openid".to_owned());
    }
    let (issuer, issuer_text) = issuer?;
    // What is wrong with one of these has been recorded.
    let (client_secret, public_url) = match (client_secret, public_url) {
        (Some(None), _) | (_, Some(None)) => return None,
        (secret, url) => (secret.flatten(), url.flatten()),
    };
    Some(Oidc {
        issuer,
        issuer_text,
        client_id: client_id?,
        client_secret,
        scopes,
        role_claim: role_claim.unwrap_or_else(|| "groups".to_owned()),
        roles: roles?,
        public_url,
        end_with_token: end_with_token.unwrap_or_default(),
    })
}

/// The role of each group. A group `*` is everyone.
fn roles(value: &Value<'_>) -> Option<Vec<(String, Role)>> {
    let table = value.open_table()?;
    let roles: Vec<Option<(String, Role)>> = table
        .iter()
        .map(|entry| Some((entry.name.to_owned(), entry.choice(&Role::NAMED)?)))
        .collect();
    if roles.is_empty() {
        value.wrong(format!(
            "{} is empty; write {{ \"a group\" = \"read\" }}",
            value.key
        ));
        return None;
    }
    roles.into_iter().collect()
}

/// The address of a provider. What is sent there is secret, so it has to be encrypted or to stay on this host.
fn address(value: &Value<'_>) -> Option<Url> {
    let text = value.string()?;
    let url = Url::parse(&text).ok();
    let url = url.filter(|url| {
        let is_good = url.query().is_none() && url.fragment().is_none();
        is_good && url.username().is_empty() && url.password().is_none() && is_safe(url)
    });
    if url.is_none() {
        value.wrong(format!(
            "{} is no issuer; write the https address by which the provider names itself",
            value.quote(&text)
        ));
    }
    url
}

/// Whether what is sent to this address is encrypted, or stays on this host.
pub(crate) fn is_safe(url: &Url) -> bool {
    let is_here = || match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_here())
}

/// Scheme, host and port, and nothing after them.
pub(super) fn origin(value: &Value<'_>) -> Option<Url> {
    let text = value.string()?;
    let url = Url::parse(&text).ok();
    let url = url.filter(|url| {
        let is_web = matches!(url.scheme(), "http" | "https");
        is_web && url.path() == "/" && url.query().is_none() && url.fragment().is_none()
    });
    if url.is_none() {
        value.wrong(format!(
            "{} is no address of a server; write scheme and host, such as \"https://hooks.example\"",
            value.quote(&text)
        ));
    }
    url
}
