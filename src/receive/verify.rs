//! Says whether a request was signed by somebody who knows a secret.
//!
//! Plain decisions on headers, bytes and the time. What is compared with what an attacker sent is compared in constant time.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use axum::http::{HeaderMap, HeaderName, StatusCode};
use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::{secret::Secret, signature::SigningKey};

/// So far may the time stamp of a request be from now, unless it is said otherwise. Standard Webhooks' own number.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// Verifies requests.
///
/// A request is good when one of the secrets fits, so that a secret can be replaced while requests of the old one are still
/// on their way.
#[derive(Debug, Clone)]
pub struct Verifier {
    scheme: Scheme,
    tolerance: Duration,
}

#[derive(Debug, Clone)]
enum Scheme {
    Standard(Vec<Key>),
    Hmac(HmacScheme, Vec<Secret>),
    Unsigned,
}

#[derive(Debug, Clone)]
enum Key {
    /// `v1`
    Symmetric(SigningKey),
    /// `v1a`
    Public(VerifyingKey),
}

/// A header with the HMAC of the body. The id and the time of such a request are not signed: what was overheard once can be
/// sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacScheme {
    /// The header: `X-Hook-Signature`.
    pub header: HeaderName,
    /// Of the HMAC.
    pub algorithm: Algorithm,
    /// How its bytes are written.
    pub encoding: Encoding,
    /// What stands before them: `sha256=`. May be empty.
    pub prefix: String,
}

/// The hash of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `sha1`
    Sha1,
    /// `sha256`
    Sha256,
    /// `sha512`
    Sha512,
}

/// How the bytes of an HMAC are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `hex`, in letters of either case.
    Hex,
    /// `base64`, with its padding.
    Base64,
}

/// A secret that cannot be verified with. It does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the secret is neither whsec_ and the base64 of 24 to 64 bytes, nor whpk_ and that of a public ed25519 key; make one with: echo whsec_$(openssl rand -base64 32)"
)]
pub struct BadSecret;

/// Why a request is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no signature, or a part of what it is over is missing.
    #[error("the header {0} is missing")]
    Missing(HeaderName),
    /// A header cannot be read.
    #[error("the header {0} is malformed; {1}")]
    Malformed(HeaderName, &'static str),
    /// No signature fits any of the secrets.
    #[error("the signature in {0} does not fit the body and any secret")]
    Wrong(HeaderName),
    /// It is signed, but not for now.
    #[error("its time stamp is {} {}, more than the {} that are tolerated", humantime::format_duration(*distance), if *ahead { "ahead" } else { "old" }, humantime::format_duration(*tolerance))]
    Stale {
        /// How far the time stamp is from now, in whole seconds.
        distance: Duration,
        /// It lies in the future.
        ahead: bool,
        /// What is tolerated.
        tolerance: Duration,
    },
}

impl Refusal {
    /// The answer that it deserves: 401, or 400 for what nobody could verify.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(..) => StatusCode::BAD_REQUEST,
            Self::Missing(_) | Self::Wrong(_) | Self::Stale { .. } => StatusCode::UNAUTHORIZED,
        }
    }
}

