//! Signatures, verified by other implementations.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use axum::{Router, body::to_bytes, extract::Request as Received, http::HeaderMap};
use base64::{Engine, prelude::BASE64_STANDARD};
use rowhook::{
    secret::Secret,
    send::target::Target,
    signature::{SignatureScheme, Signer, SigningKey},
};
use tokio::sync::mpsc;
use url::Url;

use crate::endpoint::{SECRET, code, send, sender, serve, target};

#[tokio::test]
async fn the_official_library_verifies_what_is_sent() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |request: Received| {
        let said = said.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, 1000).await.unwrap();
            let verified = standardwebhooks::Webhook::new(SECRET)
                .unwrap()
                .verify(&body, &parts.headers);
            said.send(verified.is_ok()).unwrap();
        }
    });
    let url = serve(app).await;
    assert_eq!(code(&send(&sender(), &target(&url)).await), 200);
    assert_eq!(heard.recv().await, Some(true));
}

/// The headers of a request with the body `{"n":1}` that is signed by this scheme, which has to set `header`.
async fn signature_of(scheme: &str, header: &str, secrets: [&str; 2]) -> HeaderMap {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |request: Received| {
        let said = said.clone();
        async move { said.send(request.headers().clone()).unwrap() }
    });
    let url = serve(app).await;
    let [secret, previous] = secrets.map(Secret::new);
    let scheme = SignatureScheme::parse(scheme).unwrap();
    let signer = Signer::new(&scheme, &secret, Some((&previous, None))).unwrap();
    let target = Target::new(&Url::parse(&url).unwrap(), None, &[]).unwrap();
    let target = target.signed_by(Some(signer)).unwrap();
    assert_eq!(code(&send(&sender(), &target).await), 200);
    let headers = heard.recv().await.unwrap();
    assert!(headers.contains_key(header), "{headers:?}");
    headers
}

#[tokio::test]
async fn while_a_secret_is_replaced_the_official_library_verifies_with_either() {
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let headers = signature_of("standard", "webhook-signature", [NEW, SECRET]).await;
    for secret in [NEW, SECRET] {
        let webhook = standardwebhooks::Webhook::new(secret).unwrap();
        webhook.verify(b"{\"n\":1}", &headers).unwrap();
    }
    let signatures = headers["webhook-signature"].to_str().unwrap();
    let newest = signatures.split(' ').next().unwrap();
    let mut alone = headers.clone();
    alone.insert("webhook-signature", newest.parse().unwrap());
    let webhook = standardwebhooks::Webhook::new(NEW).unwrap();
    webhook.verify(b"{\"n\":1}", &alone).unwrap();
}

#[tokio::test]
async fn an_ed25519_signature_is_verified_with_the_public_key_that_is_printed() {
    const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";
    let headers = signature_of("standard", "webhook-signature", [PRIVATE, SECRET]).await;
    let public = SigningKey::parse(&Secret::new(PRIVATE)).unwrap();
    let public = public.public_key().unwrap();
    let decode = |text: &str| BASE64_STANDARD.decode(text).unwrap();
    let public = decode(public.strip_prefix("whpk_").unwrap());
    let public = ed25519_dalek::VerifyingKey::from_bytes(&public.try_into().unwrap()).unwrap();
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let signatures = text("webhook-signature");
    let signature = signatures.split(' ').find_map(|s| s.strip_prefix("v1a,"));
    let signature = ed25519_dalek::Signature::from_slice(&decode(signature.unwrap())).unwrap();
    let signed = format!(
        "{}.{}.{{\"n\":1}}",
        text("webhook-id"),
        text("webhook-timestamp")
    );
    public.verify_strict(signed.as_bytes(), &signature).unwrap();
}

/// Receivers of GitHub, NetBox (`X-Hook-Signature`) and servo-webhooks compute these signatures. Here openssl does.
#[tokio::test]
async fn signatures_for_receivers_that_exist_are_what_openssl_computes() {
    for (scheme, header, algorithm, prefix) in [
        (
            r#"{"header": "X-Hub-Signature-256", "prefix": "sha256="}"#,
            "x-hub-signature-256",
            "-sha256",
            "sha256=",
        ),
        (
            r#"{"header": "X-Hook-Signature", "algorithm": "sha512"}"#,
            "x-hook-signature",
            "-sha512",
            "",
        ),
        (
            r#"{"header": "X-Servo-Signature", "algorithm": "sha1"}"#,
            "x-servo-signature",
            "-sha1",
            "",
        ),
    ] {
        let headers = signature_of(scheme, header, ["It's a secret", "an older one"]).await;
        let mut openssl = Command::new("openssl")
            .args(["dgst", algorithm, "-hmac", "It's a secret", "-r"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = openssl.stdin.take().unwrap();
        input.write_all(b"{\"n\":1}").unwrap();
        drop(input);
        let said = openssl.wait_with_output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let code = said.split(' ').next().unwrap();
        assert_eq!(headers[header], format!("{prefix}{code}"));
        assert!(!headers.contains_key("webhook-signature"));
    }
}

#[test]
fn a_header_of_the_hook_cannot_stand_where_the_signature_will() {
    let scheme = SignatureScheme::parse(r#"{"header": "X-Signature"}"#).unwrap();
    let signer = Signer::new(&scheme, &Secret::new("key"), None).unwrap();
    let url = Url::parse("https://example.com/").unwrap();
    let target = Target::new(&url, None, &[("x-signature", &Secret::new("forged"))]).unwrap();
    let refused = target.signed_by(Some(signer)).unwrap_err().to_string();
    assert!(refused.starts_with("the header x-signature is that of the signature"));
}
