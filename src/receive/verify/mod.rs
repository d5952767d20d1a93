//! Verifies that a request was signed by somebody who knows a secret.
//!
//! These are plain decisions on headers, bytes and the time. Secrets and signatures are compared in constant time.

mod hmac;
mod key;
mod refusal;
mod timed;

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName};

pub use self::{
    hmac::HmacScheme,
    key::{BadSecret, Key},
    refusal::Refusal,
    timed::TimedScheme,
};
use self::{refusal::text, timed::MOST_SIGNATURES};
use super::identity::Covered;
use crate::secret::Secret;

/// How far the time stamp of a request may be from now by default, as Standard Webhooks recommends.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// Verifies requests.
///
/// A request is believed when any one of the secrets signed it. So a secret can be replaced while requests signed with
/// the old one are still on their way.
#[derive(Debug, Clone)]
pub struct Verifier {
    scheme: Scheme,
    tolerance: Duration,
}

#[derive(Debug, Clone)]
enum Scheme {
    Standard(Vec<Key>),
    Hmac(HmacScheme, Vec<Secret>),
    Timed(TimedScheme, Vec<Secret>),
    Unsigned,
}

impl Verifier {
    /// Verifies Standard Webhooks 1.0.0. Each secret is `whsec_…`, for signatures `v1`, or a public key `whpk_…`, for
    /// `v1a`.
    ///
    /// # Errors
    /// When a secret is neither.
    pub fn standard<S: AsRef<str>>(
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, BadSecret> {
        let keys: Result<Vec<Key>, BadSecret> = secrets
            .into_iter()
            .map(|secret| Key::parse(secret.as_ref()))
            .collect();
        keys.map(Self::with_keys)
    }

    /// Verifies Standard Webhooks 1.0.0 with keys that have been read already.
    pub fn with_keys(keys: Vec<Key>) -> Self {
        Self::new(Scheme::Standard(keys))
    }

    /// Verifies an HMAC of the body in a header of its own. The text of each secret is a key. Blank ones, which anybody
    /// could guess, verify nothing.
    pub fn hmac<S: Into<String>>(scheme: HmacScheme, secrets: impl IntoIterator<Item = S>) -> Self {
        Self::new(Scheme::Hmac(scheme, keys(secrets)))
    }

    /// Verifies as Slack, Zoom or Stripe signs. The text of each secret is a key. Blank ones verify nothing.
    pub fn timed<S: Into<String>>(
        scheme: TimedScheme,
        secrets: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::new(Scheme::Timed(scheme, keys(secrets)))
    }

    /// Believes every request. Whoever reaches the endpoint can make tasks run.
    pub fn unsigned() -> Self {
        Self::new(Scheme::Unsigned)
    }

    /// Replaces [`TOLERANCE`]. It matters where a time stamp is signed, which a plain HMAC of the body does not do.
    #[must_use]
    pub fn with_tolerance(self, tolerance: Duration) -> Self {
        Self { tolerance, ..self }
    }

    fn new(scheme: Scheme) -> Self {
        Self {
            scheme,
            tolerance: TOLERANCE,
        }
    }

    /// Whether every request is believed, signed or not.
    pub fn is_unsigned(&self) -> bool {
        matches!(self.scheme, Scheme::Unsigned)
    }

    /// Whether the id of a request is signed too, beside its body.
    pub fn signs_id(&self) -> bool {
        matches!(self.scheme, Scheme::Standard(_))
    }

    /// What of a request is signed, beside its body.
    pub(super) fn covers(&self) -> Covered {
        match &self.scheme {
            Scheme::Standard(_) => Covered::Id,
            Scheme::Timed(scheme, _) => Covered::Time { id: scheme.id() },
            Scheme::Hmac(..) | Scheme::Unsigned => Covered::Body,
        }
    }

    /// Checks that a request was signed by somebody who knows a secret, and not too far from `now`.
    ///
    /// # Errors
    /// Why the request is not believed.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Result<(), Refusal> {
        match &self.scheme {
            Scheme::Standard(keys) => self.verify_standard(keys, headers, body, now),
            Scheme::Hmac(scheme, secrets) => scheme.verify(secrets, headers, body),
            Scheme::Timed(scheme, secrets) => {
                let seconds = scheme.verify(secrets, headers, body)?;
                self.verify_age(seconds, now)
            }
            Scheme::Unsigned => Ok(()),
        }
    }

