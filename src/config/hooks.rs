//! `[[hooks]]`: the operator's own hooks.

use super::certificate::Tls;
use super::{access::Credentials, mistake::Place};
use std::fmt;
use std::path::Path;

use url::Url;

use super::{
    access,
    delivery::{self, Delivery},
    events::{Events, expression},
    name::Pattern,
    reader::{Keys, Table, Value},
};
use crate::{
    message::OWN_EVENTS,
    nearest::nearest,
    signature::{SigningKey, scheme::is_reserved},
};
use crate::{secret::Secret, signature::SignatureScheme};

/// One `[[hooks]]`: a hook of the operator, known by its name.
#[derive(Clone)]
pub struct FileHook {
    /// Its name, which is its id too.
    pub name: String,
    /// A note of the operator.
    pub description: Option<String>,
    /// Events or patterns: `book.added`, `book.*`, `*`.
    pub events: Vec<Pattern>,
    /// Where it is sent.
    pub target: Url,
    /// Default `POST`.
    pub method: Method,
    /// What it is let in with; `None` beside credentials in `target`, or a header of the hook.
    pub auth: Option<Credentials>,
    /// A certificate that it shows, and the authority of its endpoint.
    pub tls: Option<Tls>,
    /// Key for signatures; `None`: unsigned.
    pub secret: Option<Secret>,
    /// The key before it, which signs too while it is being replaced.
    pub previous_secret: Option<Secret>,
    /// Whose rows it hears; `None`: everyone's.
    pub owner: Option<String>,
    /// Headers to add, checked: names are not those that rowhook or HTTP sets.
    pub headers: Vec<(String, Secret)>,
    /// Only when this CEL expression is true.
    pub filter: Option<String>,
    /// What differs from `[delivery]`, already merged with it.
    pub delivery: Delivery,
    /// Where the hook stands.
    pub place: Place,
}

/// Of the target only its origin: the rest may carry a password or a token.
impl fmt::Debug for FileHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileHook")
            .field("name", &self.name)
            .field("description", &self.description)
            .field("events", &self.events)
            .field("target", &self.target.origin().ascii_serialization())
            .field("method", &self.method)
            .field("auth", &self.auth)
            .field("tls", &self.tls)
            .field("secret", &self.secret)
            .field("previous_secret", &self.previous_secret)
            .field("owner", &self.owner)
            .field("headers", &self.headers)
            .field("filter", &self.filter)
            .field("delivery", &self.delivery)
            .field("place", &self.place)
            .finish()
    }
}

/// How a hook is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// POST
    #[default]
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
}

pub(crate) const KEYS: Keys = Keys {
    known: &[
        "name",
        "description",
        "events",
        "target",
        "method",
        "auth",
        "client_certificate",
        "client_key",
        "ca",
        "secret",
        "previous_secret",
        "owner",
        "headers",
        "filter",
        "timeout",
        "retries",
        "order",
        "concurrency",
        "max_body",
        "payload",
        "signature",
        "batch",
        "disable_after",
    ],
    later: &["rate"],
};

/// Files that a hook names are named from `folder`.
pub(super) fn read(
    value: &Value<'_>,
    events: &Events,
    base: &Delivery,
    folder: &Path,
) -> Vec<FileHook> {
    if value.is_table() {
        value.reader.wrong(
            value.key_place,
            "hooks is a table; write [[hooks]], in double brackets, above each hook",
        );
        return Vec::new();
    }
    let hooks = value.list("[[hooks]] above each hook").unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    hooks
        .iter()
        .filter_map(|hook| read_one(&hook.table(&KEYS)?, &mut names, events, base, folder))
        .collect()
}

/// `names` are those of the hooks before it.
fn read_one(
    table: &Table<'_>,
    names: &mut Vec<String>,
    events: &Events,
    base: &Delivery,
    folder: &Path,
) -> Option<FileHook> {
    let name = table
        .need("name", "name = \"warehouse\"")
        .and_then(|value| name(value, "hook", names));
    let patterns = table
        .need("events", "events = [\"book.*\"]")
        .and_then(|value| patterns(value, events));
    let target = table
        .need("target", "target = \"https://example.com/hooks\"")
        .and_then(|value| target(value, base.allow_http));
    let methods = [
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("PATCH", Method::Patch),
    ];
    let method = table.find("method").map(|value| value.choice(&methods));
    let delivery = delivery::overlay(table, base);
    let key = |name: &str| {
        let value = table.find(name)?;
        secret(value, &delivery.signature)
    };
    let (secret, previous_secret) = (key("secret"), key("previous_secret"));
    if let (Some(previous), None) = (table.find("previous_secret"), table.find("secret")) {
        previous.wrong(format!(
            "{} stands without secret; write the new one beside it",
            previous.key
        ));
    }
    let owner = table.string("owner");
    let headers = table.find("headers").map(headers).unwrap_or_default();
    let auth = table.find("auth").and_then(|value| {
        refuse_other_credentials(value, target.as_ref(), &headers);
        access::credentials(value)
    });
    let tls = access::tls(table, folder);
    let filter = table.find("filter").and_then(expression);
    Some(FileHook {
        name: name?,
        description: table.string("description"),
        events: patterns?,
        target: target?,
        method: method.flatten().unwrap_or_default(),
        auth,
        tls,
        secret,
        previous_secret,
        owner,
        headers,
        filter,
        delivery,
        place: table.place,
    })
}

