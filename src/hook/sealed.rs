//! What is secret in a row of the hook table: its secrets, the credentials in its target and in `auth`, and the values
//! of its headers. With `[secrets]`, the table holds each of these sealed, bound to the id of the row.
//!
//! Opening never depends on configuration but for the key: what is sealed is opened wherever it stands.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::{
    config::{Sealed, Secrets},
    seal::{Bound, KeyId, Keyring, MARK, is_sealed, sealed_with},
};

/// The columns of a row that may hold something secret, as texts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretParts {
    /// The secret.
    pub secret: Option<String>,
    /// The secret before it. It is bound as the secret is, which it was before.
    pub previous_secret: Option<String>,
    /// The URL, with credentials or without.
    pub target: Option<String>,
    /// A JSON object.
    pub headers: Option<String>,
    /// A JSON object with credentials, as `auth` of a hook in hooks.toml.
    pub auth: Option<String>,
}

/// The keys of `auth` whose values are secret, at its top and in `oauth2`.
const CREDENTIALS: [&str; 3] = ["bearer", "password", "client_secret"];

/// The library could not seal. It does not say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot be sealed: the library for encryption has failed")]
pub struct NotSealed;

/// What is to be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// What is stored as it is.
    Plain,
    /// That, and what is sealed with another key than the newest.
    Outdated,
}

impl What {
    fn covers(self, text: &str, newest: KeyId) -> bool {
        match (self, sealed_with(text)) {
            (_, None) => true,
            (Self::Plain, Some(_)) => false,
            (Self::Outdated, Some(key)) => key != newest,
        }
    }
}

