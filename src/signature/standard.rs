//! Standard Webhooks 1.0.0: a secret `whsec_…` signs with HMAC-SHA256 (`v1`), a secret `whsk_…` with ed25519 (`v1a`).

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{KEYPAIR_LENGTH, PUBLIC_KEY_LENGTH, SECRET_KEY_LENGTH, Signer as _};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::secret::Secret;

/// The key of a secret. `Debug` never prints it.
#[derive(Clone)]
pub struct SigningKey(Key);

#[derive(Clone)]
enum Key {
    /// A key of 24 to 64 bytes. HMAC is keyed anew for each signature, which costs hundreds of times less than a
    /// request. A keyed HMAC would be six times as large, and there may be a million keys.
    Shared(Box<[u8]>),
    /// A key pair, whose public half receivers verify with.
    Private(Box<ed25519_dalek::SigningKey>),
}

/// The error for a text that is not a secret of Standard Webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the secret is not whsec_ and the base64 of 24 to 64 bytes, nor whsk_ and that of an ed25519 key; make one with: echo whsec_$(openssl rand -base64 32)"
)]
pub struct BadSecret;

impl SigningKey {
    /// Reads `whsec_` with the base64 of 24 to 64 bytes, or `whsk_` with the base64 of an ed25519 key: the seed of 32
    /// bytes, or the seed and the public key.
    ///
    /// # Errors
    /// When it is neither, or when the public key is not that of the seed.
    pub fn parse(secret: &Secret) -> Result<Self, BadSecret> {
        let secret = secret.expose();
        let decode = |encoded: &str| BASE64_STANDARD.decode(encoded).map_err(|_| BadSecret);
        if let Some(encoded) = secret.strip_prefix("whsk_") {
            return private(&decode(encoded)?).map(|key| Self(Key::Private(Box::new(key))));
        }
        let key = decode(secret.strip_prefix("whsec_").ok_or(BadSecret)?)?;
        if !(24..=64).contains(&key.len()) {
            return Err(BadSecret);
        }
        Ok(Self(Key::Shared(key.into())))
    }

    /// The secret that it was read from, as it would be written now.
    pub fn secret(&self) -> Secret {
        Secret::new(match &self.0 {
            Key::Shared(key) => format!("whsec_{}", BASE64_STANDARD.encode(key)),
            Key::Private(key) => format!("whsk_{}", BASE64_STANDARD.encode(key.to_bytes())),
        })
    }

    /// The signature of a body, as `webhook-signature` holds it. `timestamp` is in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let timestamp = timestamp.to_string();
        let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        match &self.0 {
            Key::Shared(key) => {
                let mut hmac =
                    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
                parts.iter().for_each(|part| hmac.update(part));
                let signature = BASE64_STANDARD.encode(hmac.finalize().into_bytes());
                format!("v1,{signature}")
            }
            Key::Private(key) => {
                let signature = key.sign(&parts.concat());
                format!("v1a,{}", BASE64_STANDARD.encode(signature.to_bytes()))
            }
        }
    }

    /// The public key that receivers verify with, as `whpk_…`; `None` for a shared secret.
    pub fn public_key(&self) -> Option<String> {
        let public = self.public_bytes()?;
        Some(format!("whpk_{}", BASE64_STANDARD.encode(public)))
    }

    /// The bytes of the public key; `None` for a shared secret.
    pub fn public_bytes(&self) -> Option<[u8; PUBLIC_KEY_LENGTH]> {
        match &self.0 {
            Key::Shared(_) => None,
            Key::Private(key) => Some(key.verifying_key().to_bytes()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

fn private(bytes: &[u8]) -> Result<ed25519_dalek::SigningKey, BadSecret> {
    if let Ok(seed) = <[u8; SECRET_KEY_LENGTH]>::try_from(bytes) {
        return Ok(ed25519_dalek::SigningKey::from_bytes(&seed));
    }
    let pair = <[u8; KEYPAIR_LENGTH]>::try_from(bytes).map_err(|_| BadSecret)?;
    ed25519_dalek::SigningKey::from_keypair_bytes(&pair).map_err(|_| BadSecret)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Standard Webhooks, and that of Svix' server for ed25519: seed and public key.
    const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

    fn key(secret: &str) -> SigningKey {
        SigningKey::parse(&Secret::new(secret)).unwrap()
    }

    fn sign(key: &SigningKey) -> String {
        key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        )
    }

    #[test]
    fn the_published_examples_are_signed_as_published() {
        let shared = key(SHARED);
        assert_eq!(
            sign(&shared),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(shared.public_key(), None);
        let private = key(PRIVATE);
        assert_eq!(
            sign(&private),
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
        );
        assert_eq!(private.public_key().unwrap(), PUBLIC);
    }

    #[test]
    fn a_seed_alone_is_the_same_key() {
        let seed = key("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=");
        assert_eq!(sign(&seed), sign(&key(PRIVATE)));
        assert_eq!(seed.public_key().unwrap(), PUBLIC);
    }

    #[test]
    fn a_bad_secret_is_refused_and_not_repeated() {
        for secret in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_not base64 at all, is it?",
            "whsk_",
            "whsk_c2hvcnQ=",
            // The public half is of another key.
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlaaaaaaaaaaAJ6p9lMicMFs6Kvg==",
            PUBLIC,
        ] {
            let refused = SigningKey::parse(&Secret::new(secret))
                .unwrap_err()
                .to_string();
            assert!(
                refused.starts_with("the secret is not whsec_") && !refused.contains("c2hvcnQ"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_key_does_not_print_itself() {
        assert_eq!(format!("{:?}", key(PRIVATE)), "SigningKey(…)");
    }
}