impl Verifier {
    /// Standard Webhooks 1.0.0. Each secret is `whsec_…`, for `v1`, or a public key `whpk_…`, for `v1a`.
    ///
    /// # Errors
    /// When one of them is neither.
    pub fn standard<S: AsRef<str>>(
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, BadSecret> {
        let keys: Result<Vec<Key>, BadSecret> = secrets
            .into_iter()
            .map(|secret| Key::parse(secret.as_ref()))
            .collect();
        Ok(Self::of(Scheme::Standard(keys?)))
    }

    /// An HMAC of the body in a header of its own. The secrets are keys as they are written.
    pub fn hmac<S: Into<String>>(scheme: HmacScheme, secrets: impl IntoIterator<Item = S>) -> Self {
        let secrets = secrets.into_iter().map(Secret::new).collect();
        Self::of(Scheme::Hmac(scheme, secrets))
    }

    /// Believes everything. Whoever reaches the endpoint can make tasks run.
    pub fn unsigned() -> Self {
        Self::of(Scheme::Unsigned)
    }

    /// The same, with another tolerance than [`TOLERANCE`]. It concerns Standard Webhooks only; nothing else has a time that
    /// is signed.
    #[must_use]
    pub fn tolerating(self, tolerance: Duration) -> Self {
        Self { tolerance, ..self }
    }

    fn of(scheme: Scheme) -> Self {
        Self {
            scheme,
            tolerance: TOLERANCE,
        }
    }

    /// Does it verify at all?
    pub fn is_unsigned(&self) -> bool {
        matches!(self.scheme, Scheme::Unsigned)
    }

    /// Is the request from somebody who knows a secret, and made about `now`?
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Result<(), Refusal> {
        match &self.scheme {
            Scheme::Standard(keys) => self.verify_standard(keys, headers, body, now),
            Scheme::Hmac(scheme, secrets) => scheme.verify(secrets, headers, body),
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
        let fits = |signature: &str| {
            keys.iter()
                .any(|key| key.fits(signature, id, seconds, body))
        };
        if !signatures.split(' ').any(fits) {
            return Err(Refusal::Wrong(HeaderName::from_static(SIGNATURE)));
        }
        // After the signature, so that nobody without a secret is told how our clock stands.
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

impl Key {
    fn parse(secret: &str) -> Result<Self, BadSecret> {
        let Some(public) = secret.strip_prefix("whpk_") else {
            return SigningKey::parse(&Secret::new(secret))
                .map(Self::Symmetric)
                .map_err(|_| BadSecret);
        };
        let bytes = BASE64_STANDARD.decode(public).map_err(|_| BadSecret)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| BadSecret)?;
        VerifyingKey::from_bytes(&bytes)
            .map(Self::Public)
            .map_err(|_| BadSecret)
    }

    /// Is `signature`, one of those in the header, made with this key?
    fn fits(&self, signature: &str, id: &str, timestamp: u64, body: &[u8]) -> bool {
        match self {
            Self::Symmetric(key) => {
                let expected = key.sign(id, timestamp, body);
                expected.as_bytes().ct_eq(signature.as_bytes()).into()
            }
            Self::Public(key) => {
                let signature = signature.strip_prefix("v1a,");
                let signature = signature.and_then(|text| BASE64_STANDARD.decode(text).ok());
                let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
                let signed = [id.as_bytes(), timestamp.to_string().as_bytes(), body].join(&b'.');
                signature.is_some_and(|signature| key.verify_strict(&signed, &signature).is_ok())
            }
        }
    }
}

impl HmacScheme {
    fn verify(&self, secrets: &[Secret], headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
        let written = text(headers, &self.header)?;
        let bytes = written
            .strip_prefix(&*self.prefix)
            .and_then(|digits| self.encoding.decode(digits));
        let fits = |bytes: Vec<u8>| {
            secrets.iter().any(|secret| {
                self.algorithm
                    .fits(secret.expose().as_bytes(), body, &bytes)
            })
        };
        if bytes.is_some_and(fits) {
            Ok(())
        } else {
            Err(Refusal::Wrong(self.header.clone()))
        }
    }
}

impl Algorithm {
    fn fits(self, key: &[u8], body: &[u8], mac: &[u8]) -> bool {
        fn fits<M: Mac + KeyInit>(key: &[u8], body: &[u8], mac: &[u8]) -> bool {
            let keyed = <M as KeyInit>::new_from_slice(key);
            keyed.is_ok_and(|hmac| hmac.chain_update(body).verify_slice(mac).is_ok())
        }
        match self {
            Self::Sha1 => fits::<Hmac<Sha1>>(key, body, mac),
            Self::Sha256 => fits::<Hmac<Sha256>>(key, body, mac),
            Self::Sha512 => fits::<Hmac<Sha512>>(key, body, mac),
        }
    }
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => BASE64_STANDARD.decode(text).ok(),
            Self::Hex => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let pairs = text.as_bytes().chunks(2);
                pairs
                    .map(|pair| match *pair {
                        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
                        _ => None,
                    })
                    .collect()
            }
        }
    }
}

/// As it is written in receive.toml.
impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Refusal> {
    let Some(value) = headers.get(name) else {
        return Err(Refusal::Missing(name.clone()));
    };
    value
        .to_str()
        .map_err(|_| Refusal::Malformed(name.clone(), "send visible ASCII"))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey as PrivateKey};
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    /// Of the example that Standard Webhooks publishes.
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
        let judge = |headers: HeaderMap, body: &[u8], now: u64| {
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
        for (headers, body, at, status, told) in [
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
            assert_eq!(judge(headers, body, at), (status, told.to_owned()));
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
        // What `openssl dgst -hmac key` says of BODY.
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
    fn a_bad_secret_is_refused_and_not_repeated() {
        for secret in [
            "",
            "whsec_",
            "whpk_",
            "whpk_c2hvcnQ=",
            "whsec_c2hvcnQ=",
            "plain",
        ] {
            let told = Verifier::standard([secret]).unwrap_err().to_string();
            assert!(told.starts_with("the secret is neither") && !told.contains("c2hvcnQ"));
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
