//! Signs requests, and names deliveries.

mod header;
pub mod scheme;
mod standard;

use std::time::SystemTime;

use http::header::HeaderName;
use sha2::{Digest, Sha256};

pub use self::{
    header::HeaderKey,
    scheme::{Algorithm, Encoding, HeaderSignature, SignatureScheme},
    standard::{BadSecret, SigningKey},
};
use crate::{event::Position, secret::Secret};

static WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Signs the requests of a hook.
#[derive(Debug, Clone)]
pub enum Signer {
    /// Standard Webhooks: `webhook-signature`, over id, time and body.
    Standard {
        /// The key of the secret.
        newest: SigningKey,
        /// The key of the previous secret, while that is being replaced.
        previous: Option<Box<Previous>>,
    },
    /// A header of the receiver's choice, over the body alone.
    Header(Box<HeaderKey>),
}

/// A secret that has been replaced. It signs beside the new one, for receivers that do not have the new one yet.
#[derive(Debug, Clone)]
pub struct Previous {
    key: SigningKey,
    until: Option<SystemTime>,
}

impl Previous {
    /// Reads a secret that signs until the given time; without one, until it is removed.
    ///
    /// # Errors
    /// When it is not a secret of Standard Webhooks.
    pub fn parse(secret: &Secret, until: Option<SystemTime>) -> Result<Self, BadSecret> {
        SigningKey::parse(secret).map(|key| Self { key, until })
    }

    fn signs_at(&self, at: SystemTime) -> bool {
        self.until.is_none_or(|until| at < until)
    }
}

impl Signer {
    /// Reads a secret, and the previous one with the time at which that expires, for `scheme`. Only `webhook-signature`
    /// can hold two signatures; in other headers the newest secret signs alone.
    ///
    /// # Errors
    /// When `scheme` is Standard Webhooks and a secret is not one of its secrets.
    pub fn new(
        scheme: &SignatureScheme,
        secret: &Secret,
        previous: Option<(&Secret, Option<SystemTime>)>,
    ) -> Result<Self, BadSecret> {
        match scheme {
            SignatureScheme::Standard => {
                let previous = previous.map(|(secret, until)| Previous::parse(secret, until));
                Ok(Self::Standard {
                    newest: SigningKey::parse(secret)?,
                    previous: previous.transpose()?.map(Box::new),
                })
            }
            SignatureScheme::Header(rule) => {
                Ok(Self::Header(Box::new(HeaderKey::new(rule, secret))))
            }
        }
    }

    /// The name of the header that holds the signature.
    pub fn header(&self) -> &HeaderName {
        match self {
            Self::Standard { .. } => &WEBHOOK_SIGNATURE,
            Self::Header(key) => key.header(),
        }
    }

    /// The value of the header, for an attempt at this time.
    pub fn sign(&self, id: &str, at: SystemTime, body: &[u8]) -> String {
        match self {
            Self::Standard { newest, previous } => {
                let timestamp = seconds(at);
                let newest = newest.sign(id, timestamp, body);
                match previous.as_ref().filter(|previous| previous.signs_at(at)) {
                    Some(previous) => {
                        format!("{newest} {}", previous.key.sign(id, timestamp, body))
                    }
                    None => newest,
                }
            }
            Self::Header(key) => key.sign(body),
        }
    }
}

/// The `webhook-timestamp` of an attempt at this time: seconds since 1970.
pub fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// The `webhook-id` of a delivery: the same after every restart, retry and replay, and different for every other one.
///
/// The commit time is in it because LSNs begin anew where a cluster does, and the system identifier because two
/// clusters have the same LSNs. Two ids are the same by chance once in 2^64 deliveries.
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
    id_of(hash)
}

/// The `webhook-id` of a request that carries several deliveries: the same for the same ones in the same order.
pub fn batch_id(members: &[&str]) -> String {
    let mut hash = Sha256::new();
    for member in members {
        hash.update(member.len().to_be_bytes());
        hash.update(member);
    }
    id_of(hash)
}

fn id_of(hash: Sha256) -> String {
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

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OLDER: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";

    fn signed(scheme: &str, until: Option<SystemTime>, at: SystemTime) -> (String, String) {
        let scheme = SignatureScheme::parse(scheme).unwrap();
        let (secret, older) = (Secret::new(SECRET), Secret::new(OLDER));
        let signer = Signer::new(&scheme, &secret, Some((&older, until))).unwrap();
        let signature = signer.sign("msg_1", at, b"{}");
        (signer.header().to_string(), signature)
    }

    #[test]
    fn a_previous_secret_signs_beside_the_new_one_until_it_ends() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let second = Duration::from_secs(1);
        for (until, kinds) in [
            (None, vec!["v1", "v1a"]),
            (Some(at + second), vec!["v1", "v1a"]),
            (Some(at), vec!["v1"]),
            (Some(at - second), vec!["v1"]),
        ] {
            let (header, signatures) = signed("standard", until, at);
            let found: Vec<&str> = signatures
                .split(' ')
                .map(|signature| signature.split(',').next().unwrap())
                .collect();
            assert_eq!((&*header, found), ("webhook-signature", kinds), "{until:?}");
        }
    }

    #[test]
    fn in_a_header_of_the_receivers_choice_the_newest_signs_alone() {
        let rule = r#"{"header": "X-Hook-Signature", "algorithm": "sha512"}"#;
        let (header, signature) = signed(rule, None, SystemTime::UNIX_EPOCH);
        assert_eq!((&*header, signature.len()), ("x-hook-signature", 128));
    }

    #[test]
    fn what_is_no_secret_of_standard_webhooks_signs_only_in_another_header() {
        let secret = Secret::new("hunter2");
        assert!(Signer::new(&SignatureScheme::Standard, &secret, None).is_err());
        let header = SignatureScheme::parse(r#"{"header": "x"}"#).unwrap();
        assert!(Signer::new(&header, &secret, Some((&secret, None))).is_ok());
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
        let batches = [
            batch_id(&["1", "2"]),
            batch_id(&["12"]),
            batch_id(&["2", "1"]),
        ];
        assert_eq!(batches.iter().collect::<HashSet<_>>().len(), batches.len());
        // Written down, because receivers keep ids for longer than a version of ours lasts.
        assert_eq!(ids[0], "msg_57d71c7ec22173418dbd4a1ee2a38cf8");
    }
}
