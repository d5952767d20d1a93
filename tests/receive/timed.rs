//! Senders that sign the time with the body, each in its own way: Slack, Zoom and Stripe.

use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::receiving::{Place, post, task};

const NOTE: &str = r#"echo "$ROWHOOK_ID $ROWHOOK_SHAPE [$ROWHOOK_MODEL] $ROWHOOK_EVENT" >>ran"#;
const KEY: &str = "8f742231b10e8888abcd99yyyzzz85a5";

/// A place that believes this sender alone.
async fn place(sender: &str, handshakes: &str) -> Place {
    let task = task("task", NOTE, "");
    Place::with(&format!(
        "secrets = [\"another\", \"{KEY}\"]\nsignature = \"{sender}\"\n{task}{handshakes}"
    ))
    .await
}

/// The headers with which `sender` signs a body `ago` seconds ago, and others.
fn signed(sender: &str, ago: i64, body: &str, others: &[(&'static str, &str)]) -> HeaderMap {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = i64::try_from(now.unwrap().as_secs()).unwrap() - ago;
    let content = match sender {
        "stripe" => format!("{at}.{body}"),
        _ => format!("v0:{at}:{body}"),
    };
    let mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(KEY.as_bytes()).unwrap();
    let code = mac.chain_update(content).finalize().into_bytes();
    let code: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
    let (at, signature) = (at.to_string(), format!("v0={code}"));
    let stripe = format!("t={at},v1={},v1={code},v0=0", "0".repeat(64));
    let own = match sender {
        "slack" => vec![
            ("x-slack-request-timestamp", &*at),
            ("x-slack-signature", &*signature),
        ],
        "zoom" => vec![
            ("x-zm-request-timestamp", &*at),
            ("x-zm-signature", &*signature),
        ],
        _ => vec![("stripe-signature", &*stripe)],
    };
    let all = own.iter().chain(others);
    all.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

async fn send(place: &Place, sender: &str, ago: i64, body: &str) -> (u16, String) {
    post(
        &place.url(),
        signed(sender, ago, body, &[]),
        body.to_owned(),
    )
    .await
}

#[tokio::test]
async fn events_of_slack_are_verified_and_one_that_is_repeated_runs_once() {
    let place = place("slack", "[handshakes]\nslack = true\n").await;
    let _receiver = place.receive().await;
    let hello = json!({"token": "x", "challenge": "3eZbrw1a", "type": "url_verification"});
    assert_eq!(
        send(&place, "slack", 0, &hello.to_string()).await,
        (200, "3eZbrw1a".to_owned())
    );
    let event = |id: &str| {
        json!({"type": "event_callback", "event_id": id, "event": {"type": "app_mention"}})
            .to_string()
    };
    assert_eq!(send(&place, "slack", 0, &event("Ev1")).await.0, 202);
    // Slack has no answer in time, and sends it again with another time and a header of its own. Somebody who overhears
    // it adds an id and another event.
    let others = [
        ("x-slack-retry-num", "1"),
        ("webhook-id", "msg_2"),
        ("x-github-event", "admin"),
    ];
    let headers = signed("slack", 1, &event("Ev1"), &others);
    assert_eq!(post(&place.url(), headers, event("Ev1")).await.0, 200);
    let headers = signed("slack", 0, &event("Ev2"), &others);
    assert_eq!(post(&place.url(), headers, event("Ev2")).await.0, 202);
    // A command comes as a form without an id, and is another one each time.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let command = "command=%2Fdeploy&text=now";
    for _ in 0..2 {
        let headers = signed("slack", 0, command, &form);
        assert_eq!(post(&place.url(), headers, command).await.0, 202);
    }
    let mut ran = place.until_ran("all have run", |ran| ran.len() == 4).await;
    ran.sort();
    assert_eq!(
        ran[..2],
        ["Ev1 slack [] app_mention", "Ev2 slack [] app_mention"]
    );
    assert!(
        ran[2..].iter().all(|line| line.ends_with(" other [] ")),
        "{ran:?}"
    );
}

#[tokio::test]
async fn what_a_sender_did_not_sign_or_signed_long_ago_is_refused() {
    for sender in ["slack", "zoom", "stripe"] {
        let place = place(sender, "").await;
        let _receiver = place.receive().await;
        let body = r#"{"id":"evt_1"}"#;
        let (status, told) = send(&place, sender, 301, body).await;
        assert_eq!(status, 401);
        assert!(
            told.contains("more than the 5m that are tolerated"),
            "{told}"
        );
        let (status, told) = send(&place, sender, -302, body).await;
        assert!(status == 401 && told.contains(" ahead"), "{told}");
        // The body of one and the signature of another.
        let headers = signed(sender, 0, body, &[]);
        let (status, told) = post(&place.url(), headers, r#"{"id":"evt_2"}"#).await;
        assert!(
            status == 401 && told.contains("does not fit the body"),
            "{told}"
        );
        let (status, told) = post(&place.url(), HeaderMap::new(), body).await;
        assert!(status == 401 && told.contains("is missing"), "{told}");
        // Another sender's headers are none.
        let other = if sender == "slack" { "zoom" } else { "slack" };
        assert_eq!(send(&place, other, 0, body).await.0, 401);
        assert_eq!(send(&place, sender, 200, body).await.0, 202);
        assert_eq!(
            send(&place, sender, -200, body).await.0,
            if sender == "stripe" { 200 } else { 202 }
        );
    }
}

#[tokio::test]
async fn zoom_and_stripe_are_read_with_their_models_and_events() {
    let zoom = place("zoom", &format!("[handshakes]\nzoom = \"{KEY}\"\n")).await;
    let _receiver = zoom.receive().await;
    let hello = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680}"#;
    let (status, answer) = send(&zoom, "zoom", 0, hello).await;
    assert!(
        status == 200 && answer.contains("encryptedToken"),
        "{answer}"
    );
    let started = r#"{"event":"meeting.started","payload":{"object":{}},"event_ts":1626230691572}"#;
    assert_eq!(send(&zoom, "zoom", 0, started).await.0, 202);
    let ran = zoom.until_ran("it has run", |ran| ran.len() == 1).await;
    assert!(ran[0].ends_with(" zoom [meeting] started"), "{ran:?}");

    let stripe = place("stripe", "").await;
    let _receiver = stripe.receive().await;
    let paid = r#"{"id":"evt_1","object":"event","type":"invoice.paid","data":{"object":{}}}"#;
    for status in [202, 200] {
        assert_eq!(send(&stripe, "stripe", 0, paid).await.0, status);
    }
    let ran = stripe.until_ran("it has run", |ran| ran.len() == 1).await;
    assert_eq!(ran, ["evt_1 standard [invoice] paid"]);
}

#[test]
fn what_is_asked_for_by_name_is_told_from_a_slip() {
    let folder = tempfile::tempdir().unwrap();
    let config = "listen = \"127.0.0.1:9000\"\nsecrets = [\"x\"]\nsignature = \"slak\"\n";
    std::fs::write(folder.path().join("receive.toml"), config).unwrap();
    let ended = harness::rowhook_in(&folder, &["receive"]);
    assert_eq!(ended.code, 64);
    assert!(
        ended
            .err
            .contains("signature cannot be \"slak\"; did you mean \"slack\"?"),
        "{}",
        ended.err
    );
}
