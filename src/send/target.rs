//! Where a hook is sent, and what its requests carry besides their bodies.

use std::{sync::Arc, time::SystemTime};

use http::{
    Method, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
};
use thiserror::Error;
use url::Url;

use crate::{
    config::{
        Auth, ClientCredentials, FileHook, Tls,
        access::take_credentials,
        bounds::{self, Exceeded},
    },
    secret::Secret,
    signature::{BadSecret, Signer, SigningKey, scheme::is_reserved, seconds},
};

const OURS: HeaderValue = HeaderValue::from_static(concat!("rowhook/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");

/// Where and how a hook is sent.
///
/// There may be a million targets, so each is small: what only few have is kept in a box, and what can be made in less
/// than a microsecond is made anew for each request.
#[derive(Debug)]
pub struct Target {
    /// The URL without credentials.
    url: Box<str>,
    signer: Option<Signer>,
    uncommon: Option<Box<Uncommon>>,
}

/// What only few targets have.
#[derive(Debug, Clone)]
struct Uncommon {
    headers: HeaderMap,
    method: Method,
    tls: Option<Tls>,
    oauth2: Option<Arc<ClientCredentials>>,
}

/// What a [`Target`] is made of.
#[derive(Debug, Clone)]
pub struct TargetParts {
    /// The URL without credentials.
    pub url: Box<str>,
    /// Signs its requests.
    pub signer: Option<Signer>,
    /// Its own headers, credentials among them.
    pub headers: HeaderMap,
    /// The method of its requests.
    pub method: Method,
    /// Its client certificate, and whom it is trusted by.
    pub tls: Option<Tls>,
    /// The client that gets tokens for it.
    pub oauth2: Option<Arc<ClientCredentials>>,
}

impl Default for Uncommon {
    fn default() -> Self {
        Self {
            headers: HeaderMap::new(),
            method: Method::POST,
            tls: None,
            oauth2: None,
        }
    }
}

/// Why a target cannot be used. The messages do not repeat secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadTarget {
    /// The URL, the secret or the headers are larger than they may be.
    #[error(transparent)]
    TooLarge(#[from] Exceeded),
    /// The URL is one that no request can have.
    #[error("its target cannot be sent to: {0}")]
    Url(String),
    /// The secret cannot be used.
    #[error(transparent)]
    Secret(#[from] BadSecret),
    /// The name of a header is not valid.
    #[error("{0:?} is not the name of a header")]
    HeaderName(String),
    /// A header is one that rowhook or HTTP itself sets.
    #[error("the header {0} is set by rowhook; choose another name")]
    ReservedHeader(String),
    /// The value of a header is not valid.
    #[error(
        "the value of the header {0} has a line break or another character that cannot be sent"
    )]
    HeaderValue(String),
    /// It has credentials in two places, and nobody knows which are meant.
    #[error(
        "its auth stands beside the credentials in its target or the header authorization; keep one of the two"
    )]
    TwoCredentials,
    /// A header has the name of the signature's header.
    #[error("the header {0} is that of the signature; choose another name for one of the two")]
    SignatureHeader(String),
}

impl BadTarget {
    /// What of a hook is to blame, as the API calls it; `None`: no part alone.
    pub fn part(&self) -> Option<&'static str> {
        match self {
            Self::TooLarge(exceeded) if exceeded.is_of(bounds::TARGET) => Some("target"),
            Self::Url(_) => Some("target"),
            Self::TooLarge(exceeded) if exceeded.is_of(bounds::HEADER_JSON) => Some("headers"),
            Self::HeaderName(_)
            | Self::ReservedHeader(_)
            | Self::HeaderValue(_)
            | Self::SignatureHeader(_) => Some("headers"),
            Self::TwoCredentials => Some("auth"),
            Self::TooLarge(_) | Self::Secret(_) => None,
        }
    }
}

