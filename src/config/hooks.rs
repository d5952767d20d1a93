//! `[[hooks]]`: the operator's own hooks.

use std::{collections::HashSet, fmt, path::Path, sync::Arc};

use http::{
    Method,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
};
use url::Url;

use super::{
    access::{self, Auth},
    bounds,
    certificate::Tls,
    content,
    databases::{self, Part},
    delivery::{self, Delivery},
    events::expression,
    method,
    mistake::Location,
    name::Pattern,
    oauth2::ClientCredentials,
    reader::{Keys, Table, Value},
    target::{self, bounded, within},
};
use crate::{
    expression::filter::Filter,
    message::OWN_EVENTS,
    nearest::nearest,
    secret::Secret,
    signature::{SignatureScheme, Signer, SigningKey, scheme::is_reserved},
};

/// One `[[hooks]]`: a hook of the operator. Everything in it is checked and ready for use.
#[derive(Clone)]
pub struct FileHook {
    /// Its name, which is its id too.
    pub name: String,
    /// A note of the operator.
    pub description: Option<String>,
    /// The events that it is sent: `book.added`, `book.*` or `*`.
    pub events: Vec<Pattern>,
    /// Where it is sent. User name and password of the URL are in `headers` instead.
    pub target: Url,
    /// POST, PUT or PATCH. Default `POST`.
    pub method: Method,
    /// The headers that it adds to its requests, its credentials among them. Values are marked as sensitive.
    pub headers: HeaderMap,
    /// The names in the key `headers`, as they are written there.
    pub header_names: Vec<String>,
    /// What it gets the token with that its requests carry.
    pub oauth2: Option<Arc<ClientCredentials>>,
    /// Its client certificate, and the authorities that its endpoint is trusted by.
    pub tls: Option<Tls>,
    /// What its requests are signed with; `None`: they are not signed.
    pub signer: Option<Signer>,
    /// Whose rows it is sent; `None`: everyone's.
    pub owner: Option<String>,
    /// Only events for which this is true are sent.
    pub filter: Option<Arc<Filter>>,
    /// `[delivery]`, with the hook's own settings in place of those there.
    pub delivery: Delivery,
    /// The databases whose events it is sent, by their names in `[[databases]]`. Empty: all of the file.
    pub databases: Vec<String>,
    /// Where the hook stands in hooks.toml.
    pub place: Location,
}

impl FileHook {
    /// Whether it hears an event of this database.
    pub(super) fn is_for(&self, part: &Part) -> bool {
        let is_named = |name: &String| self.databases.is_empty() || self.databases.contains(name);
        part.name
            .as_ref()
            .is_none_or(|name| is_named(name) && self.events.iter().any(|event| hears(event, part)))
    }
}

/// Whether the pattern matches an event of this database, or one of rowhook's own.
fn hears(pattern: &Pattern, part: &Part) -> bool {
    pattern.matches_any(&part.events.names) || OWN_EVENTS.iter().any(|event| pattern.matches(event))
}

/// Shows only the origin of the target, because its path and query may carry a token.
impl fmt::Debug for FileHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileHook")
            .field("name", &self.name)
            .field("description", &self.description)
            .field("events", &self.events)
            .field("target", &self.target.origin().ascii_serialization())
            .field("method", &self.method)
            .field("headers", &self.headers)
            .field("header_names", &self.header_names)
            .field("oauth2", &self.oauth2.is_some())
            .field("tls", &self.tls)
            .field("signer", &self.signer)
            .field("owner", &self.owner)
            .field("filter", &self.filter)
            .field("delivery", &self.delivery)
            .field("databases", &self.databases)
            .field("place", &self.place)
            .finish()
    }
}

pub(crate) const KEYS: Keys = Keys {
    known: &[
        "name",
        "databases",
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
        "rate",
        "max_body",
        "payload",
        "version",
        "content",
        "content_type",
        "template",
        "user_agent",
        "signature",
        "batch",
        "compress",
        "disable_after",
    ],
    later: &[],
};

