//! The server's half of SCRAM-SHA-256 (RFC 5802 and 7677), for a password that everyone has in common.
//!
//! pgwire has one too, and brings a second library of cryptography and a reader of certificates for it. Channel binding
//! is not offered, because the console speaks no TLS.

use std::num::NonZeroU32;

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac, pbkdf2,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use subtle::ConstantTimeEq;

/// The only mechanism.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";
/// As Postgres' own default.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("it is not zero");
/// The size of a hash, in bytes.
const SIZE: usize = 32;

/// What a client must know that wants to finish the exchange.
pub(super) struct Challenge {
    salted_password: [u8; SIZE],
    /// What the client said of channel binding, which its last message repeats.
    header: String,
    nonce: String,
    /// The messages that both sides sign, but for the client's last one.
    messages: String,
}

/// A message that is not one of SCRAM, or asks for what is not offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Challenge {
    /// Reads the first message of a client, and returns the challenge with the answer in which it is put.
    pub(super) fn begin(password: &str, first: &[u8]) -> Result<(Self, String), Malformed> {
        Self::with(password, first, rand::random(), rand::random())
    }

    fn with(
        password: &str,
        first: &[u8],
        salt: [u8; 16],
        own_nonce: [u8; 18],
    ) -> Result<(Self, String), Malformed> {
        let first = std::str::from_utf8(first).map_err(|_| Malformed)?;
        let mut parts = first.splitn(3, ',');
        let (Some(flag @ ("n" | "y")), Some(identity), Some(bare)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed);
        };
        // The name is that of the session's start, as it is with Postgres.
        let (_, rest) = bare
            .strip_prefix("n=")
            .and_then(|rest| rest.split_once(",r="))
            .ok_or(Malformed)?;
        let theirs = rest.split(',').next().filter(|nonce| !nonce.is_empty());
        let theirs = theirs.ok_or(Malformed)?;
        let nonce = format!("{theirs}{}", BASE64_STANDARD.encode(own_nonce));
        let salted = BASE64_STANDARD.encode(salt);
        let answer = format!("r={nonce},s={salted},i={ITERATIONS}");
        let challenge = Self {
            salted_password: salted_password(password, &salt),
            header: format!("{flag},{identity},"),
            messages: format!("{bare},{answer}"),
            nonce,
        };
        Ok((challenge, answer))
    }

    /// Reads the last message of the client. Returns the answer that proves to it that we know the password as well, or
    /// `None` if the client does not know it.
    pub(super) fn finish(&self, last: &[u8]) -> Result<Option<String>, Malformed> {
        let last = std::str::from_utf8(last).map_err(|_| Malformed)?;
        let (signed, proof) = last.rsplit_once(",p=").ok_or(Malformed)?;
        let begin = format!(
            "c={},r={}",
            BASE64_STANDARD.encode(&self.header),
            self.nonce
        );
        let rest = signed.strip_prefix(&*begin).ok_or(Malformed)?;
        if !rest.is_empty() && !rest.starts_with(',') {
            return Err(Malformed);
        }
        let proof = BASE64_STANDARD.decode(proof).map_err(|_| Malformed)?;
        let messages = format!("{},{signed}", self.messages);
        let client_key = sign(&self.salted_password, b"Client Key");
        let stored_key = digest(&SHA256, client_key.as_ref());
        let signature = sign(stored_key.as_ref(), messages.as_bytes());
        let pairs = client_key.as_ref().iter().zip(signature.as_ref());
        let expected: Vec<u8> = pairs.map(|(key, signature)| key ^ signature).collect();
        if !bool::from(expected.ct_eq(&proof)) {
            return Ok(None);
        }
        let server_key = sign(&self.salted_password, b"Server Key");
        let verifier = sign(server_key.as_ref(), messages.as_bytes());
        Ok(Some(format!("v={}", BASE64_STANDARD.encode(verifier))))
    }
}

/// As Postgres does, a password that SASLprep refuses is taken as it is.
fn salted_password(password: &str, salt: &[u8]) -> [u8; SIZE] {
    let password = stringprep::saslprep(password).unwrap_or(password.into());
    let mut salted = [0; SIZE];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        ITERATIONS,
        salt,
        password.as_bytes(),
        &mut salted,
    );
    salted
}

fn sign(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

#[cfg(test)]
mod tests {
    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

    use super::*;

    /// What comes of a client that believes in this password: our answer and whether it takes that, or none.
    fn login(known: &str, password: &str) -> Option<bool> {
        let mut client = ScramSha256::new(known.as_bytes(), ChannelBinding::unsupported());
        let (challenge, answer) = Challenge::begin(password, client.message()).unwrap();
        client.update(answer.as_bytes()).unwrap();
        let last = challenge.finish(client.message()).unwrap()?;
        Some(client.finish(last.as_bytes()).is_ok())
    }

    #[test]
    fn a_client_that_knows_the_password_and_no_other_is_let_in_and_knows_us() {
        // The third is told apart by nobody from what SASLprep makes of it.
        for (known, password, expected) in [
            ("pencil", "pencil", Some(true)),
            ("Bücher\u{2009}zu", "Bücher\u{2009}zu", Some(true)),
            ("\u{2168}", "IX", Some(true)),
            ("pencil", "Pencil", None),
            ("", "pencil", None),
        ] {
            assert_eq!(login(known, password), expected, "{known} {password}");
        }
    }

    /// The example of RFC 7677.
    #[test]
    fn the_example_of_the_standard_is_computed() {
        let own = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let nonce = format!("rOprNGfwEbeRWgbNEkqO{own}");
        let challenge = Challenge {
            salted_password: salted_password("pencil", &salt),
            header: "n,,".to_owned(),
            messages: format!(
                "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
            ),
            nonce: nonce.clone(),
        };
        let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let verifier = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(
            challenge.finish(last.as_bytes()),
            Ok(Some(verifier.to_owned()))
        );
    }

    #[test]
    fn what_is_not_a_message_of_the_exchange_is_refused() {
        for first in [
            &b""[..],
            b"\xff",
            b"n,,",
            b"n,,n=user",
            b"n,,n=user,r=",
            b"n,,m=ext,n=user,r=abc",
            b"p=tls-server-end-point,,n=user,r=abc",
        ] {
            assert!(Challenge::begin("pencil", first).is_err(), "{first:?}");
        }
        let (challenge, _) = Challenge::with("pencil", b"n,,n=,r=abc", [1; 16], [2; 18]).unwrap();
        let nonce = &challenge.nonce;
        for last in [
            String::new(),
            format!("c=biws,r={nonce}"),
            format!("c=biws,r={nonce}x,p=AAAA"),
            "c=biws,r=abc,p=AAAA".to_owned(),
            format!("c=eSws,r={nonce},p=AAAA"),
            format!("c=biws,r={nonce},p=!"),
        ] {
            assert_eq!(challenge.finish(last.as_bytes()), Err(Malformed), "{last}");
        }
        let short = format!("c=biws,r={nonce},p=AAAA");
        assert_eq!(challenge.finish(short.as_bytes()), Ok(None));
    }
}
