//! Signatures for existing receivers: the HMAC of the body alone, in a header of their choice.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::header::HeaderName;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::{
    secret::Secret,
    signature::{Algorithm, Encoding, HeaderSignature},
};

/// A secret with the rule that it signs by. `Debug` never prints the secret.
#[derive(Clone)]
pub struct HeaderKey {
    rule: HeaderSignature,
    keyed: Keyed,
    secret: Secret,
}

/// An HMAC that was keyed once. Each signature begins with a copy.
#[derive(Clone)]
enum Keyed {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl HeaderKey {
    /// Signs with the text of `secret` as the key, whatever it begins with.
    pub fn new(rule: &HeaderSignature, secret: &Secret) -> Self {
        const ANY_LENGTH: &str = "HMAC takes keys of any length";
        let key = secret.expose().as_bytes();
        let keyed = match rule.algorithm {
            Algorithm::Sha1 => Keyed::Sha1(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::Sha256 => Keyed::Sha256(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::Sha512 => Keyed::Sha512(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
        };
        Self {
            rule: rule.clone(),
            keyed,
            secret: secret.clone(),
        }
    }

    /// The rule that it signs by.
    pub fn rule(&self) -> &HeaderSignature {
        &self.rule
    }

    /// The secret that it was made of.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The name of the header that holds the signature.
    pub fn header(&self) -> &HeaderName {
        &self.rule.header
    }

    /// The value of the header.
    pub fn sign(&self, body: &[u8]) -> String {
        let code = match &self.keyed {
            Keyed::Sha1(hmac) => digest(hmac, body),
            Keyed::Sha256(hmac) => digest(hmac, body),
            Keyed::Sha512(hmac) => digest(hmac, body),
        };
        let encoded = match self.rule.encoding {
            Encoding::Hex => hex::encode(code),
            Encoding::Base64 => BASE64_STANDARD.encode(code),
        };
        format!("{}{encoded}", self.rule.prefix)
    }
}

fn digest<M: Mac + Clone>(keyed: &M, body: &[u8]) -> Vec<u8> {
    let mut hmac = keyed.clone();
    hmac.update(body);
    hmac.finalize().into_bytes().to_vec()
}

impl fmt::Debug for HeaderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeaderKey").field(&self.rule).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(rule: &str, secret: &str, body: &[u8]) -> String {
        let crate::signature::SignatureScheme::Header(rule) =
            crate::signature::SignatureScheme::parse(rule).unwrap()
        else {
            panic!("{rule} names a header");
        };
        HeaderKey::new(&rule, &Secret::new(secret)).sign(body)
    }

    #[test]
    fn github_documents_this_example() {
        let rule = r#"{"header": "X-Hub-Signature-256", "prefix": "sha256="}"#;
        assert_eq!(
            sign(rule, "It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    /// RFC 2202 and RFC 4231, test case 2 of each.
    #[test]
    fn each_algorithm_and_encoding_gives_what_the_rfcs_say() {
        let body = b"what do ya want for nothing?";
        for (algorithm, encoding, expected) in [
            ("sha1", "hex", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            ("sha1", "base64", "7/zfauXrL6LSdBbV8YTfnCWafHk="),
            (
                "sha256",
                "hex",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                "sha512",
                "hex",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let rule = format!(
                r#"{{"header": "x", "algorithm": "{algorithm}", "encoding": "{encoding}"}}"#
            );
            assert_eq!(sign(&rule, "Jefe", body), expected, "{algorithm}");
        }
    }

    #[test]
    fn a_key_does_not_print_its_secret() {
        let rule = HeaderSignature::new("x-signature", Algorithm::Sha1, Encoding::Hex, "").unwrap();
        let shown = format!("{:?}", HeaderKey::new(&rule, &Secret::new("hunter2")));
        assert!(shown.contains("x-signature") && !shown.contains("hunter2"));
    }
}