/// The name of something of this kind; `names` are those of the ones before it.
pub(crate) fn name(value: &Value<'_>, kind: &str, names: &mut Vec<String>) -> Option<String> {
    let name = value.string()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !letter || !name.chars().all(allowed) || name.len() > 64 {
        value.wrong(format!(
            "{} cannot name a {kind}; begin with a letter, then use up to 63 letters, digits and _ . -",
            value.quote(&name)
        ));
        return None;
    }
    if names.contains(&name) {
        value.wrong(format!(
            "{} names another {kind} already; give each its own name",
            value.quote(&name)
        ));
    }
    names.push(name.clone());
    Some(name)
}

fn patterns(value: &Value<'_>, events: &Events) -> Option<Vec<Pattern>> {
    let mend = "a list such as [\"book.*\"]";
    let patterns = value.list_of(mend, |value| pattern(value, events))?;
    if patterns.is_empty() {
        value.wrong(format!(
            "{} is empty; name events, or write [\"*\"] for all of them",
            value.key
        ));
    }
    Some(patterns)
}

fn pattern(value: &Value<'_>, events: &Events) -> Option<Pattern> {
    let text = value.string()?;
    let Some(pattern) = Pattern::parse(&text) else {
        value.wrong(format!(
            "{} is no event; write its name, \"book.*\" for all that begin so, or \"*\" for all",
            value.quote(&text)
        ));
        return None;
    };
    let mut known = events.names.iter().map(String::as_str).chain(OWN_EVENTS);
    let heard = pattern == Pattern::Any || known.any(|event| pattern.matches(event));
    if !heard && !events.names_unclear {
        let names = events.names.iter().map(String::as_str);
        let mend = match nearest(&text, names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "add one to [events], or remove it here".into(),
        };
        value.wrong(format!(
            "no event of [events] matches {}; {mend}",
            value.quote(&text)
        ));
    }
    Some(pattern)
}

/// The URL stays out of the messages: targets often carry a token.
pub(crate) fn target(value: &Value<'_>, allow_http: bool) -> Option<Url> {
    let text = value.string()?;
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|h| !h.is_empty())
    });
    let Some(url) = url else {
        value.wrong(format!(
            "{} is not an http or https URL; write one such as \"https://example.com/hooks\"",
            value.key
        ));
        return None;
    };
    if url.scheme() == "http" && !allow_http {
        value.wrong(format!(
            "{} is not encrypted; write https, or set allow_http = true in [delivery]",
            value.key
        ));
    }
    Some(url)
}

/// Of two, nobody knows which one is meant.
fn refuse_other_credentials(auth: &Value<'_>, target: Option<&Url>, headers: &[(String, Secret)]) {
    let in_url = |url: &Url| !url.username().is_empty() || url.password().is_some();
    let named = |(name, _): &(String, Secret)| name.eq_ignore_ascii_case("authorization");
    let other = if target.is_some_and(in_url) {
        "the credentials in target"
    } else if headers.iter().any(named) {
        "the header authorization"
    } else {
        return;
    };
    let key = &auth.key;
    auth.reader.wrong(
        auth.key_place,
        format!("{key} stands beside {other}; keep one of the two"),
    );
}

pub(crate) fn secret(value: &Value<'_>, scheme: &SignatureScheme) -> Option<Secret> {
    let secret = value.secret()?;
    if *scheme == SignatureScheme::Standard && SigningKey::parse(&secret).is_err() {
        value.wrong(format!(
            "{} is not whsec_ and the base64 of 24 to 64 bytes, nor whsk_ and that of an ed25519 key; make one with: echo whsec_$(openssl rand -base64 32)",
            value.key
        ));
        return None;
    }
    Some(secret)
}

fn headers(value: &Value<'_>) -> Vec<(String, Secret)> {
    let mut headers: Vec<(String, Secret)> = Vec::new();
    let Some(table) = value.open_table() else {
        return headers;
    };
    for value in table.iter() {
        let name = value.name;
        let wrong = |text: String| value.reader.wrong(value.key_place, text);
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let lower = name.to_ascii_lowercase();
        if name.is_empty() || !name.chars().all(token) {
            wrong(format!(
                "{name:?} is no header; write a name such as \"x-api-key\""
            ));
        } else if is_reserved(name) {
            wrong(format!(
                "the header {name:?} is set by rowhook or HTTP itself; leave it out"
            ));
        } else if headers
            .iter()
            .any(|(other, _)| other.to_ascii_lowercase() == lower)
        {
            wrong(format!("the header {name:?} is named twice; remove one"));
        }
        let Some(secret) = value.secret() else {
            continue;
        };
        if secret.expose().chars().any(char::is_control) {
            value.wrong(format!(
                "{} holds a control character, such as the end of a line; remove it",
                value.key
            ));
        }
        headers.push((name.to_owned(), secret));
    }
    headers
}
