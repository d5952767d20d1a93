//! The keys that Standard Webhooks verifies with.

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::{secret::Secret, signature::SigningKey};

/// A key that verifies signatures of Standard Webhooks.
#[derive(Debug, Clone)]
pub enum Key {
    /// A shared secret, for signatures `v1`.
    Symmetric(SigningKey),
    /// A public ed25519 key, for signatures `v1a`.
    Public(VerifyingKey),
}

/// A secret that nothing can be verified with. The error does not contain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the secret is neither whsec_ and the base64 of 24 to 64 bytes, nor whpk_ and that of a public ed25519 key; make one with: echo whsec_$(openssl rand -base64 32)"
)]
pub struct BadSecret;

impl Key {
    /// Reads `whsec_…` or `whpk_…`.
    ///
    /// # Errors
    /// When the secret is neither.
    pub fn parse(secret: &str) -> Result<Self, BadSecret> {
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

    /// Whether `signature`, one of those in the header, was made with this key.
    pub(super) fn verifies(&self, signature: &str, id: &str, timestamp: u64, body: &[u8]) -> bool {
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