impl SecretParts {
    /// The texts that are secret, or are sealed.
    pub fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = [&self.secret, &self.previous_secret]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        if let Some(target) = &self.target {
            texts.extend(credentials(target).map(|place| target[place].to_owned()));
        }
        let headers = self.headers().into_iter().flat_map(Map::into_values);
        texts.extend(headers.filter_map(|value| value.as_str().map(str::to_owned)));
        if let Some(mut auth) = object(self.auth.as_deref()) {
            credentials_in(&mut auth, &mut |_, text| texts.push(text.clone()));
        }
        texts
    }

    /// Whether anything of it is sealed.
    pub fn has_sealed(&self) -> bool {
        let texts = [
            &self.secret,
            &self.previous_secret,
            &self.target,
            &self.headers,
            &self.auth,
        ];
        let mut texts = texts.into_iter().flatten();
        texts.any(|text| text.contains(MARK))
    }

    /// Opens what is sealed.
    ///
    /// # Errors
    /// What cannot be opened, why, and what to do about it.
    pub fn open(&mut self, id: &str, keys: &Secrets) -> Result<(), String> {
        let open = |text: &str, part: &str, shown: &str| match is_sealed(text) {
            true => keys
                .open(text, Bound { hook: id, part })
                .map(Some)
                .map_err(|why| format!("its {shown} {why}")),
            false => Ok(None),
        };
        for (text, shown) in [
            (&mut self.secret, "secret"),
            (&mut self.previous_secret, "previous secret"),
        ] {
            if let Some(sealed) = text
                && let Some(opened) = open(sealed, "secret", shown)?
            {
                *sealed = opened;
            }
        }
        if let Some(target) = &mut self.target
            && let Some(place) = credentials(target)
            && let Some(opened) = open(&target[place.clone()], "target", "target")?
        {
            target.replace_range(place, &opened);
        }
        // Most rows have nothing to open here.
        let has_sealed =
            |json: &Option<String>| json.as_deref().is_some_and(|json| json.contains(MARK));
        if has_sealed(&self.headers) {
            self.each_header(|name, value| open(value, &header(name), &format!("header {name}")))?;
        }
        if has_sealed(&self.auth) {
            self.each_credential(|name, value| {
                open(value, &credential(name), &format!("auth {name}"))
            })?;
        }
        Ok(())
    }

    /// Seals what `which` and `what` name. Returns whether anything has changed.
    ///
    /// # Errors
    /// When something that is sealed cannot be opened, or the library fails. Then nothing has changed.
    pub fn seal(
        &mut self,
        id: &str,
        which: Sealed,
        what: What,
        (keys, keyring): (&Secrets, &Keyring),
    ) -> Result<bool, String> {
        let mut sealed = self.clone();
        let again = |text: &str, part: &str, shown: &str| {
            if !what.covers(text, keyring.newest()) {
                return Ok(None);
            }
            let bound = Bound { hook: id, part };
            let plain = match is_sealed(text) {
                true => keys
                    .open(text, bound)
                    .map_err(|why| format!("its {shown} {why}"))?,
                false => text.to_owned(),
            };
            let sealed = keyring.seal(&plain, bound);
            let sealed = sealed.ok_or_else(|| format!("its {shown} {NotSealed}"))?;
            Ok::<_, String>(Some(sealed))
        };
        if which.secret {
            for (text, shown) in [
                (&mut sealed.secret, "secret"),
                (&mut sealed.previous_secret, "previous secret"),
            ] {
                if let Some(text) = text
                    && let Some(new) = again(text, "secret", shown)?
                {
                    *text = new;
                }
            }
        }
        if which.target
            && let Some(target) = &mut sealed.target
            && let Some(place) = credentials(target)
            && let Some(new) = again(&target[place.clone()], "target", "target")?
        {
            target.replace_range(place, &new);
        }
        if which.headers {
            sealed.each_header(|name, value| {
                again(value, &header(name), &format!("header {name}"))
            })?;
        }
        if which.auth {
            sealed.each_credential(|name, value| {
                again(value, &credential(name), &format!("auth {name}"))
            })?;
        }
        let changed = sealed != *self;
        *self = sealed;
        Ok(changed)
    }

    /// Whether something is stored as it is that `which` names.
    pub fn has_plain(&self, which: Sealed) -> bool {
        let is_plain = |text: &Option<String>| text.as_deref().is_some_and(|text| !is_sealed(text));
        let credentials = || {
            let target = self.target.as_deref()?;
            Some(&target[credentials(target)?])
        };
        which.secret && (is_plain(&self.secret) || is_plain(&self.previous_secret))
            || which.target && credentials().is_some_and(|text| !is_sealed(text))
            || which.headers && {
                let mut values = self.headers().into_iter().flat_map(Map::into_values);
                values.any(|value| value.as_str().is_some_and(|text| !is_sealed(text)))
            }
            || which.auth && {
                let mut found = false;
                if let Some(mut auth) = object(self.auth.as_deref()) {
                    credentials_in(&mut auth, &mut |_, text| found |= !is_sealed(text));
                }
                found
            }
    }

    /// Takes out all that is secret.
    pub fn clear(&mut self) {
        (self.secret, self.previous_secret) = (None, None);
        (self.headers, self.auth) = (None, None);
        if let Some(target) = &mut self.target
            && let Some(place) = credentials(target)
        {
            // The @ behind it, too.
            target.replace_range(place.start..=place.end, "");
        }
    }

    fn headers(&self) -> Option<Map<String, Value>> {
        object(self.headers.as_deref())
    }

    /// Replaces the values of headers for which `change` returns another. What is no object of texts is left as it is:
    /// such a row is invalid.
    fn each_header(
        &mut self,
        change: impl Fn(&str, &str) -> Result<Option<String>, String>,
    ) -> Result<(), String> {
        let Some(mut headers) = self.headers() else {
            return Ok(());
        };
        let mut changed = false;
        for (name, value) in &mut headers {
            if let Value::String(text) = value
                && let Some(new) = change(name, text)?
            {
                *text = new;
                changed = true;
            }
        }
        if changed {
            self.headers = Some(Value::Object(headers).to_string());
        }
        Ok(())
    }

    /// Replaces the credentials in `auth` for which `change` returns others. What is no object is left as it is, too.
    fn each_credential(
        &mut self,
        change: impl Fn(&str, &str) -> Result<Option<String>, String>,
    ) -> Result<(), String> {
        let Some(mut auth) = object(self.auth.as_deref()) else {
            return Ok(());
        };
        let mut changed = Ok(false);
        credentials_in(&mut auth, &mut |name, text| {
            let Ok(before) = changed else { return };
            changed = change(name, text).map(|new| match new {
                Some(new) => {
                    *text = new;
                    true
                }
                None => before,
            });
        });
        if changed? {
            self.auth = Some(Value::Object(auth).to_string());
        }
        Ok(())
    }
}

fn object(json: Option<&str>) -> Option<Map<String, Value>> {
    serde_json::from_str(json?).ok()
}

/// Does something with each credential in an `auth`, and its key.
fn credentials_in(auth: &mut Map<String, Value>, act: &mut dyn FnMut(&str, &mut String)) {
    for (name, value) in auth {
        match value {
            Value::String(text) if CREDENTIALS.contains(&name.as_str()) => act(name, text),
            Value::Object(inner) if name == "oauth2" => credentials_in(inner, act),
            _ => {}
        }
    }
}

/// What a credential of `auth` is bound to.
fn credential(name: &str) -> String {
    format!("auth:{name}")
}

/// What the value of a header is bound to. The case of its name means nothing.
fn header(name: &str) -> String {
    format!("header:{}", name.to_ascii_lowercase())
}