    fn verify_standard(
        &self,
        keys: &[Key],
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let signatures = text(headers, &HeaderName::from_static(SIGNATURE))?;
        let id = text(headers, &HeaderName::from_static(ID))?;
        let timestamp = HeaderName::from_static(TIMESTAMP);
        let Ok(seconds) = text(headers, &timestamp)?.parse::<u64>() else {
            return Err(Refusal::Malformed(timestamp, "send seconds since 1970"));
        };
        let signatures = signatures
            .split(' ')
            .filter(|signature| !signature.is_empty());
        let signatures: Vec<&str> = signatures.take(MOST_SIGNATURES).collect();
        if !keys
            .iter()
            .any(|key| key.verifies_any(&signatures, id, seconds, body))
        {
            return Err(Refusal::Wrong(HeaderName::from_static(SIGNATURE)));
        }
        self.verify_age(seconds, now)
    }

    /// Checks when a request was signed. Called after the signature was checked, so that only somebody who knows a
    /// secret learns what our clock shows.
    fn verify_age(&self, seconds: u64, now: SystemTime) -> Result<(), Refusal> {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let distance = Duration::from_secs(now.abs_diff(seconds));
        if distance > self.tolerance {
            return Err(Refusal::Stale {
                distance,
                ahead: seconds > now,
                tolerance: self.tolerance,
            });
        }
        Ok(())
    }
}

/// The secrets that somebody can know, as keys.
fn keys<S: Into<String>>(secrets: impl IntoIterator<Item = S>) -> Vec<Secret> {
    let secrets = secrets.into_iter().map(Secret::new);
    secrets.filter(|secret| !is_blank(secret)).collect()
}

