//! The life of a hook.

use harness::{BOOK_EVENTS, Database, Receiver};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADMIN, Api, server};

#[tokio::test]
async fn an_owner_lives_with_a_hook_through_the_api() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| if before == 1 { 500 } else { 200 }).await;
    let config = database
        .config(&format!("{BOOK_EVENTS}\n{}", server("")))
        .replace(
            "retries = [\"50ms\", \"100ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\"]",
            "retries = false",
        );
    let api = Api::start(&config).await;
    let anna = api.token("7", "write").await;
    let events = api.get("/api/events", &anna).await.json();
    assert_eq!(events[0]["name"], json!("book.added"));
    let hook = json!({"event": "book.added", "target": receiver.url()});
    let made = api.post("/api/hooks", &anna, hook).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let hook = made.json();
    let id = hook["id"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("/api/hooks/{id}"));
    assert_eq!(hook["owner"], json!("7"));
    let verifier = standardwebhooks::Webhook::new(hook["secret"].as_str().unwrap()).unwrap();
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let calls = receiver.expect(1).await;
    verifier.verify(&calls[0].body, &calls[0].headers).unwrap();

    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    let dead = "select count(*) = 1 from rowhook.delivery where state = 'dead'";
    database.until("one is dead", dead).await;
    database
        .until(
            "history has both",
            "select count(*) = 2 from rowhook.attempt",
        )
        .await;
    let path = format!("/api/hooks/{id}/deliveries?limit=1");
    let first = api.get(&path, &anna).await.json();
    assert_eq!(first["data"][0]["state"], json!("dead"));
    let next = first["next"].as_str().unwrap();
    let second = api
        .get(&format!("{path}&cursor={next}"), &anna)
        .await
        .json();
    assert_eq!(second["data"][0]["state"], json!("delivered"));
    assert_eq!(second["next"], Value::Null);
    let delivery = first["data"][0]["id"].as_str().unwrap();
    let shown = api
        .get(&format!("/api/deliveries/{delivery}"), &anna)
        .await
        .json();
    assert_eq!(shown["attempt_list"][0]["status"], json!(500));
    let again = api
        .ask(
            Method::POST,
            &format!("/api/deliveries/{delivery}/retry"),
            &anna,
            None,
        )
        .await;
    assert_eq!(again.status, 202, "{}", again.text);
    let calls = receiver.expect(3).await;
    assert_eq!(calls[2].id(), delivery);

    let rotated = api
        .ask(
            Method::POST,
            &format!("/api/hooks/{id}/rotate"),
            &anna,
            None,
        )
        .await
        .json();
    let tested = api
        .ask(Method::POST, &format!("/api/hooks/{id}/test"), &anna, None)
        .await;
    assert_eq!(tested.json()["status"], json!(200));
    let calls = receiver.expect(4).await;
    assert_eq!(calls[3].header("webhook-signature").split(' ').count(), 2);
    for secret in [&rotated["secret"], &hook["secret"]] {
        let verifier = standardwebhooks::Webhook::new(secret.as_str().unwrap()).unwrap();
        verifier.verify(&calls[3].body, &calls[3].headers).unwrap();
    }
    let changed = api
        .ask(
            Method::PATCH,
            &format!("/api/hooks/{id}"),
            &anna,
            Some(&json!({"event": "book.changed", "description": "prices"})),
        )
        .await
        .json();
    assert_eq!(changed["description"], json!("prices"));
    let gone = api
        .ask(Method::DELETE, &format!("/api/hooks/{id}"), &anna, None)
        .await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(
        api.get(&format!("/api/hooks/{id}"), &anna).await.status,
        404
    );
}

#[tokio::test]
async fn a_target_proves_that_it_wants_what_it_gets() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, _| 404).await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("verify = \"ping\"")));
    let api = Api::start(&config).await;
    let hook = json!({"event": "book.added", "target": receiver.url()});
    let refused = api.post("/api/hooks", ADMIN, hook.clone()).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("404"), "{}", refused.text);
    receiver.answer(|_, _| 200);
    assert_eq!(api.post("/api/hooks", ADMIN, hook).await.status, 201);
    assert_eq!(receiver.calls()[1].event(), "hook.test");
    drop(api);

    let echo = axum::Router::new().fallback(|headers: axum::http::HeaderMap| async move {
        [(
            "x-hook-secret",
            headers.get("x-hook-secret").cloned().unwrap(),
        )]
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let echoing = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, echo).await.unwrap() });
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}",
        server("verify = \"secret-echo\"")
    ));
    let api = Api::start(&config).await;
    for (target, status) in [(receiver.url(), 422), (echoing, 201)] {
        let hook = json!({"event": "book.added", "target": target});
        let answer = api.post("/api/hooks", ADMIN, hook).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}
