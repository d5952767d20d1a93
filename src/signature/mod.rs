//! Signs requests.

mod header;
pub mod scheme;
mod standard;

use std::time::SystemTime;

use http::header::HeaderName;

pub use self::{
    header::HeaderKey,
    scheme::{Algorithm, Encoding, HeaderSignature, SignatureScheme},
    standard::{BadSecret, SigningKey},
};
use crate::secret::Secret;

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
    Header(Box<HeaderSigner>),
}

/// Signs in headers of the receiver's choice.
#[derive(Debug, Clone)]
pub struct HeaderSigner {
    newest: HeaderKey,
    /// The previous secret, while that is being replaced. A header holds one signature, so it has its own.
    previous: Option<(HeaderKey, Option<SystemTime>)>,
}

/// What a [`Signer`] is made of.
#[derive(Debug, Clone)]
pub struct SignerParts {
    /// How it signs.
    pub scheme: SignatureScheme,
    /// The secret.
    pub secret: Secret,
    /// The previous secret, and until when it signs.
    pub previous: Option<(Secret, Option<SystemTime>)>,
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
    /// can hold two signatures. Beside other headers the previous secret signs in one whose name ends with `-previous`.
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
                let previous = previous.map(|(secret, until)| {
                    let rule = rule.of_previous();
                    (HeaderKey::new(&rule, secret), until)
                });
                Ok(Self::Header(Box::new(HeaderSigner {
                    newest: HeaderKey::new(rule, secret),
                    previous,
                })))
            }
        }
    }

    /// What it was made of: [`new`](Self::new) makes the same of it.
    pub fn parts(&self) -> SignerParts {
        match self {
            Self::Standard { newest, previous } => SignerParts {
                scheme: SignatureScheme::Standard,
                secret: newest.secret(),
                previous: previous
                    .as_ref()
                    .map(|previous| (previous.key.secret(), previous.until)),
            },
            Self::Header(signer) => SignerParts {
                scheme: SignatureScheme::Header(signer.newest.rule().clone()),
                secret: signer.newest.secret().clone(),
                previous: signer
                    .previous
                    .as_ref()
                    .map(|(key, until)| (key.secret().clone(), *until)),
            },
        }
    }

    /// The public keys that receivers can verify with at this time, the newest first; none where secrets are shared.
    pub fn public_keys(&self, at: SystemTime) -> impl Iterator<Item = [u8; 32]> {
        let (newest, previous) = match self {
            Self::Standard { newest, previous } => (Some(newest), previous.as_ref()),
            Self::Header(_) => (None, None),
        };
        let previous = previous.filter(move |previous| previous.signs_at(at));
        let keys = newest
            .into_iter()
            .chain(previous.map(|previous| &previous.key));
        keys.filter_map(SigningKey::public_bytes)
    }

    /// The name of the header that holds the signature.
    pub fn header(&self) -> &HeaderName {
        match self {
            Self::Standard { .. } => &WEBHOOK_SIGNATURE,
            Self::Header(signer) => signer.newest.header(),
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
            Self::Header(signer) => signer.newest.sign(body),
        }
    }

    /// The header in which the previous secret signs, where it has one of its own, whether or not it signs now.
    pub fn second_header(&self) -> Option<&HeaderName> {
        match self {
            Self::Standard { .. } => None,
            Self::Header(signer) => Some(signer.previous.as_ref()?.0.header()),
        }
    }

    /// The value of the [second header](Self::second_header) for an attempt at this time, while the previous secret
    /// signs.
    pub fn sign_second(&self, at: SystemTime, body: &[u8]) -> Option<String> {
        let Self::Header(signer) = self else {
            return None;
        };
        let (key, until) = signer.previous.as_ref()?;
        until.is_none_or(|until| at < until).then(|| key.sign(body))
    }
}

/// The `webhook-timestamp` of an attempt at this time: seconds since 1970.
pub fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
    fn beside_a_header_of_the_receivers_choice_the_previous_secret_has_its_own() {
        let rule = r#"{"header": "X-Hook-Signature", "algorithm": "sha512"}"#;
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let (header, signature) = signed(rule, None, at);
        assert_eq!((&*header, signature.len()), ("x-hook-signature", 128));
        let scheme = SignatureScheme::parse(rule).unwrap();
        let [secret, older] = [SECRET, OLDER].map(Secret::new);
        let alone = Signer::new(&scheme, &older, None).unwrap();
        let both = Signer::new(&scheme, &secret, Some((&older, Some(at)))).unwrap();
        let second = both.second_header().unwrap();
        assert_eq!(second, "x-hook-signature-previous");
        let before = at - Duration::from_secs(1);
        let signature = Some(alone.sign("msg_1", before, b"{}"));
        assert_eq!(both.sign_second(before, b"{}"), signature);
        assert_eq!(both.sign_second(at, b"{}"), None);
        assert_eq!(alone.second_header(), None);
    }

    #[test]
    fn what_is_no_secret_of_standard_webhooks_signs_only_in_another_header() {
        let secret = Secret::new("hunter2");
        assert!(Signer::new(&SignatureScheme::Standard, &secret, None).is_err());
        let header = SignatureScheme::parse(r#"{"header": "x"}"#).unwrap();
        assert!(Signer::new(&header, &secret, Some((&secret, None))).is_ok());
    }
}