impl Target {
    /// A target with these headers. Credentials in `url` are sent only in the `Authorization` header. With a secret,
    /// requests are signed as Standard Webhooks describes.
    ///
    /// # Errors
    /// When the URL, the secret or a header cannot be used, or is too large.
    pub fn new(
        url: &Url,
        secret: Option<&Secret>,
        headers: &[(&str, &Secret)],
    ) -> Result<Self, BadTarget> {
        bounds::TARGET.check(url.as_str())?;
        if let Some(secret) = secret {
            bounds::SECRET.check(secret.expose())?;
        }
        let sizes = headers.iter();
        bounds::check_headers(sizes.map(|(name, value)| (*name, value.expose().as_bytes())))?;
        // What no request can have is refused here and not in each attempt.
        if let Err(error) = Uri::try_from(url.as_str()) {
            return Err(BadTarget::Url(error.to_string()));
        }
        let mut sent = HeaderMap::with_capacity(headers.len());
        let mut url = url.clone();
        if let Some(credentials) = take_credentials(&mut url) {
            sent.insert(AUTHORIZATION, credentials);
        }
        for (name, value) in headers {
            let name = HeaderName::try_from(*name)
                .map_err(|_| BadTarget::HeaderName((*name).to_owned()))?;
            if is_reserved(name.as_str()) {
                return Err(BadTarget::ReservedHeader(name.to_string()));
            }
            let value = HeaderValue::try_from(value.expose());
            let mut value = value.map_err(|_| BadTarget::HeaderValue(name.to_string()))?;
            value.set_sensitive(true);
            // A header is written more expressly than the credentials of the URL, and replaces those.
            if name == AUTHORIZATION {
                sent.insert(name, value);
            } else {
                sent.append(name, value);
            }
        }
        Ok(Self {
            url: url.as_str().into(),
            signer: match secret {
                Some(secret) => Some(Signer::Standard {
                    newest: SigningKey::parse(secret)?,
                    previous: None,
                }),
                None => None,
            },
            uncommon: (!sent.is_empty()).then(|| {
                Box::new(Uncommon {
                    headers: sent,
                    ..Uncommon::default()
                })
            }),
        })
    }

    /// The target of a hook of hooks.toml.
    pub fn of_file(hook: &FileHook) -> Self {
        let is_usual = hook.headers.is_empty()
            && hook.method == Method::POST
            && hook.tls.is_none()
            && hook.oauth2.is_none();
        let uncommon = Uncommon {
            headers: hook.headers.clone(),
            method: hook.method.clone(),
            tls: hook.tls.clone(),
            oauth2: hook.oauth2.clone(),
        };
        Self {
            url: hook.target.as_str().into(),
            signer: hook.signer.clone(),
            uncommon: (!is_usual).then(|| Box::new(uncommon)),
        }
    }

    /// The same target, signed by `signer`.
    ///
    /// # Errors
    /// When one of its headers has the name of the signature's header.
    pub fn signed_by(self, signer: Option<Signer>) -> Result<Self, BadTarget> {
        if let (Some(signer), Some(uncommon)) = (&signer, &self.uncommon) {
            let mut headers = [Some(signer.header()), signer.second_header()]
                .into_iter()
                .flatten();
            if let Some(taken) = headers.find(|header| uncommon.headers.contains_key(*header)) {
                return Err(BadTarget::SignatureHeader(taken.to_string()));
            }
        }
        Ok(Self { signer, ..self })
    }

    /// The same target, whose requests name another user agent than ours.
    #[must_use]
    pub fn with_user_agent(self, user_agent: HeaderValue) -> Self {
        let mut uncommon = self.uncommon.unwrap_or_default();
        uncommon.headers.insert(USER_AGENT, user_agent);
        Self {
            uncommon: Some(uncommon),
            ..self
        }
    }