/// Reads `[[hooks]]`. Relative names of PEM files start at `folder`.
pub(super) fn read(
    value: &Value<'_>,
    parts: &[Part],
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
    let mut names = HashSet::new();
    hooks
        .iter()
        .filter_map(|hook| read_one(&hook.table(&KEYS)?, &mut names, parts, base, folder))
        .collect()
}

/// Reads one hook. `names` are the names of those before it.
fn read_one(
    table: &Table<'_>,
    names: &mut HashSet<String>,
    parts: &[Part],
    base: &Delivery,
    folder: &Path,
) -> Option<FileHook> {
    let name = table
        .need("name", "name = \"warehouse\"")
        .and_then(|value| name(value, "hook", names));
    let databases = table.find("databases");
    let databases = databases.and_then(|value| databases::named(value, parts));
    let databases = databases.unwrap_or_default();
    let is_named = |part: &&Part| {
        let name = part.name.as_ref();
        databases.is_empty() || name.is_some_and(|name| databases.contains(name))
    };
    let parts: Vec<&Part> = parts.iter().filter(is_named).collect();
    let patterns = table
        .need("events", "events = [\"book.*\"]")
        .and_then(|value| patterns(value, &parts));
    let mut target = table
        .need("target", "target = \"https://example.com/hooks\"")
        .and_then(|value| target::read(value, base.allow_http));
    let method = method::read(table);
    let mut delivery = delivery::overlay(table, base);
    delivery.template_is_own = table.find("template").is_some();
    let signer = signer(table, &delivery.signature);
    let (mut headers, header_names) = headers(table, target.as_mut(), signer.as_ref());
    let oauth2 = match table
        .find("auth")
        .and_then(|value| access::auth(value, base.allow_http))
    {
        Some(Auth::Header(value)) => {
            headers.insert(AUTHORIZATION, value);
            None
        }
        Some(Auth::Token(credentials)) => Some(credentials),
        None => None,
    };
    let user_agent = table.find("user_agent").and_then(content::user_agent);
    headers.extend(user_agent.map(|value| (USER_AGENT, value)));
    let tls = access::tls(table, access::OF_HOOK, folder);
    let filter = table.find("filter").and_then(filter);
    let text = |name, bound| table.find(name).and_then(|value| bounded(value, bound));
    let owner = text("owner", bounds::OWNER);
    let description = text("description", bounds::DESCRIPTION);
    // Everything has been read by now, so that all mistakes of the hook are reported.
    Some(FileHook {
        name: name?,
        description,
        events: patterns?,
        target: target?,
        method,
        headers,
        header_names,
        oauth2,
        tls,
        signer,
        owner,
        filter,
        delivery,
        databases,
        place: table.place,
    })
}

/// The name of something of this kind. `names` are the names of those before it.
pub(crate) fn name(value: &Value<'_>, kind: &str, names: &mut HashSet<String>) -> Option<String> {
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
    if !names.insert(name.clone()) {
        value.wrong(format!(
            "{} names another {kind} already; give each its own name",
            value.quote(&name)
        ));
    }
    Some(name)
}

fn filter(value: &Value<'_>) -> Option<Arc<Filter>> {
    let filter = expression(value)?;
    within(value, bounds::FILTER.check(filter.text())).then_some(filter)
}

fn patterns(value: &Value<'_>, parts: &[&Part]) -> Option<Vec<Pattern>> {
    let remedy = "a list such as [\"book.*\"]";
    let patterns = value.list_of(remedy, |value| pattern(value, parts))?;
    if patterns.is_empty() {
        value.wrong(format!(
            "{} is empty; name events, or write [\"*\"] for all of them",
            value.key
        ));
    }
    Some(patterns)
}

