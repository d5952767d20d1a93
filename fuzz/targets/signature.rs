//! Signatures at the receiver, and secrets. The first line is the header of the signature, the second the id, the third
//! the time-stamp, and the rest the body, which nobody without the secret can sign.
#![no_main]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use rowhook::{
    receive::Verifier,
    secret::Secret,
    signature::{SignatureScheme, Signer, seconds},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (signature, id, timestamp, body) = (line(), line(), line(), line());
    let verifier = Verifier::standard([SECRET]).expect("this is a secret");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("webhook-signature", signature),
        ("webhook-id", id),
        ("webhook-timestamp", timestamp),
    ] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    assert!(
        verifier.verify(&headers, body, now).is_err(),
        "nobody signs without the secret"
    );

    // What we sign is believed, and is not once a byte of it is another.
    let standard = SignatureScheme::Standard;
    let secret = Secret::new(SECRET.to_owned());
    let signer = Signer::new(&standard, &secret, None).expect("this is a secret");
    let signed = signer.sign("msg_1", now, body);
    headers.insert(
        "webhook-signature",
        HeaderValue::from_str(&signed).expect("a signature is text"),
    );
    headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
    headers.insert("webhook-timestamp", HeaderValue::from(seconds(now)));
    assert!(verifier.verify(&headers, body, now).is_ok());
    let more = [body, b"\0"].concat();
    assert!(verifier.verify(&headers, &more, now).is_err());

    if let Ok(secret) = std::str::from_utf8(data) {
        let _ = Signer::new(&standard, &Secret::new(secret.to_owned()), None);
        let _ = Verifier::standard([secret]);
    }
});
