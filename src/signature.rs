//! Signs bodies as Standard Webhooks 1.0.0 says, and names deliveries.

use std::{fmt, time::SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{config::Secret, event::Position};

/// A secret, ready to sign with.
#[derive(Clone)]
pub struct SigningKey {
    /// Keyed once; each signature begins with a copy.
    hmac: Hmac<Sha256>,
}

/// A secret that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the secret is not whsec_ and the base64 of 24 to 64 bytes; make one with: echo whsec_$(openssl rand -base64 32)"
)]
pub struct BadSecret;

impl SigningKey {
    /// Reads `whsec_` and base64.
    ///
    /// # Errors
    /// When it is not that, or not of 24 to 64 bytes.
    pub fn parse(secret: &Secret) -> Result<Self, BadSecret> {
        let encoded = secret.expose().strip_prefix("whsec_").ok_or(BadSecret)?;
        let key = BASE64_STANDARD.decode(encoded).map_err(|_| BadSecret)?;
        if !(24..=64).contains(&key.len()) {
            return Err(BadSecret);
        }
        let hmac = Hmac::new_from_slice(&key).map_err(|_| BadSecret)?;
        Ok(Self { hmac })
    }

    /// The signature of a body, as it stands in `webhook-signature`. `timestamp` counts seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut hmac = self.hmac.clone();
        for part in [
            id.as_bytes(),
            b".",
            timestamp.to_string().as_bytes(),
            b".",
            body,
        ] {
            hmac.update(part);
        }
        format!(
            "v1,{}",
            BASE64_STANDARD.encode(hmac.finalize().into_bytes())
        )
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// The `webhook-id` of a delivery: the same after every restart, retry and replay, and different for every other one.
///
/// The commit time is in it because LSNs begin anew where a cluster does, and the system identifier because two clusters
/// have the same LSNs. Two ids are the same by chance once in 2^64 deliveries.
pub fn message_id(
    system_identifier: &str,
    position: Position,
    commit_time: SystemTime,
    hook: &str,
) -> String {
    let commit_time = match commit_time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i128::try_from(after.as_micros()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_micros()).unwrap_or(i128::MAX),
    };
    let mut hash = Sha256::new();
    // Each part with its length, so that no two lists of parts read the same.
    for part in [
        system_identifier.as_bytes(),
        &position.commit_lsn.0.to_be_bytes(),
        &commit_time.to_be_bytes(),
        &position.index.to_be_bytes(),
        hook.as_bytes(),
    ] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let mut id = String::with_capacity(36);
    id.push_str("msg_");
    for byte in &hash[..16] {
        for digit in [byte >> 4, byte & 15] {
            id.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::*;
    use crate::postgres::Lsn;

    #[test]
    fn the_published_example_is_signed_as_published() {
        let key =
            SigningKey::parse(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_bad_secret_is_refused_and_not_repeated() {
        for secret in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_not base64 at all, is it?",
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
    fn an_id_is_a_function_of_each_of_its_parts() {
        let position = |lsn, index| Position {
            commit_lsn: Lsn(lsn),
            index,
        };
        let at = |micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        let ids = [
            message_id("1", position(1, 1), at(1), "1"),
            message_id("2", position(1, 1), at(1), "1"),
            message_id("1", position(2, 1), at(1), "1"),
            message_id("1", position(1, 2), at(1), "1"),
            message_id("1", position(1, 1), at(2), "1"),
            message_id("1", position(1, 1), at(1), "2"),
            message_id("1", position(1, 1), at(1), "11"),
            message_id("11", position(1, 1), at(1), ""),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        // Written down, because receivers keep ids for longer than a version of ours lasts.
        assert_eq!(ids[0], "msg_57d71c7ec22173418dbd4a1ee2a38cf8");
    }
}
