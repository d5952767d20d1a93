//! The parts of a request, and where it is sent.

use std::sync::atomic::Ordering;

use axum::{Router, extract::Request as Received, http::StatusCode, response::IntoResponse};
use rowhook::{
    config::Delivery,
    secret::Secret,
    send::{
        Sender,
        answer::{Answer, Failure},
        target::Target,
    },
};
use tokio::{io::AsyncWriteExt, sync::mpsc};
use url::Url;

use crate::{
    configuration::hooks_with,
    endpoint::{SECRET, answer_with, code, raw, read_request, send, sender, serve, target},
};

#[tokio::test]
async fn a_request_has_these_bytes() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let (url, _) = raw(move |mut stream, _| {
        let said = said.clone();
        async move {
            let request = read_request(&mut stream).await.unwrap();
            said.send(request).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let headers = [("x-tenant", &Secret::new("north"))];
    let url = Url::parse(&url.replace("http://", "http://anna:p%40ss@")).unwrap();
    let target = Target::new(&url, Some(&Secret::new(SECRET)), &headers).unwrap();
    let answer = send(&sender(), &target).await;
    assert_eq!(code(&answer), 204);
    let request = heard.recv().await.unwrap();
    let mut lines: Vec<String> = request.lines().map(str::to_owned).collect();
    // These change from run to run.
    for line in &mut lines {
        for name in ["host: ", "webhook-timestamp: ", "webhook-signature: v1,"] {
            if line.starts_with(name) {
                *line = format!("{name}…");
            }
        }
    }
    let headers = 1..lines.len() - 2;
    lines[headers].sort();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    POST /hook HTTP/1.1
    accept: */*
    authorization: Basic YW5uYTpwQHNz
    content-length: 7
    content-type: application/json
    host: …
    user-agent: rowhook/0.1.0
    webhook-id: msg_1
    webhook-signature: v1,…
    webhook-timestamp: …
    x-tenant: north

    {"n":1}
    "#);
    assert!(!format!("{target:?}{answer:?}{}", target.display()).contains("p@ss"));
    assert!(!format!("{target:?}").contains("north"));
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_as_it_is_used_costs_no_attempt() {
    // The first connection answers once, and is closed without an answer to the second request.
    let (url, connections) = raw(|mut stream, connection| async move {
        answer_with(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        if connection == 0 {
            read_request(&mut stream).await;
        } else {
            answer_with(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let (sender, target) = (sender(), target(&url));
    assert_eq!(code(&send(&sender, &target).await), 200);
    assert_eq!(code(&send(&sender, &target).await), 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, visits) = raw(|_, _| async {}).await;
    let app = Router::new().fallback(move || {
        let elsewhere = elsewhere.clone();
        async move { (StatusCode::TEMPORARY_REDIRECT, [("location", elsewhere)]).into_response() }
    });
    let url = serve(app).await;
    assert_eq!(code(&send(&sender(), &target(&url)).await), 307);
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_is_judged_by_the_address_it_leads_to() {
    let (url, visits) = raw(|mut stream, _| async move {
        answer_with(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
    })
    .await;
    let by_name = url.replace("127.0.0.1", "localhost");
    let guarded = Sender::new(&Delivery {
        allow_http: true,
        ..Delivery::default()
    })
    .unwrap();
    for (url, expected) in [
        (
            &by_name,
            "leads to an address that is not public; delivery.allow_networks",
        ),
        (&url, "is not public (loopback); delivery.allow_networks"),
    ] {
        let answer = send(&guarded, &target(url)).await;
        let Answer::Failed(Failure::Refused(reason)) = &answer else {
            panic!("{answer}")
        };
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
    assert_eq!(code(&send(&sender(), &target(&by_name)).await), 200);
    let answer = send(&sender(), &target("http://no-such-host.invalid/")).await;
    assert!(
        matches!(answer, Answer::Failed(Failure::Resolve(_))),
        "{answer}"
    );
}

#[tokio::test]
async fn a_hook_has_the_method_and_the_credentials_that_it_says() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |request: Received| {
        let said = said.clone();
        async move {
            let credentials = request.headers().get("authorization");
            let credentials = credentials.map_or("", |value| value.to_str().unwrap());
            said.send(format!("{} {credentials}", request.method()))
                .unwrap();
        }
    });
    let url = serve(app).await;
    let folder = tempfile::tempdir().unwrap();
    let hooks = hooks_with(
        folder.path(),
        &url,
        &[
            "",
            "method = \"PUT\"\nauth = { user = \"anna\", password = \"p@ss\" }",
            "method = \"PATCH\"\nauth = { bearer = \"to.ken\" }",
        ],
    );
    let hooks = hooks.unwrap();
    let expected = ["POST ", "PUT Basic YW5uYTpwQHNz", "PATCH Bearer to.ken"];
    for (hook, expected) in hooks.iter().zip(expected) {
        assert_eq!(code(&send(&sender(), &hook.target).await), 200);
        assert_eq!(heard.recv().await.as_deref(), Some(expected));
    }
    let shown = format!("{hooks:?}");
    assert!(!shown.contains("p@ss") && !shown.contains("to.ken"));
}

#[tokio::test]
async fn a_header_that_a_hook_sets_itself_stands_alone() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |request: Received| {
        let said = said.clone();
        async move {
            let accepts = request.headers().get_all("accept").iter();
            let accepts = accepts.map(|value| value.to_str().unwrap().to_owned());
            said.send(accepts.collect::<Vec<_>>()).unwrap();
        }
    });
    let url = serve(app).await;
    let folder = tempfile::tempdir().unwrap();
    let keys = ["", "headers = { Accept = \"text/plain\" }"];
    let hooks = hooks_with(folder.path(), &url, &keys).unwrap();
    for (hook, expected) in hooks.iter().zip(["*/*", "text/plain"]) {
        assert_eq!(code(&send(&sender(), &hook.target).await), 200);
        assert_eq!(heard.recv().await.unwrap(), [expected]);
    }
}

#[test]
fn headers_that_are_rowhooks_or_https_own_are_refused() {
    let url = Url::parse("https://example.com/").unwrap();
    for (name, value, told) in [
        (
            "Host",
            "x",
            "the header host is set by rowhook; choose another name",
        ),
        (
            "webhook-id",
            "x",
            "the header webhook-id is set by rowhook; choose another name",
        ),
        (
            "Transfer-Encoding",
            "chunked",
            "the header transfer-encoding is set by rowhook; choose another name",
        ),
        ("a b", "x", "\"a b\" is not the name of a header"),
        (
            "x-a",
            "1\r\nx-b: 2",
            "the value of the header x-a has a line break or another character that cannot be sent",
        ),
    ] {
        let refused = Target::new(&url, None, &[(name, &Secret::new(value))]).unwrap_err();
        assert_eq!(refused.to_string(), told);
    }
}
