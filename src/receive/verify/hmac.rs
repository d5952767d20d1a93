//! Signatures that are an HMAC of the body in a header of its own, as NetBox and GitHub send them.

use axum::http::{HeaderMap, HeaderName};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::refusal::{Refusal, text};
use crate::{
    secret::Secret,
    signature::{Algorithm, Encoding},
};

/// An HMAC of the body, in a header of its own.
///
/// The id and the time of such a request are not signed. Whoever overhears it can send it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacScheme {
    /// The name of the header, such as `X-Hook-Signature`.
    pub header: HeaderName,
    /// The hash of the HMAC.
    pub algorithm: Algorithm,
    /// How the bytes of the HMAC are written. Hexadecimal digits may be of either case.
    pub encoding: Encoding,
    /// What precedes the HMAC in the header, such as `sha256=`. May be empty.
    pub prefix: String,
}

impl HmacScheme {
    /// Checks the header against each of the secrets, whose text is the key.
    pub(super) fn verify(
        &self,
        secrets: &[Secret],
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let code = text(headers, &self.header)?
            .strip_prefix(&*self.prefix)
            .and_then(|text| self.decode(text));
        let is_right = |code: Vec<u8>| {
            secrets
                .iter()
                .any(|secret| self.matches(secret.expose().as_bytes(), body, &code))
        };
        if code.is_some_and(is_right) {
            Ok(())
        } else {
            Err(Refusal::Wrong(self.header.clone()))
        }
    }

    fn decode(&self, text: &str) -> Option<Vec<u8>> {
        match self.encoding {
            Encoding::Hex => hex::decode(text).ok(),
            Encoding::Base64 => BASE64_STANDARD.decode(text).ok(),
        }
    }

    fn matches(&self, key: &[u8], body: &[u8], code: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Sha1 => matches::<Hmac<Sha1>>(key, body, code),
            Algorithm::Sha256 => matches::<Hmac<Sha256>>(key, body, code),
            Algorithm::Sha512 => matches::<Hmac<Sha512>>(key, body, code),
        }
    }
}

/// Whether `code` is the HMAC of `body`, compared in constant time.
fn matches<M: Mac + KeyInit>(key: &[u8], body: &[u8], code: &[u8]) -> bool {
    let keyed = <M as KeyInit>::new_from_slice(key);
    keyed.is_ok_and(|hmac| hmac.chain_update(body).verify_slice(code).is_ok())
}
