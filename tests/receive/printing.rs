//! `rowhook receive --port`: prints what arrives, for developers.

use harness::{Rowhook, SECRET};
use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signer, SigningKey};
use reqwest::header::HeaderMap;

use crate::receiving::{Place, book, post, signed};

/// Starts a printer with these arguments, and returns the URL that it listens at.
async fn printer(args: &[&str]) -> (Rowhook, String) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let args: Vec<&str> = ["receive", "--port", "0"]
        .iter()
        .chain(args)
        .copied()
        .collect();
    let mut rowhook = Rowhook::start_in(&folder, &args);
    rowhook.until_log("listening on").await;
    let log = rowhook.log();
    let url = log.split("listening on ").nth(1).unwrap();
    let url = format!("{}/hook", url.split_whitespace().next().unwrap());
    (rowhook, url)
}

#[tokio::test]
async fn what_arrives_is_printed_with_whether_it_is_believed() {
    let (mut printer, url) = printer(&["--secret", SECRET]).await;
    let body = book("added", 7);
    assert_eq!(
        post(&url, signed("msg_1", &body, 0), body.clone()).await.0,
        202
    );
    assert_eq!(
        post(&url, signed("msg_1", &body, 0), body.clone()).await.0,
        200
    );
    assert_eq!(
        post(&url, signed("msg_2", &body, 0), book("added", 8))
            .await
            .0,
        401
    );
    assert_eq!(post(&url, HeaderMap::new(), body.clone()).await.0, 401);
    let printed = printer
        .until_out("all four", |out| out.matches("path  /hook").count() == 4)
        .await;
    for part in [
        "  book added  verified\n  path  /hook\n  id    msg_1\n  body  rest-hooks, 69 bytes\n  {\n    \"hook\": {\n",
        "  book added  verified, came before\n",
        "  refused with 401: the signature in webhook-signature does not fit the body and any secret\n",
        "  head  webhook-id: msg_2\n",
        "  refused with 401: the header webhook-signature is missing\n",
    ] {
        assert!(printed.contains(part), "{part:?} is not in\n{printed}");
    }
    assert!(printer.stop().success());
}

#[tokio::test]
async fn a_public_key_believes_what_its_private_key_has_signed() {
    let private = SigningKey::from_bytes(&[7; 32]);
    let public = BASE64_STANDARD.encode(private.verifying_key().as_bytes());
    let (mut printer, url) = printer(&["--secret", &format!("whpk_{public}")]).await;
    let body = book("added", 7);
    // The same id and time, signed with another key by another algorithm.
    let mut headers = signed("msg_1", &body, 0);
    assert_eq!(post(&url, headers.clone(), body.clone()).await.0, 401);
    let at = headers["webhook-timestamp"].to_str().unwrap();
    let signature = private.sign(format!("msg_1.{at}.{body}").as_bytes());
    let signature = format!("v1a,{}", BASE64_STANDARD.encode(signature.to_bytes()));
    headers.insert("webhook-signature", signature.parse().unwrap());
    assert_eq!(post(&url, headers, body).await.0, 202);
    printer
        .until_out("the good one", |out| {
            out.contains("  book added  verified\n")
        })
        .await;
}

#[tokio::test]
async fn without_a_secret_everything_is_printed_and_said_to_be_unverified() {
    let (mut printer, url) = printer(&[]).await;
    assert_eq!(post(&url, HeaderMap::new(), "[1]").await.0, 202);
    let printed = printer
        .until_out("the block", |out| out.contains("[\n"))
        .await;
    assert!(
        printed.contains("no model or event  not verified: there is no --secret"),
        "{printed}"
    );
}

#[tokio::test]
async fn json_is_a_line_for_each_request() {
    let (mut printer, url) = printer(&["--json", "--secret", SECRET]).await;
    let body = book("added", 7);
    assert_eq!(
        post(&url, signed("msg_1", &body, 0), body.clone()).await.0,
        202
    );
    assert_eq!(post(&url, HeaderMap::new(), "no").await.0, 401);
    let printed = printer
        .until_out("two lines", |out| out.lines().count() == 2)
        .await;
    let lines: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["verified"], true);
    assert_eq!(
        (&lines[0]["model"], &lines[0]["event"]),
        (&"book".into(), &"added".into())
    );
    assert_eq!(lines[0]["body"]["data"]["id"], 7);
    assert_eq!(
        (&lines[1]["status"], &lines[1]["body"]),
        (&401.into(), &"no".into())
    );
}

#[tokio::test]
async fn an_hmac_header_can_be_asked_for() {
    let hmac = [
        "--secret",
        "key",
        "--header",
        "X-Hub-Signature-256",
        "--prefix",
        "sha256=",
    ];
    let (mut printer, url) = printer(&hmac).await;
    let mut headers = HeaderMap::new();
    // printf '{}' | openssl dgst -sha256 -hmac key
    let signature = "sha256=a777724d943eb48dc69bca8a4a6d57a04db3f9ec7e1de4e581e860265bdf3032";
    headers.insert("x-hub-signature-256", signature.parse().unwrap());
    headers.insert("x-github-event", "push".parse().unwrap());
    assert_eq!(post(&url, headers, "{}").await.0, 202);
    printer
        .until_out("push", |out| out.contains("  push push  verified\n"))
        .await;
}

#[tokio::test]
async fn a_file_without_tasks_prints_and_no_file_says_what_to_do() {
    let place = Place::with(crate::receiving::SIGNED).await;
    let mut receiver = place.receive().await;
    assert_eq!(place.send("msg_1", &book("added", 1)).await, 202);
    receiver
        .until_out("the block", |out| out.contains("book added  verified"))
        .await;
    let folder = tempfile::tempdir().unwrap();
    let ended = harness::rowhook_in(&folder, &["receive"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .err
            .contains("rowhook receive --port 9000 --secret whsec_"),
        "{}",
        ended.err
    );
    let ended = harness::rowhook_in(&folder, &["receive", "--port", "0", "--secret", "x"]);
    assert!(
        ended.err.contains("--secret: the secret is neither whsec_"),
        "{}",
        ended.err
    );
    let ended = harness::rowhook_in(&folder, &["receive", "--secret", SECRET]);
    assert!(
        ended.err.contains("--secret goes with --port"),
        "{}",
        ended.err
    );
}