fn pattern(value: &Value<'_>, parts: &[&Part]) -> Option<Pattern> {
    let text = bounded(value, bounds::EVENT)?;
    let Some(pattern) = Pattern::parse(&text) else {
        value.wrong(format!(
            "{} is no event; write its name, \"book.*\" for all that begin so, or \"*\" for all",
            value.quote(&text)
        ));
        return None;
    };
    let heard = parts.iter().any(|part| hears(&pattern, part));
    if !heard && !parts.iter().any(|part| part.events.names_unclear) {
        let names = parts.iter().flat_map(|part| &part.events.names);
        let names = names.map(String::as_str);
        let remedy = match nearest(&text, names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "add one to [events], or remove it here".into(),
        };
        value.wrong(format!(
            "no event of [events] matches {}; {remedy}",
            value.quote(&text)
        ));
    }
    Some(pattern)
}

/// What `secret` and `previous_secret` sign with.
fn signer(table: &Table<'_>, scheme: &SignatureScheme) -> Option<Signer> {
    let key = |name: &str| table.find(name).and_then(|value| secret(value, scheme));
    let (newest, previous) = (key("secret"), key("previous_secret"));
    if let (Some(previous), None) = (table.find("previous_secret"), table.find("secret")) {
        previous.wrong(format!(
            "{} stands without secret; write the new one beside it",
            previous.key
        ));
    }
    let previous = previous.as_ref().map(|secret| (secret, None));
    // Secrets that cannot be used have been reported already.
    Signer::new(scheme, &newest?, previous).ok()
}

/// A secret that can sign as `scheme` says.
pub(crate) fn secret(value: &Value<'_>, scheme: &SignatureScheme) -> Option<Secret> {
    let secret = value.secret()?;
    if !within(value, bounds::SECRET.check(secret.expose())) {
        return None;
    }
    if *scheme == SignatureScheme::Standard && SigningKey::parse(&secret).is_err() {
        value.wrong(format!(
            "{} is not whsec_ and the base64 of 24 to 64 bytes, nor whsk_ and that of an ed25519 key; make one with: echo whsec_$(openssl rand -base64 32)",
            value.key
        ));
        return None;
    }
    Some(secret)
}

/// What a hook adds to its requests: the credentials of its target, and `headers`. Returns the names in `headers` too,
/// as they are written. `auth` may stand beside neither credentials.
fn headers(
    table: &Table<'_>,
    target: Option<&mut Url>,
    signer: Option<&Signer>,
) -> (HeaderMap, Vec<String>) {
    let mut headers = HeaderMap::new();
    let mut names = Vec::new();
    let in_target = target.and_then(access::take_credentials);
    let mut other = in_target.as_ref().map(|_| "the credentials in target");
    headers.extend(in_target.map(|credentials| (AUTHORIZATION, credentials)));
    let own = table.find("headers").and_then(|value| value.open_table());
    for value in own.iter().flat_map(Table::iter) {
        let Some((name, content)) = header(value, &names, signer) else {
            continue;
        };
        names.push(value.name.to_owned());
        if name == AUTHORIZATION {
            other = other.or(Some("the header authorization"));
        }
        // A header is written more expressly than the credentials of a URL, and replaces those. More than fit are more
        // than are allowed, which is reported below.
        let _ = headers.try_insert(name, content);
    }
    if let Some(value) = table.find("headers") {
        let sent = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        within(value, bounds::check_headers(sent));
    }
    if let Some(value) = table.find("auth") {
        // Of two, nobody knows which is meant.
        if let Some(other) = other {
            value.reader.wrong(
                value.key_place,
                format!("{} stands beside {other}; keep one of the two", value.key),
            );
        }
    }
    (headers, names)
}

