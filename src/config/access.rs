//! How a hook is let in at its endpoint: credentials, a client certificate, and the authority that the endpoint is trusted by.

use crate::secret::Secret;
use std::{fs::File, io::Read, path::Path};

use http::header::HeaderValue;

use super::certificate::{BadTls, Tls};
use super::reader::{Keys, Table, Value};

/// What a hook is let in with, in its Authorization header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Basic.
    Basic {
        /// Without a colon.
        user: String,
        /// Any text.
        password: Secret,
    },
    /// A bearer token that can stand in a header.
    Bearer(Secret),
}

const AUTH: Keys = Keys {
    known: &["user", "password", "bearer"],
    later: &[],
};
const AUTH_MEND: &str = "{ user = \"…\", password = \"…\" } or { bearer = \"…\" }";
/// No file of certificates is larger.
const LARGEST_FILE: u64 = 1 << 20;

pub(super) fn credentials(value: &Value<'_>) -> Option<Credentials> {
    if !value.is_table() {
        value.mistyped(AUTH_MEND);
        return None;
    }
    let table = value.table(&AUTH)?;
    let (user, password) = (table.find("user"), table.find("password"));
    match (user, password, table.find("bearer")) {
        (None, None, Some(bearer)) => {
            let token = bearer.secret()?;
            if HeaderValue::try_from(token.expose()).is_err() {
                bearer.wrong(format!(
                    "{} holds a character that cannot be sent, such as the end of a line; remove it",
                    bearer.key
                ));
                return None;
            }
            Some(Credentials::Bearer(token))
        }
        (Some(user), Some(password), None) => {
            let name = user.string();
            if name.as_ref().is_some_and(|name| name.contains(':')) {
                user.wrong(format!(
                    "{} holds a colon, which ends the name of a user; remove it",
                    user.key
                ));
            }
            let password = password.secret();
            Some(Credentials::Basic {
                user: name?,
                password: password?,
            })
        }
        _ => {
            value.wrong(format!(
                "{} is neither of the two; write {AUTH_MEND}",
                value.key
            ));
            None
        }
    }
}

/// What a hook's table says of its own TLS. Its files are named from `folder`.
pub(super) fn tls(table: &Table<'_>, folder: &Path) -> Option<Tls> {
    let [certificate, key, ca] =
        ["client_certificate", "client_key", "ca"].map(|name| table.find(name));
    let lonely = match (certificate, key) {
        (Some(certificate), None) => Some((certificate, "client_key")),
        (None, Some(key)) => Some((key, "client_certificate")),
        (None, None) if ca.is_none() => return None,
        _ => None,
    };
    if let Some((value, other)) = lonely {
        value.wrong(format!("{} stands without {other}; name both", value.key));
        return None;
    }
    // All of them are read, so that each can say what is wrong with it.
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