    /// The same target, with this client certificate, and the authorities that it is trusted by.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        let mut uncommon = self.uncommon.unwrap_or_default();
        uncommon.tls = Some(tls);
        Self {
            uncommon: Some(uncommon),
            ..self
        }
    }

    /// The same target, with requests of this method.
    #[must_use]
    pub fn with_method(self, method: Method) -> Self {
        if *self.method() == method {
            return self;
        }
        let mut uncommon = self.uncommon.unwrap_or_default();
        uncommon.method = method;
        Self {
            uncommon: Some(uncommon),
            ..self
        }
    }

    /// The same target, with these credentials.
    ///
    /// # Errors
    /// When it has others already.
    pub fn with_auth(self, auth: Option<Auth>) -> Result<Self, BadTarget> {
        let Some(auth) = auth else {
            return Ok(self);
        };
        let mut uncommon = self.uncommon.unwrap_or_default();
        if uncommon.headers.contains_key(AUTHORIZATION) {
            return Err(BadTarget::TwoCredentials);
        }
        match auth {
            Auth::Header(value) => {
                uncommon.headers.insert(AUTHORIZATION, value);
            }
            Auth::Token(credentials) => uncommon.oauth2 = Some(credentials),
        }
        Ok(Self {
            uncommon: Some(uncommon),
            ..self
        })
    }

    /// What it is made of: [`of_parts`](Self::of_parts) makes the same of it.
    pub fn parts(&self) -> TargetParts {
        let own = self.uncommon.as_deref().cloned().unwrap_or_default();
        TargetParts {
            url: self.url.clone(),
            signer: self.signer.clone(),
            headers: own.headers,
            method: own.method,
            tls: own.tls,
            oauth2: own.oauth2,
        }
    }

    /// The target that was taken apart.
    pub fn of_parts(parts: TargetParts) -> Self {
        let TargetParts {
            url,
            signer,
            headers,
            method,
            tls,
            oauth2,
        } = parts;
        let is_usual =
            headers.is_empty() && method == Method::POST && tls.is_none() && oauth2.is_none();
        let uncommon = Uncommon {
            headers,
            method,
            tls,
            oauth2,
        };
        Self {
            url,
            signer,
            uncommon: (!is_usual).then(|| Box::new(uncommon)),
        }
    }

    /// The headers of a request with this id, except its signature. Values that may be secret are marked as sensitive.
    pub fn headers(&self, id: &str, content_type: &str, at: SystemTime) -> HeaderMap {
        let own = self.uncommon.as_ref().map(|uncommon| &uncommon.headers);
        let mut headers = HeaderMap::with_capacity(own.map_or(0, HeaderMap::len) + 6);
        if own.is_none_or(|own| !own.contains_key(USER_AGENT)) {
            headers.insert(USER_AGENT, OURS);
        }
        if let Some(own) = own {
            let own = own.iter();
            headers.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        }
        headers.entry(ACCEPT).or_insert(ANYTHING);
        if let Ok(content_type) = HeaderValue::try_from(content_type) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        put(&mut headers, WEBHOOK_ID, id.to_owned());
        put(&mut headers, WEBHOOK_TIMESTAMP, seconds(at).to_string());
        headers
    }

    /// The method of its requests.
    pub fn method(&self) -> &Method {
        static POST: Method = Method::POST;
        let uncommon = self.uncommon.as_ref();
        uncommon.map_or(&POST, |uncommon| &uncommon.method)
    }

    pub(super) fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.uncommon.as_ref()?.tls.as_ref()
    }

    /// The host of the URL, as it is written there.
    pub fn host(&self) -> &str {
        let rest = self
            .url
            .split_once("://")
            .map_or(&*self.url, |(_, rest)| rest);
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or(rest);
        let host = match authority.find(']') {
            Some(end) => authority.get(..=end),
            None => authority.split(':').next(),
        };
        host.unwrap_or(authority).trim_end_matches('.')
    }

    pub(super) fn oauth2(&self) -> Option<&Arc<ClientCredentials>> {
        self.uncommon.as_ref()?.oauth2.as_ref()
    }

    /// The URL without credentials.
    pub fn display(&self) -> &str {
        &self.url
    }
}

pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    let value = HeaderValue::try_from(value)
        .expect("ids, which the table checks, numbers and signatures are header values");
    headers.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_that_of_the_url() {
        for (url, host) in [
            ("https://A.example", "a.example"),
            ("https://a.example./x", "a.example"),
            (
                "http://user:secret@a.example:8080?x=b.example/",
                "a.example",
            ),
            ("http://[::1]:8080/x", "[::1]"),
            ("http://127.1/#a", "127.0.0.1"),
        ] {
            let target = Target::new(&url.parse().unwrap(), None, &[]).unwrap();
            assert_eq!(target.host(), host, "{url}");
        }
    }
}
