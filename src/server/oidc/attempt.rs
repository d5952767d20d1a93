//! A login that has begun. Its secrets stay in the browser that began it.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::server::cookies::{self, SameSite, random};

const COOKIE: &str = "rowhook_oidc";
/// How long somebody may take at the provider.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// A login that has begun.
pub(in crate::server) struct Attempt {
    /// What the browser brings back, so that nobody else can end what it began.
    pub(super) state: String,
    /// What the ID token has to hold, so that it was made for this login.
    pub(super) nonce: String,
    /// What proves to the provider that the code is asked for by whoever began.
    pub(super) verifier: String,
}

impl Attempt {
    /// A new one.
    pub(in crate::server) fn begin() -> Self {
        Self {
            state: random(),
            nonce: random(),
            verifier: random(),
        }
    }

    /// The `Set-Cookie` header that has the browser keep it. Unlike the session's, this cookie comes along when the
    /// provider sends the browser back.
    pub(in crate::server) fn cookie(&self, over_tls: bool) -> HeaderValue {
        let value = format!("{}.{}.{}", self.state, self.nonce, self.verifier);
        cookies::set(COOKIE, &value, TIMEOUT, SameSite::Lax, over_tls)
    }

    /// The one that this browser began, if it has brought back its state.
    pub(in crate::server) fn resume(
        headers: &HeaderMap,
        state: &str,
        over_tls: bool,
    ) -> Option<Self> {
        let value = cookies::value_of(headers, COOKIE, over_tls)?;
        let mut parts = value.split('.');
        let attempt = Self {
            state: parts.next()?.to_owned(),
            nonce: parts.next()?.to_owned(),
            verifier: parts.next()?.to_owned(),
        };
        let is_its = attempt.state.as_bytes().ct_eq(state.as_bytes());
        (bool::from(is_its) && !state.is_empty()).then_some(attempt)
    }

    /// What the provider is shown of the verifier.
    pub(super) fn challenge(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }
}

/// The `Set-Cookie` header that makes a browser forget its attempt.
pub(in crate::server) fn forget(over_tls: bool) -> HeaderValue {
    cookies::clear(COOKIE, SameSite::Lax, over_tls)
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn an_attempt_is_resumed_by_its_browser_with_its_state_alone() {
        let attempt = Attempt::begin();
        let set = attempt.cookie(true);
        let set = set.to_str().unwrap();
        assert!(
            set.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600"),
            "{set}"
        );
        let mut headers = HeaderMap::new();
        assert!(Attempt::resume(&headers, &attempt.state, true).is_none());
        let pair = set.split(';').next().unwrap();
        headers.insert(header::COOKIE, pair.parse().unwrap());
        let resumed = Attempt::resume(&headers, &attempt.state, true).unwrap();
        assert_eq!(resumed.verifier, attempt.verifier);
        assert!(Attempt::resume(&headers, "another", true).is_none());
        headers.insert(header::COOKIE, "__Host-rowhook_oidc=..".parse().unwrap());
        assert!(Attempt::resume(&headers, "", true).is_none());
    }

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        // The example of RFC 7636, appendix B.
        let attempt = Attempt {
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(),
            ..Attempt::begin()
        };
        assert_eq!(
            attempt.challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
