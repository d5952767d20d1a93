//! How a hook authenticates itself to its endpoint (credentials, a client certificate), and the authorities that the
//! endpoint is trusted by.

use std::{fs::File, io::Read, path::Path, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::header::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use super::{
    certificate::{BadTls, Tls},
    oauth2,
    oauth2::ClientCredentials,
    reader::{Keys, Table, Value},
};

const AUTH: Keys = Keys {
    known: &["user", "password", "bearer", "oauth2"],
    later: &[],
};
const AUTH_EXAMPLE: &str =
    "{ user = \"…\", password = \"…\" }, { bearer = \"…\" } or { oauth2 = { … } }";
/// The most bytes that are read of a PEM file.
const LARGEST_FILE: u64 = 1 << 20;

/// What `auth` asks for in the header `Authorization`.
#[derive(Debug)]
pub enum Auth {
    /// This value.
    Header(HeaderValue),
    /// A token that is got with these credentials.
    Token(Arc<ClientCredentials>),
}

/// Reads `auth`.
pub(super) fn auth(value: &Value<'_>, allow_http: bool) -> Option<Auth> {
    if !value.is_table() {
        value.mistyped(AUTH_EXAMPLE);
        return None;
    }
    let table = value.table(&AUTH)?;
    let (user, password) = (table.find("user"), table.find("password"));
    let (bearer, oauth2) = (table.find("bearer"), table.find("oauth2"));
    match (user, password, bearer, oauth2) {
        (None, None, None, Some(oauth2)) => {
            let credentials = oauth2::read(oauth2, allow_http)?;
            Some(Auth::Token(Arc::new(credentials)))
        }
        (None, None, Some(bearer), None) => {
            let token = bearer.secret()?;
            let header = HeaderValue::try_from(format!("Bearer {}", token.expose()));
            if header.is_err() {
                bearer.wrong(format!(
                    "{} holds a character that cannot be sent, such as the end of a line; remove it",
                    bearer.key
                ));
            }
            header.ok().map(sensitive).map(Auth::Header)
        }
        (Some(user), Some(password), None, None) => {
            let name = user.string();
            if name.as_ref().is_some_and(|name| name.contains(':')) {
                user.wrong(format!(
                    "{} holds a colon, which ends the name of a user; remove it",
                    user.key
                ));
            }
            let password = password.secret();
            Some(Auth::Header(basic(&name?, password?.expose())))
        }
        _ => {
            value.wrong(format!(
                "{} is none of the three; write {AUTH_EXAMPLE}",
                value.key
            ));
            None
        }
    }
}

/// Takes user name and password out of a URL. Returns the `Authorization` header that they make, if the URL had any.
pub(crate) fn take_credentials(url: &mut Url) -> Option<HeaderValue> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decoded(url.username());
    let password = url.password().map(decoded);
    if user.is_empty() && password.is_none() {
        return None;
    }
    // Neither can fail for a URL that had credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(basic(&user, &password.unwrap_or_default()))
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let value = HeaderValue::try_from(format!("Basic {pair}"));
    sensitive(value.expect("base64 can stand in a header"))
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// The keys of a hook's table that are about TLS: a client certificate, its key, and authorities.
pub(super) const OF_HOOK: [&str; 3] = ["client_certificate", "client_key", "ca"];

/// The keys `names` of a table: those of a client certificate, of its key, and of authorities. Relative file names
/// start at `folder`.
pub(super) fn tls(table: &Table<'_>, names: [&str; 3], folder: &Path) -> Option<Tls> {
    let [certificate, key, ca] = names.map(|name| table.find(name));
    let lonely = match (certificate, key) {
        (Some(certificate), None) => Some((certificate, names[1])),
        (None, Some(key)) => Some((key, names[0])),
        (None, None) if ca.is_none() => return None,
        _ => None,
    };
    if let Some((value, other)) = lonely {
        value.wrong(format!("{} stands without {other}; name both", value.key));
        return None;
    }
    // All of them are read before any is given up, so that the mistakes of each are reported.
    let files = [certificate, key, ca].map(|value| value.map(|value| read(value, folder)));
    if files.iter().any(|file| matches!(file, Some(None))) {
        return None;
    }
    let [certificate_pem, key_pem, ca_pem] = files.map(Option::flatten);
    let identity = certificate_pem.as_deref().zip(key_pem.as_deref());
    let error = match Tls::new(identity, ca_pem.as_deref()) {
        Ok(tls) => return Some(tls),
        Err(error) => error,
    };
    let at = match error {
        BadTls::Certificate(_) => certificate,
        BadTls::Key(_) | BadTls::Pair => key,
        BadTls::Authority(_) => ca,
    };
    if let Some(value) = at {
        value.wrong(format!(
            "{} cannot be used: {error}; name another PEM file",
            value.key
        ));
    }
    None
}

fn read(value: &Value<'_>, folder: &Path) -> Option<Vec<u8>> {
    let name = value.string()?;
    let mut bytes = Vec::new();
    let read = File::open(folder.join(&name))
        .and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut bytes));
    if let Err(error) = read {
        value.wrong(format!(
            "{} cannot be read from {}: {error}; name a file from the folder of this one",
            value.key,
            value.quote(&name)
        ));
        return None;
    }
    Some(bytes)
}
