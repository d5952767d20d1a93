//! `signature`, `secrets` and `tolerance`: which requests are believed.

use super::identity;
use crate::{
    config::reader::{Keys, Table, Value},
    receive::verify::{HmacScheme, Key, TimedScheme, Verifier, is_blank},
    secret::Secret,
    signature::{Algorithm, Encoding},
};

pub(super) const KEYS: Keys = Keys {
    known: &["header", "algorithm", "encoding", "prefix"],
    later: &[],
};

/// Reads the keys that decide which requests are believed. Returns `None` where there is a mistake, which the reader
/// keeps.
pub(super) fn read(file: &Table<'_>) -> Option<Verifier> {
    let tolerance = file.find("tolerance").and_then(Value::positive_duration);
    let signature = match file.find("signature") {
        Some(value) => signature(value)?,
        None => Signature::Standard,
    };
    let verifier = match signature {
        Signature::None => {
            if let Some(secrets) = file.find("secrets") {
                secrets
                    .wrong("secrets are not used with signature = \"none\"; remove one of the two");
                return None;
            }
            Verifier::unsigned()
        }
        Signature::Standard => Verifier::with_keys(secrets(file, key)?),
        Signature::Hmac(scheme) => {
            let secrets = secrets(file, secret)?;
            Verifier::hmac(scheme, secrets.iter().map(Secret::expose))
        }
        Signature::Timed(scheme) => {
            let secrets = secrets(file, secret)?;
            Verifier::timed(scheme, secrets.iter().map(Secret::expose))
        }
    };
    Some(match tolerance {
        Some(tolerance) => verifier.with_tolerance(tolerance),
        None => verifier,
    })
}

/// A secret of Standard Webhooks.
fn key(value: &Value<'_>) -> Option<Key> {
    let key = Key::parse(value.secret()?.expose());
    if let Err(error) = &key {
        value.wrong(format!("{}: {error}", value.key));
    }
    key.ok()
}

/// A secret that somebody can know.
pub(super) fn secret(value: &Value<'_>) -> Option<Secret> {
    let secret = value.secret()?;
    if is_blank(&secret) {
        value.wrong(format!(
            "{} has only blanks, which anybody could guess; write the secret",
            value.key
        ));
        return None;
    }
    Some(secret)
}

#[derive(Clone)]
enum Signature {
    Standard,
    Hmac(HmacScheme),
    Timed(TimedScheme),
    None,
}

fn signature(value: &Value<'_>) -> Option<Signature> {
    if value.is_table() {
        return hmac_scheme(&value.table(&KEYS)?).map(Signature::Hmac);
    }
    value.choice(&[
        ("standard", Signature::Standard),
        ("slack", Signature::Timed(TimedScheme::Slack)),
        ("zoom", Signature::Timed(TimedScheme::Zoom)),
        ("stripe", Signature::Timed(TimedScheme::Stripe)),
        ("none", Signature::None),
    ])
}

fn hmac_scheme(table: &Table<'_>) -> Option<HmacScheme> {
    let header = table
        .need("header", "header = \"X-Hook-Signature\"")
        .and_then(identity::header);
    let algorithms = [
        ("sha1", Algorithm::Sha1),
        ("sha256", Algorithm::Sha256),
        ("sha512", Algorithm::Sha512),
    ];
    let algorithm = table
        .need("algorithm", "algorithm = \"sha512\"")
        .and_then(|value| value.choice(&algorithms));
    let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let encoding = match table.find("encoding") {
        Some(value) => value.choice(&encodings),
        None => Some(Encoding::Hex),
    };
    let prefix = match table.find("prefix") {
        // An empty string is allowed here, and means no prefix.
        Some(value) if value.text_of(&[""]).is_some() => Some(String::new()),
        Some(value) => value.string(),
        None => Some(String::new()),
    };
    Some(HmacScheme {
        header: header?,
        algorithm: algorithm?,
        encoding: encoding?,
        prefix: prefix?,
    })
}

/// Reads each of the `secrets` with `read`.
fn secrets<'a, T>(file: &Table<'a>, read: impl Fn(&Value<'a>) -> Option<T>) -> Option<Vec<T>> {
    let example = "secrets = [\"${WEBHOOK_SECRET}\"], or signature = \"none\" where anyone may make tasks run";
    let value = file.need("secrets", example)?;
    let secrets = value.list_of("a list such as [\"${WEBHOOK_SECRET}\"]", read)?;
    if secrets.is_empty() {
        value.wrong(format!("{} is empty; write at least one", value.key));
        return None;
    }
    Some(secrets)
}