/// One header of `headers`. `names` are those before it.
fn header(
    value: &Value<'_>,
    names: &[String],
    signer: Option<&Signer>,
) -> Option<(HeaderName, HeaderValue)> {
    let written = value.name;
    let wrong = |text: String| value.reader.wrong(value.key_place, text);
    let name = HeaderName::try_from(written);
    if name.is_err() {
        wrong(format!(
            "{written:?} is no header; write a name such as \"x-api-key\""
        ));
    } else if is_reserved(written) {
        wrong(format!(
            "the header {written:?} is set by rowhook or HTTP itself; leave it out"
        ));
    } else if names.iter().any(|name| name.eq_ignore_ascii_case(written)) {
        wrong(format!("the header {written:?} is named twice; remove one"));
    } else if name.as_ref().ok() == signer.map(Signer::header) {
        wrong(format!(
            "the header {written:?} is that of the signature; choose another name for one of the two"
        ));
    }
    let content = value.secret()?;
    let mut sent = HeaderValue::try_from(content.expose()).ok();
    if content.expose().chars().any(char::is_control) {
        value.wrong(format!(
            "{} holds a control character, such as the end of a line; remove it",
            value.key
        ));
        sent = None;
    }
    let mut sent = sent?;
    sent.set_sensitive(true);
    Some((name.ok()?, sent))
}

#[cfg(test)]
mod tests {
    use super::super::load::Config;
    use super::*;

    fn hook(keys: &str) -> Result<FileHook, String> {
        let text = format!(
            "database.url = \"host=h\"\nevents.a = \"b.created\"\n[[hooks]]\nname = \"h\"\nevents = [\"*\"]\n{keys}"
        );
        let config = Config::parse(Path::new("hooks.toml"), &text, &|_| None);
        let config = config.map_err(|mistakes| mistakes.to_string())?;
        Ok(config.hooks[0].clone())
    }

    #[test]
    fn a_header_cannot_have_the_name_of_the_signatures() {
        let target =
            "target = \"https://h.example\"\nsecret = \"s\"\nsignature = { header = \"X-Sig\" }\n";
        let error = hook(&format!("{target}headers = {{ x-sig = \"1\" }}")).unwrap_err();
        assert_eq!(
            error,
            "hooks.toml:9:13: the header \"x-sig\" is that of the signature; choose another name for one of the two"
        );
        assert!(hook(&format!("{target}headers = {{ x-other = \"1\" }}")).is_ok());
    }

    #[test]
    fn what_is_larger_than_a_hooks_may_be_is_refused_where_it_stands() {
        let target = |target: &str| format!("target = \"{target}\"\n");
        let usual = target("https://h.example");
        let many = |number| {
            let headers = (0..number).map(|number| format!("x-{number} = \"v\""));
            let headers = headers.collect::<Vec<_>>().join(", ");
            format!("{usual}headers = {{ {headers} }}")
        };
        let long = |key: &str, bytes| format!("{usual}{key} = \"{}\"", "a".repeat(bytes));
        for (keys, told) in [
            (
                target(&format!("https://h.example/{}", "a".repeat(66_000))),
                "hooks.toml:6:10: the target has 66018 bytes, and may have 8192 at most",
            ),
            (
                target(&format!("https://h.example/{}", "é".repeat(4000))),
                "hooks.toml:6:10: the target has 24018 bytes, and may have 8192 at most",
            ),
            (
                many(24_577),
                "hooks.toml:7:11: the headers have 24576 fields, and may have 100 at most",
            ),
            (
                long("description", 17_000),
                "hooks.toml:7:15: the description has 17000 bytes, and may have 16384 at most",
            ),
            (
                long("owner", 1025),
                "hooks.toml:7:9: the owner has 1025 bytes, and may have 1024 at most",
            ),
        ] {
            let refused = hook(&keys).unwrap_err();
            assert!(refused.starts_with(told), "{refused}");
        }
        assert!(hook(&many(100)).is_ok());
    }

    #[test]
    fn credentials_leave_the_target_for_a_header_that_does_not_print_them() {
        let hook = hook("target = \"https://anna:secret@h.example/x?y=1\"").unwrap();
        assert_eq!(hook.target.as_str(), "https://h.example/x?y=1");
        assert_eq!(hook.method, Method::POST);
        assert_eq!(hook.headers[AUTHORIZATION], "Basic YW5uYTpzZWNyZXQ=");
        let shown = format!("{hook:?}");
        assert!(
            !shown.contains("YW5uYTpzZWNyZXQ=") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
