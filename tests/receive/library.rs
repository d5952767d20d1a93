//! The library: a registry behind a queue, and an axum layer in front of a router.

use harness::SECRET;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Extension, Router, http::StatusCode, routing::post as on_post};
use rowhook::receive::{
    Gate, Options, Received, Receiver, Registry, Storage, Verifier, VerifyLayer,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::receiving::{book, post, signed};

#[tokio::test]
async fn a_registry_behind_a_queue_calls_what_wants_an_event_until_it_succeeds() {
    let (sender, mut called) = mpsc::unbounded_channel();
    let attempts = Arc::new(AtomicUsize::new(0));
    let mut registry = Registry::new();
    let first = sender.clone();
    registry.on("book", "added", move |received: Received| {
        let (first, attempt) = (first.clone(), attempts.fetch_add(1, Ordering::SeqCst));
        async move {
            if attempt == 0 {
                return Err("not yet");
            }
            first.send(format!("added {}", received.id)).unwrap();
            Ok(())
        }
    });
    registry.on("book", "*", move |received: Received| {
        let sender = sender.clone();
        async move {
            sender
                .send(format!("any {}", received.envelope.event))
                .map_err(|error| error.to_string())
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new(Gate::new(Verifier::standard([SECRET]).unwrap()));
    options.queue = Storage::Folder(folder.path().join("queue"));
    let tasks: Vec<_> = registry
        .tasks()
        .iter()
        .map(|task| {
            let mut task = rowhook::receive::Task::clone(task);
            task.retries = vec![std::time::Duration::from_millis(10)];
            Arc::new(task)
        })
        .collect();
    let receiver = Receiver::open(tasks, options).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let running = tokio::spawn(receiver.run(listener, stop.clone()));
    for event in ["added", "removed"] {
        let body = book(event, 1);
        let id = format!("msg_{event}");
        assert_eq!(post(&url, signed(&id, &body, 0), body.clone()).await.0, 202);
    }
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(called.recv().await.unwrap());
    }
    calls.sort();
    assert_eq!(calls, ["added msg_added", "any added", "any removed"]);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_layer_lets_only_what_is_verified_through_with_its_body_and_what_it_is_about() {
    let handler = |Extension(received): Extension<Received>, body: String| async move {
        assert_eq!(body.as_bytes(), received.body);
        (
            StatusCode::OK,
            format!("{} {}", received.envelope, received.id),
        )
    };
    let gate = Gate::new(Verifier::standard([SECRET]).unwrap());
    let app = Router::new()
        .route("/", on_post(handler))
        .layer(VerifyLayer::new(gate));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let body = book("added", 1);
    let good = post(&url, signed("msg_1", &body, 0), body.clone()).await;
    assert_eq!(good, (200, "book added msg_1".to_owned()));
    assert_eq!(
        post(&url, signed("msg_1", &body, 0), book("added", 2))
            .await
            .0,
        401
    );
    assert_eq!(post(&url, signed("msg_1", "x", 0), "x").await.0, 400);
    server.abort();
}

#[tokio::test]
async fn a_registry_without_a_queue_says_what_failed() {
    let mut registry = Registry::new();
    registry.on("book", "added", |_| async { Err("no paper") });
    let body = book("added", 1).into();
    let (received, _) = Received::read(
        &reqwest::header::HeaderMap::new(),
        body,
        std::time::SystemTime::now(),
    )
    .unwrap();
    assert_eq!(
        registry.dispatch(&received).await,
        Err("book added: no paper".to_owned())
    );
}

#[tokio::test]
async fn a_body_in_gzip_is_unpacked_before_it_is_verified_and_within_the_bound() {
    let handler = |Extension(received): Extension<Received>| async move { received.id };
    let mut gate = Gate::new(Verifier::standard([SECRET]).unwrap());
    gate.max_body = 64 << 10;
    let app = Router::new()
        .route("/", on_post(handler))
        .layer(VerifyLayer::new(gate));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let padded = |bytes: usize| format!("{}{}", book("added", 1), " ".repeat(bytes));
    let pack = |body: &str| rowhook::gzip::pack(body.as_bytes()).unwrap();
    let send = async |encoding: &'static str, signed_as: &str, body: Vec<u8>| {
        let mut headers = signed("msg_1", signed_as, 0);
        headers.insert("content-encoding", encoding.parse().unwrap());
        post(&url, headers, body).await
    };
    let body = padded(40 << 10);
    assert_eq!(
        send("gzip", &body, pack(&body)).await,
        (200, "msg_1".to_owned())
    );
    assert_eq!(send("GZIP", &body, pack(&body)).await.0, 200);
    assert_eq!(send("identity", &body, body.clone().into()).await.0, 200);
    let other = padded(1);
    assert_eq!(
        send("gzip", &other, pack(&body)).await.0,
        401,
        "it is not what was signed"
    );
    let bomb = padded(20 << 20);
    assert_eq!(send("gzip", &bomb, pack(&bomb)).await.0, 413);
    let broken = pack(&body)[..20].to_vec();
    let (status, told) = send("gzip", &body, broken).await;
    assert_eq!((status, &told[..26]), (400, "the body cannot be unpacke"));
    let (status, told) = send("br", &body, pack(&body)).await;
    assert_eq!(status, 415);
    assert!(told.contains("\"br\" is not accepted"), "{told}");
    server.abort();
}