/// Whether a secret is empty, or has only blanks. An environment variable that was never filled is one.
pub fn is_blank(secret: &Secret) -> bool {
    secret.expose().trim().is_empty()
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use ed25519_dalek::{Signer, SigningKey as PrivateKey};
    use proptest::prelude::*;

    use super::*;
    use crate::signature::{Algorithm, Encoding};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    /// The headers of the example that Standard Webhooks publishes.
    const PUBLISHED: [(&str, &str); 3] = [
        (ID, "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        (TIMESTAMP, "1614265330"),
        (SIGNATURE, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn replaced(name: &str, value: &str) -> HeaderMap {
        let mut headers = headers(&PUBLISHED);
        headers.insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        headers
    }

    #[test]
    fn the_published_example_is_good_with_any_of_the_secrets_and_among_other_signatures() {
        for secrets in [vec![SECRET], vec![OTHER, SECRET], vec![SECRET, OTHER]] {
            let verifier = Verifier::standard(secrets).unwrap();
            verifier
                .verify(&headers(&PUBLISHED), BODY, at(1_614_265_330))
                .unwrap();
            let several = format!("v1a,AAAA v1,nonsense {} v2,x", PUBLISHED[2].1);
            verifier
                .verify(&replaced(SIGNATURE, &several), BODY, at(1_614_265_330))
                .unwrap();
        }
    }

    #[test]
    fn what_is_wrong_or_missing_is_named_and_has_its_status() {
        let verifier = Verifier::standard([SECRET]).unwrap();
        let refuse = |headers: HeaderMap, body: &[u8], now: u64| {
            let refusal = verifier.verify(&headers, body, at(now)).unwrap_err();
            (refusal.status().as_u16(), refusal.to_string())
        };
        let without = |name: &str| {
            let mut headers = headers(&PUBLISHED);
            headers.remove(name);
            headers
        };
        let now = 1_614_265_330;
        let wrong = "the signature in webhook-signature does not fit the body and any secret";
        for (headers, body, at, status, message) in [
            (
                without(SIGNATURE),
                BODY,
                now,
                401,
                "the header webhook-signature is missing",
            ),
            (
                without(ID),
                BODY,
                now,
                401,
                "the header webhook-id is missing",
            ),
            (
                without(TIMESTAMP),
                BODY,
                now,
                401,
                "the header webhook-timestamp is missing",
            ),
            (headers(&PUBLISHED), b"{}".as_slice(), now, 401, wrong),
            (replaced(ID, "msg_another"), BODY, now, 401, wrong),
            (replaced(TIMESTAMP, "1614265331"), BODY, now, 401, wrong),
            (replaced(SIGNATURE, "v1,"), BODY, now, 401, wrong),
            (replaced(SIGNATURE, ""), BODY, now, 401, wrong),
            (
                replaced(SIGNATURE, &PUBLISHED[2].1["v1,".len()..]),
                BODY,
                now,
                401,
                wrong,
            ),
            (
                replaced(SIGNATURE, &PUBLISHED[2].1.replace("v1", "v1a")),
                BODY,
                now,
                401,
                wrong,
            ),
            (
                replaced(TIMESTAMP, "yesterday"),
                BODY,
                now,
                400,
                "the header webhook-timestamp is malformed; send seconds since 1970",
            ),
            (
                headers(&PUBLISHED),
                BODY,
                now + 301,
                401,
                "its time stamp is 5m 1s old, more than the 5m that are tolerated",
            ),
            (
                headers(&PUBLISHED),
                BODY,
                now - 3600,
                401,
                "its time stamp is 1h ahead, more than the 5m that are tolerated",
            ),
        ] {
            assert_eq!(refuse(headers, body, at), (status, message.to_owned()));
        }
        for far in [now + 300, now - 300] {
            assert!(verifier.verify(&headers(&PUBLISHED), BODY, at(far)).is_ok());
        }
    }

    #[test]
    fn a_public_key_verifies_v1a_and_nothing_else() {
        let private = PrivateKey::from_bytes(&[7; 32]);
        let public = BASE64_STANDARD.encode(private.verifying_key().as_bytes());
        let verifier = Verifier::standard([format!("whpk_{public}")]).unwrap();
        let mut signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.".to_vec();
        signed.extend_from_slice(BODY);
        let signature = BASE64_STANDARD.encode(private.sign(&signed).to_bytes());
        let verify = |signature: &str, body: &[u8]| {
            verifier.verify(&replaced(SIGNATURE, signature), body, at(1_614_265_330))
        };
        verify(&format!("v1a,{signature}"), BODY).unwrap();
        verify(&format!("{} v1a,{signature}", PUBLISHED[2].1), BODY).unwrap();
        assert!(verify(&format!("v1,{signature}"), BODY).is_err());
        assert!(verify(&format!("v1a,{signature}"), b"{}").is_err());
        assert!(verify(PUBLISHED[2].1, BODY).is_err());
    }

    #[test]
    fn an_hmac_header_is_read_in_its_algorithm_encoding_and_prefix() {
        use Algorithm::{Sha1, Sha256, Sha512};
        use Encoding::{Base64, Hex};
        // The output of `openssl dgst -hmac key` for BODY.
        for (algorithm, encoding, prefix, value) in [
            (
                Sha1,
                Hex,
                "sha1=",
                "sha1=8e26225c9a1fc38c1e51967540ccd8f7b7b87d39",
            ),
            (
                Sha256,
                Hex,
                "sha256=",
                "sha256=ad1a616fa5d45e0552fd84752e21f775525a9caa345c9b14fa23d8435584f7e9",
            ),
            (
                Sha256,
                Base64,
                "",
                "rRphb6XUXgVS/YR1LiH3dVJanKo0XJsU+iPYQ1WE9+k=",
            ),
            (
                Sha512,
                Hex,
                "",
                "a568acb281e13f6c68f7c314295917b3dda00d6db032df616b500faa0798f0baa9dd85df379368814f8fa62d96d6fc7a31f6b004e9dc98f019177f48bb52df68",
            ),
        ] {
            let header = HeaderName::from_static("x-hook-signature");
            let scheme = HmacScheme {
                header,
                algorithm,
                encoding,
                prefix: prefix.into(),
            };
            let verify = |key: &str, value: &str, body: &[u8]| {
                let headers = headers(&[("x-hook-signature", value)]);
                Verifier::hmac(scheme.clone(), ["other", key]).verify(&headers, body, at(0))
            };
            verify("key", value, BODY).unwrap();
            if encoding == Hex && prefix.is_empty() {
                verify("key", &value.to_uppercase(), BODY).unwrap();
            }
            for wrong in [
                "",
                "sha256=",
                "zz",
                &value[1..],
                &value[..value.len() - 1],
                "sha256=é",
            ] {
                let Ok(wrong) = axum::http::HeaderValue::from_bytes(wrong.as_bytes()) else {
                    continue;
                };
                let headers =
                    HeaderMap::from_iter([(HeaderName::from_static("x-hook-signature"), wrong)]);
                let verifier = Verifier::hmac(scheme.clone(), ["key"]);
                assert!(verifier.verify(&headers, BODY, at(0)).is_err());
            }
            assert!(verify("another key", value, BODY).is_err());
            assert!(verify("key", value, b"{}").is_err());
        }
    }

    #[test]
    fn no_more_than_a_few_signatures_are_looked_at() {
        let verifier = Verifier::standard([SECRET]).unwrap();
        let right = PUBLISHED[2].1;
        let verify =
            |value: &str| verifier.verify(&replaced(SIGNATURE, value), BODY, at(1_614_265_330));
        for others in [0, 1, 15] {
            verify(&format!("{}{right}", "v1,x ".repeat(others))).unwrap();
        }
        verify(&format!("x{}{right}", " ".repeat(20_000))).unwrap();
        assert!(verify(&format!("{}{right}", "v1,x ".repeat(16))).is_err());
    }

    #[test]
    fn a_blank_secret_verifies_nothing() {
        let scheme = HmacScheme {
            header: HeaderName::from_static("x-hook-signature"),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            prefix: String::new(),
        };
        // The HMAC of an empty body with an empty key.
        let code = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
        for secret in ["", " ", "\t\n"] {
            let verifier = Verifier::hmac(scheme.clone(), [secret]);
            assert!(
                verifier
                    .verify(&headers(&[("x-hook-signature", code)]), b"", at(0))
                    .is_err()
            );
        }
    }

    #[test]
    fn a_bad_secret_is_refused_and_not_repeated() {
        for secret in [
            "",
            "whsec_",
            "whpk_",
            "whpk_c2hvcnQ=",
            "whsec_c2hvcnQ=",
            "plain",
        ] {
            let message = Verifier::standard([secret]).unwrap_err().to_string();
            assert!(message.starts_with("the secret is neither") && !message.contains("c2hvcnQ"));
        }
    }

    proptest! {
        #[test]
        fn no_header_and_no_body_panics_or_is_believed(value in "[ -~]{0,120}", body in any::<Vec<u8>>()) {
            let verifier = Verifier::standard([SECRET]).unwrap();
            for name in [ID, TIMESTAMP, SIGNATURE] {
                let headers = replaced(name, value.trim());
                prop_assert!(verifier.verify(&headers, &body, at(1_614_265_330)).is_err());
            }
        }
    }
}