/// Where the credentials stand in a URL: from behind `://` up to the last `@` of the authority. `None`: it has none.
fn credentials(target: &str) -> Option<Range<usize>> {
    let start = target.find("://")? + "://".len();
    let rest = &target[start..];
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let at = rest[..end].rfind('@')?;
    (at > 0).then_some(start..start + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    const ALL: Sealed = Sealed {
        secret: true,
        target: true,
        headers: true,
        auth: true,
    };

    fn keyring(letter: &str) -> Keyring {
        Keyring::of([&Secret::new(format!("{}=", letter.repeat(43)))]).unwrap()
    }

    fn parts() -> SecretParts {
        let text = |text: &str| Some(text.to_owned());
        SecretParts {
            secret: text("the-secret"),
            previous_secret: text("the-former"),
            target: text("https://user:p%40ss@example.com/a@b?c=d@e"),
            headers: text(r#"{"X-Key": "the-key", "Authorization": "Bearer t"}"#),
            auth: text(
                r#"{"oauth2": {"token_url": "https://t.example", "client_id": "c", "client_secret": "the-last"}}"#,
            ),
        }
    }

    #[test]
    fn each_credential_is_sealed_where_it_stands_and_opened_again() {
        let keys = (&Secrets::default(), &keyring("A"));
        for auth in [
            r#"{"bearer":"the-key"}"#,
            r#"{"user":"anna","password":"the-key"}"#,
            r#"{"oauth2":{"client_id":"c","client_secret":"the-key"}}"#,
        ] {
            let mut parts = SecretParts {
                auth: Some(auth.to_owned()),
                ..SecretParts::default()
            };
            assert_eq!(parts.texts(), ["the-key"]);
            assert_eq!(parts.seal("7", ALL, What::Plain, keys), Ok(true));
            let sealed = parts.auth.clone().unwrap();
            assert!(
                !sealed.contains("the-key") && !parts.has_plain(ALL),
                "{sealed}"
            );
            assert!(
                sealed.contains("anna") || !auth.contains("anna"),
                "{sealed}"
            );
            // It is bound to the hook and to its key.
            assert!(parts.clone().open("8", &Secrets::default()).is_err());
        }
        for other in ["Bearer x", "[]", "{\"bearer\": 7}", "{\"a\": \"b\"}"] {
            let mut parts = SecretParts {
                auth: Some(other.to_owned()),
                ..SecretParts::default()
            };
            assert_eq!(
                parts.seal("7", ALL, What::Plain, keys),
                Ok(false),
                "{other}"
            );
        }
    }

    #[test]
    fn all_that_is_secret_is_sealed_and_nothing_else_is() {
        let mut sealed = parts();
        let changed = sealed.seal("7", ALL, What::Plain, (&Secrets::default(), &keyring("A")));
        assert_eq!(changed, Ok(true));
        assert!(!sealed.has_plain(ALL) && sealed.has_sealed());
        let target = sealed.target.clone().unwrap();
        assert!(target.starts_with(&format!("https://{MARK}")), "{target}");
        assert!(target.ends_with("@example.com/a@b?c=d@e"), "{target}");
        let headers = sealed.headers().unwrap();
        assert_eq!(
            headers.keys().collect::<Vec<_>>(),
            ["X-Key", "Authorization"]
        );
        let whole = format!(
            "{:?}",
            (
                &sealed.secret,
                &sealed.previous_secret,
                &sealed.target,
                &sealed.headers,
                &sealed.auth
            )
        );
        for secret in ["the-", "p%40ss", "Bearer"] {
            assert!(!whole.contains(secret), "{whole}");
        }
        let again = sealed.seal("7", ALL, What::Plain, (&Secrets::default(), &keyring("A")));
        assert_eq!(again, Ok(false));
        sealed.clear();
        assert_eq!(
            sealed.target.as_deref(),
            Some("https://example.com/a@b?c=d@e")
        );
    }

    #[test]
    fn without_a_key_it_says_what_is_sealed_and_with_which_key() {
        let keyring = keyring("A");
        let mut sealed = parts();
        let none = Secrets::default();
        sealed
            .seal("7", ALL, What::Plain, (&none, &keyring))
            .unwrap();
        let reason = sealed.open("7", &none).unwrap_err();
        let expected = format!(
            "its secret is sealed with the key {}, and hooks.toml has none; give it in [secrets]",
            keyring.newest()
        );
        assert_eq!(reason, expected);
    }

    #[test]
    fn credentials_are_found_where_a_url_has_them() {
        for (target, found) in [
            ("https://example.com/", None),
            ("https://@example.com/", None),
            ("https://example.com/a@b", None),
            ("https://example.com?a@b", None),
            ("https://u@example.com", Some("u")),
            ("HTTPS://u:p@x:1@example.com/", Some("u:p@x:1")),
            ("nonsense", None),
            ("", None),
        ] {
            let place = credentials(target);
            assert_eq!(place.map(|place| &target[place]), found, "{target}");
        }
    }
}
