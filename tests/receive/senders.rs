//! What well-known senders send: their ids, their forms, their handshakes, and what they repeat.

use std::{fs, os::unix::fs::PermissionsExt};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap},
};

use crate::{
    queue::until_dead,
    receiving::{NOTE, Place, SIGNED, book, post, signed, task},
};

const GITHUB: &str = "secrets = [\"It's a Secret to Everybody\"]\nsignature = { header = \"X-Hub-Signature-256\", algorithm = \"sha256\", prefix = \"sha256=\" }\n";
const NOTE_ALL: &str = r#"echo "$ROWHOOK_ID $ROWHOOK_APP $ROWHOOK_MODEL $ROWHOOK_EVENT $ROWHOOK_CONTENT_TYPE $(cat)" >>ran"#;

/// A request that is signed as GitHub signs, with these headers.
async fn send(place: &Place, headers: &[(&'static str, &str)], body: &str) -> (u16, String) {
    send_with(b"It's a Secret to Everybody", place, headers, body).await
}

async fn send_with(
    key: &[u8],
    place: &Place,
    headers: &[(&'static str, &str)],
    body: &str,
) -> (u16, String) {
    let mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(key).unwrap();
    let code = mac.chain_update(body).finalize().into_bytes();
    let code: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut all = HeaderMap::new();
    all.insert(
        "x-hub-signature-256",
        format!("sha256={code}").parse().unwrap(),
    );
    for (name, value) in headers {
        all.insert(*name, value.parse().unwrap());
    }
    post(&place.url(), all, body.to_owned()).await
}

#[tokio::test]
async fn what_only_looks_alike_runs_each_time_and_what_a_sender_repeats_runs_once() {
    let place = Place::with(&format!("{GITHUB}{}", task("task", NOTE, ""))).await;
    let _receiver = place.receive().await;
    let body = r#"{"id":820982911946154508}"#;
    let mut sent = 0;
    for header in [
        "x-github-delivery",
        "x-shopify-webhook-id",
        "x-gitlab-event-uuid",
        "x-discourse-event-id",
        "x-wc-webhook-delivery-id",
    ] {
        for (id, status) in [("a", 202), ("b", 202), ("a", 200)] {
            let id = format!("{header}-{id}");
            assert_eq!(send(&place, &[(header, &id)], body).await.0, status, "{id}");
        }
        sent += 2;
    }
    for _ in 0..2 {
        assert_eq!(send(&place, &[], body).await.0, 202);
        sent += 1;
    }
    place
        .until_ran("each has run", |ran| ran.len() == sent)
        .await;
}

#[tokio::test]
async fn an_id_header_is_named_and_equal_bodies_are_one_where_that_is_asked_for() {
    let more = "id_header = \"X-My-Id\"\nsame_body = \"repeated\"\n";
    let place = Place::with(&format!("{GITHUB}{more}{}", task("task", NOTE, ""))).await;
    let _receiver = place.receive().await;
    for (id, status) in [("7", 202), ("8", 202), ("7", 200)] {
        assert_eq!(send(&place, &[("x-my-id", id)], "{}").await.0, status);
    }
    assert_eq!(send(&place, &[], "{}").await.0, 202);
    assert_eq!(send(&place, &[], "{}").await.0, 200);
}

#[tokio::test]
async fn a_redelivery_of_what_is_dead_runs() {
    let script = "echo $ROWHOOK_ID >>ran; cat >/dev/null; [ -e go ]";
    let place = Place::with(&format!("{GITHUB}{}", task("task", script, ""))).await;
    let mut receiver = place.receive().await;
    let headers = [
        ("x-github-delivery", "72d3162e"),
        ("x-github-event", "push"),
    ];
    assert_eq!(send(&place, &headers, "{}").await.0, 202);
    until_dead(&place, 1).await;
    place.write("go", "");
    assert_eq!(
        send(&place, &headers, "{}").await,
        (202, "accepted again\n".to_owned())
    );
    receiver.until_log(" done ").await;
    until_dead(&place, 0).await;
    assert_eq!(send(&place, &headers, "{}").await.0, 200);
}

#[tokio::test]
async fn forms_are_read_and_tasks_get_their_json() {
    let place = Place::with(&format!("{GITHUB}{}", task("task", NOTE_ALL, ""))).await;
    let _receiver = place.receive().await;
    let form = "application/x-www-form-urlencoded";
    let github = [
        ("content-type", form),
        ("x-github-delivery", "1"),
        ("x-github-event", "issues"),
    ];
    let body = "payload=%7B%22action%22%3A%22opened%22%2C%22n%22%3A1e400%7D";
    assert_eq!(send(&place, &github, body).await.0, 202);
    let ran = place.until_ran("it has run", |ran| ran.len() == 1).await;
    assert_eq!(
        ran[0],
        r#"1  issues opened application/json {"action":"opened","n":1e400}"#
    );
    // As rowhook sends with content = "form".
    let rowhook = [("content-type", form), ("webhook-id", "2")];
    let body = "hook=%7B%22event%22%3A%22book.added%22%7D&data=%7B%22id%22%3A7%7D";
    assert_eq!(send(&place, &rowhook, body).await.0, 202);
    let ran = place.until_ran("both have run", |ran| ran.len() == 2).await;
    assert_eq!(
        ran[1],
        r#"2  book added application/json {"hook":{"event":"book.added"},"data":{"id":7}}"#
    );
}

/// Bodies of NetBox 4.3, 4.4, 4.5, 4.6 and 4.7, without what no task looks at.
const NETBOX: [&str; 5] = [
    r#"{"event": "created", "timestamp": "2024-05-01 12:00:00+00:00", "model": "tenant", "username": "jstretch", "request_id": "17af32f0-852a-46ca-a7d4-33ecd0c13de6", "data": {"id": 1}, "snapshots": {"prechange": null, "postchange": {}}}"#,
    r#"{"event": "created", "timestamp": "2025-09-01T12:00:00+00:00", "object_type": "tenancy.tenant", "model": "tenant", "username": "jstretch", "request_id": "17af32f0-852a-46ca-a7d4-33ecd0c13de6", "data": {"id": 1}, "snapshots": {"prechange": null, "postchange": {}}}"#,
    r#"{"event": "created", "timestamp": "2026-01-06T12:00:00+00:00", "object_type": "tenancy.tenant", "username": "jstretch", "request_id": "17af32f0-852a-46ca-a7d4-33ecd0c13de6", "data": {"id": 1}, "snapshots": {"prechange": null, "postchange": {}}}"#,
    r#"{"event": "created", "timestamp": "2026-03-06T15:11:23.503186+00:00", "object_type": "tenancy.tenant", "username": "jstretch", "request_id": "17af32f0-852a-46ca-a7d4-33ecd0c13de6", "data": {"id": 1}, "request": {"id": "17af32f0-852a-46ca-a7d4-33ecd0c13de6", "method": "POST", "path": "/tenancy/tenants/add/", "user": "jstretch"}, "snapshots": {"prechange": null, "postchange": {}}}"#,
    r#"{"event": "created", "timestamp": "2026-09-01T12:00:00+00:00", "object_type": "tenancy.tenant", "data": {"id": 1}, "request": {"id": "17af32f0-852a-46ca-a7d4-33ecd0c13de6", "path": "/", "path_info": "/", "method": "POST", "GET": {}, "user": "jstretch"}, "snapshots": {"prechange": null, "postchange": {}}}"#,
];

#[tokio::test]
async fn every_netbox_is_understood_with_the_app_of_a_model_and_without() {
    let bare = task(
        "bare",
        r#"echo "bare $ROWHOOK_MODEL" >>ran"#,
        "model = \"tenant\"",
    );
    let whole = task(
        "whole",
        r#"echo "whole $ROWHOOK_MODEL" >>ran"#,
        "model = \"tenancy.tenant\"",
    );
    let other = task(
        "other",
        "echo other >>ran",
        "model = [\"site\", \"dcim.tenant\"]",
    );
    // An old NetBox does not say the app, so that the third task would want what it sends.
    let place = Place::with(&format!("{GITHUB}{bare}{whole}{other}")).await;
    let _receiver = place.receive().await;
    for body in &NETBOX[1..] {
        assert_eq!(send(&place, &[], body).await.0, 202);
    }
    let ran = place
        .until_ran("both tasks have run", |ran| ran.len() == 8)
        .await;
    let of = |line: &str| ran.iter().filter(|ran| *ran == line).count();
    assert_eq!((of("bare tenant"), of("whole tenant")), (4, 4), "{ran:?}");
    assert_eq!(send(&place, &[], NETBOX[0]).await.0, 202);
    let ran = place
        .until_ran("the oldest too", |ran| ran.len() == 11)
        .await;
    assert!(ran[8..].contains(&"bare tenant".to_owned()), "{ran:?}");
}

#[tokio::test]
async fn a_header_that_nobody_signed_says_nothing_of_what_is_signed() {
    let admin = task("admin", "echo admin >>ran", "model = \"admin\"");
    let place = Place::with(&format!(
        "{SIGNED}{admin}{}",
        task("task", NOTE, "model = \"book\"")
    ))
    .await;
    let _receiver = place.receive().await;
    for (id, body) in [
        ("msg_1", book("added", 1)),
        ("msg_2", "{\"id\":1}".to_owned()),
    ] {
        let mut headers = signed(id, &body, 0);
        headers.insert("x-github-event", "admin".parse().unwrap());
        headers.insert("x-github-delivery", "another".parse().unwrap());
        assert_eq!(post(&place.url(), headers, body).await.0, 202);
    }
    assert_eq!(place.send("msg_3", &book("added", 2)).await, 202);
    let mut ran = place.until_ran("both have run", |ran| ran.len() == 2).await;
    // They run beside each other.
    ran.sort();
    assert_eq!(ran, ["msg_1 1", "msg_3 1"]);
}

#[tokio::test]
async fn handshakes_are_answered_and_run_nothing() {
    let handshakes = "[handshakes]\ncloudevents = [\"events.example.com\"]\nmeta = \"meatyhamhock\"\nslack = true\nzoom = \"token\"\ndropbox = true\nwoocommerce = true\n";
    let place = Place::with(&format!("{GITHUB}{}{handshakes}", task("task", NOTE, ""))).await;
    let mut receiver = place.receive().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let options = client
        .request(Method::OPTIONS, place.url())
        .header("webhook-request-origin", "events.example.com")
        .header("webhook-request-rate", "120");
    let answer = options.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["webhook-allowed-origin"],
        "events.example.com"
    );
    assert_eq!(answer.headers()["webhook-allowed-rate"], "*");
    let get = async |query: &str| {
        let answer = client
            .get(format!("{}?{query}", place.url()))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let meta = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=";
    assert_eq!(
        get(&format!("{meta}meatyhamhock")).await,
        (200, "1158201444".to_owned())
    );
    assert_eq!(get(&format!("{meta}wrong")).await.0, 403);
    assert_eq!(get("challenge=abc").await, (200, "abc".to_owned()));
    assert_eq!(get("").await.0, 405);
    let slack = r#"{"token":"x","challenge":"3eZbrw1a","type":"url_verification"}"#;
    assert_eq!(send(&place, &[], slack).await, (200, "3eZbrw1a".to_owned()));
    let unsigned = post(&place.url(), HeaderMap::new(), slack).await;
    assert_eq!(unsigned.0, 401);
    let zoom = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1}"#;
    let (status, answer) = send(&place, &[], zoom).await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (status, &answer["plainToken"]),
        (200, &"qgg8vlvZRS6UYooatFL8Aw".into())
    );
    assert_eq!(answer["encryptedToken"].as_str().unwrap().len(), 64);
    let form = HeaderMap::from_iter([(
        CONTENT_TYPE,
        "application/x-www-form-urlencoded".parse().unwrap(),
    )]);
    assert_eq!(post(&place.url(), form, "webhook_id=7").await.0, 200);
    assert_eq!(
        send(&place, &[("x-github-delivery", "1")], "{}").await.0,
        202
    );
    assert_eq!(
        place
            .until_ran("the delivery runs", |ran| !ran.is_empty())
            .await,
        ["1 1"]
    );
    receiver
        .until_log("a handshake of WooCommerce is answered")
        .await;
}

#[tokio::test]
async fn without_handshakes_none_is_answered() {
    let place = Place::with(&format!("{GITHUB}{}", task("task", NOTE, ""))).await;
    let _receiver = place.receive().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}?challenge=abc", place.url());
    assert_eq!(client.get(url).send().await.unwrap().status(), 405);
    let options = client.request(Method::OPTIONS, place.url());
    let options = options
        .header("webhook-request-origin", "a")
        .send()
        .await
        .unwrap();
    assert_eq!(options.status(), 405);
}

#[tokio::test]
async fn the_queue_is_closed_to_others_and_tasks_do_not_know_the_secret() {
    // A variable that every test has, taken for a secret.
    let secret = std::env::var("PATH").unwrap();
    let config = GITHUB.replace("It's a Secret to Everybody", "${PATH}");
    let script = r#"echo "$(/usr/bin/env | /bin/grep -c ^PATH=) $ROWHOOK_ID" >>ran"#;
    let script = task("task", script, "").replace("\"sh\"", "\"/bin/sh\"");
    let place = Place::with(&format!("{config}{script}")).await;
    fs::create_dir(place.path("rowhook-queue")).unwrap();
    fs::set_permissions(
        place.path("rowhook-queue"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let _receiver = place.receive().await;
    let headers = [("x-github-delivery", "1")];
    assert_eq!(
        send_with(secret.as_bytes(), &place, &headers, "{}").await.0,
        202
    );
    assert_eq!(
        place.until_ran("it has run", |ran| ran.len() == 1).await,
        ["0 1"]
    );
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("rowhook-queue"), 0o700);
    for file in [
        "queue.sqlite",
        "queue.sqlite-wal",
        "queue.sqlite-shm",
        "lock",
    ] {
        assert_eq!(mode(&format!("rowhook-queue/{file}")), 0o600, "{file}");
    }
}

#[test]
fn a_blank_secret_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for secret in ["", "  "] {
        let args = ["receive", "--port", "1", "--secret", secret];
        let ended = harness::rowhook_in(&folder, &args);
        assert!(ended.err.contains("--secret is empty"), "{}", ended.err);
    }
}

#[tokio::test]
async fn the_list_of_the_dead_steers_no_terminal() {
    let script = r"cat >/dev/null; printf '\033[2J\302\233gone' >&2; exit 1";
    let place = Place::with_task(script, "").await;
    let _receiver = place.receive().await;
    let body = r#"{"hook":{"event":"book.\u001b[31madded\u202e"},"data":{}}"#;
    assert_eq!(place.send("msg_1", body).await, 202);
    until_dead(&place, 1).await;
    for args in [&["dead", "list"][..], &["--json", "dead", "list"]] {
        let list = place.ask(args).out;
        assert!(list.contains("1b") && list.contains("202e"), "{list:?}");
        assert!(
            !list.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'),
            "{list:?}"
        );
    }
}
