//! Where a hook is sent, and what its requests carry beside their bodies.

use std::time::SystemTime;

use http::{
    Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
};
use thiserror::Error;
use url::Url;

use crate::{
    config::{FileHook, Tls, access::take_credentials},
    secret::Secret,
    signature::{BadSecret, Signer, SigningKey, scheme::is_reserved, seconds},
};

const OURS: HeaderValue = HeaderValue::from_static(concat!("rowhook/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");

/// Where a hook is sent. There may be a million of them, so it is small: what few hooks have stands elsewhere, and what
/// takes less than a microsecond is made for each request anew.
#[derive(Debug)]
pub struct Target {
    /// Without credentials.
    url: Box<str>,
    signer: Option<Signer>,
    special: Option<Box<Special>>,
}

/// What few targets have.
#[derive(Debug, Clone)]
struct Special {
    headers: HeaderMap,
    method: Method,
    tls: Option<Tls>,
}

impl Default for Special {
    fn default() -> Self {
        Self {
            headers: HeaderMap::new(),
            method: Method::POST,
            tls: None,
        }
    }
}

/// Why a hook cannot be sent anywhere. It repeats no secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadTarget {
    /// The secret cannot be used.
    #[error(transparent)]
    Secret(#[from] BadSecret),
    /// A header's name is none.
    #[error("{0:?} is not the name of a header")]
    HeaderName(String),
    /// A header would change what rowhook or HTTP itself says.
    #[error("the header {0} is set by rowhook; choose another name")]
    ReservedHeader(String),
    /// A header's value cannot be sent.
    #[error(
        "the value of the header {0} has a line break or another character that cannot be sent"
    )]
    HeaderValue(String),
    /// A header stands where the signature will.
    #[error("the header {0} is that of the signature; choose another name for one of the two")]
    SignatureHeader(String),
}

impl Target {
    /// Makes a target ready. Credentials in `url` go into an Authorization header and nowhere else, and with a secret it is
    /// signed as Standard Webhooks says.
    ///
    /// # Errors
    /// When the secret or a header cannot be used.
    pub fn new(
        url: &Url,
        secret: Option<&Secret>,
        headers: &[(&str, &Secret)],
    ) -> Result<Self, BadTarget> {
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
            // Of two, that which the user wrote as a header is meant.
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
            special: (!sent.is_empty()).then(|| {
                Box::new(Special {
                    headers: sent,
                    ..Special::default()
                })
            }),
        })
    }

    /// The target of a hook of hooks.toml.
    pub fn of_file(hook: &FileHook) -> Self {
        let is_usual = hook.headers.is_empty() && hook.method == Method::POST && hook.tls.is_none();
        let special = Special {
            headers: hook.headers.clone(),
            method: hook.method.clone(),
            tls: hook.tls.clone(),
        };
        Self {
            url: hook.target.as_str().into(),
            signer: hook.signer.clone(),
            special: (!is_usual).then(|| Box::new(special)),
        }
    }

    /// The same, signed otherwise.
    ///
    /// # Errors
    /// When a header of the hook stands where the signature will.
    pub fn signed_by(self, signer: Option<Signer>) -> Result<Self, BadTarget> {
        if let (Some(signer), Some(special)) = (&signer, &self.special)
            && special.headers.contains_key(signer.header())
        {
            return Err(BadTarget::SignatureHeader(signer.header().to_string()));
        }
        Ok(Self { signer, ..self })
    }

    /// What a request of this id carries, but for its signature. Values that may be secret are marked as sensitive.
    pub fn headers(&self, id: &str, content_type: &str, at: SystemTime) -> HeaderMap {
        let own = self.special.as_ref().map(|special| &special.headers);
        let mut headers = HeaderMap::with_capacity(own.map_or(0, HeaderMap::len) + 6);
        headers.insert(USER_AGENT, OURS);
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
        let special = self.special.as_ref();
        special.map_or(&POST, |special| &special.method)
    }

    pub(super) fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.special.as_ref()?.tls.as_ref()
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
