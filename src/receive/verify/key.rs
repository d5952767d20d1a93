//! The keys that Standard Webhooks verifies with.

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::{secret::Secret, signature::SigningKey};

/// How many asymmetric signatures of a request are looked at. Each hashes the whole body anew.
const MOST_ASYMMETRIC: usize = 4;

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

    /// Whether one of these signatures was made with this key. A symmetric key hashes the body once for all of them.
    pub(super) fn verifies_any(
        &self,
        signatures: &[&str],
        id: &str,
        timestamp: u64,
        body: &[u8],
    ) -> bool {
        match self {
            Self::Symmetric(key) => {
                if !signatures
                    .iter()
                    .any(|signature| signature.starts_with("v1,"))
                {
                    return false;
                }
                let expected = key.sign(id, timestamp, body);
                let is_right = |signature: &&str| -> bool {
                    expected.as_bytes().ct_eq(signature.as_bytes()).into()
                };
                signatures.iter().any(is_right)
            }
            Self::Public(key) => {
                let signatures = signatures.iter().filter_map(|signature| {
                    let text = signature.strip_prefix("v1a,")?;
                    let bytes = BASE64_STANDARD.decode(text).ok()?;
                    Signature::from_slice(&bytes).ok()
                });
                let mut signatures = signatures.take(MOST_ASYMMETRIC).peekable();
                if signatures.peek().is_none() {
                    return false;
                }
                let signed = [id.as_bytes(), timestamp.to_string().as_bytes(), body].join(&b'.');
                signatures.any(|signature| key.verify_strict(&signed, &signature).is_ok())
            }
        }
    }
}
