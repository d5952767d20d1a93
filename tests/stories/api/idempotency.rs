//! Requests with an idempotency key.

use harness::{BOOK_EVENTS, Database};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADMIN, Api, server};

#[tokio::test]
async fn a_request_with_a_key_is_done_once_and_answered_again() {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    let anna = api.token("7", "write").await;
    let hook = json!({"event": "book.added", "target": "http://127.0.0.1:1/"});
    let post = |token: &str, key: &'static str, body: Value| {
        let (api, token) = (&api, token.to_owned());
        async move {
            api.ask_with(
                Method::POST,
                "/api/hooks",
                &token,
                Some(&body),
                &[("idempotency-key", key)],
            )
            .await
        }
    };
    let first = post(&anna, "one", hook.clone()).await;
    let again = post(&anna, "one", hook.clone()).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.text, again.text);
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = post(
        &anna,
        "one",
        json!({"event": "book.*", "target": "http://127.0.0.1:1/"}),
    )
    .await;
    assert_eq!(other.status, 422, "{}", other.text);
    assert_eq!(
        post(ADMIN, "one", hook.clone()).await.status,
        201,
        "keys are the caller's own"
    );
    let bad = json!({"event": "none", "target": "http://127.0.0.1:1/"});
    let (first, again) = (
        post(&anna, "bad", bad.clone()).await,
        post(&anna, "bad", bad).await,
    );
    assert_eq!((first.status, again.status), (422, 422));
    assert_eq!(again.header("content-type"), "application/problem+json");
    assert_eq!(database.ask("select count(*) from rowhook.hook").await, "2");
    // A token is shown only once, so the answer that shows it is not kept.
    let token = |key| {
        let body = json!({"owner": "7"});
        let api = &api;
        async move {
            api.ask_with(
                Method::POST,
                "/api/tokens",
                ADMIN,
                Some(&body),
                &[("idempotency-key", key)],
            )
            .await
        }
    };
    let (first, again) = (token("t").await.json(), token("t").await.json());
    assert_ne!(first["token"], again["token"]);
    let kept =
        "select coalesce(string_agg(convert_from(body, 'utf8'), ''), '') from rowhook.idempotency";
    assert!(!database.ask(kept).await.contains("rowhook_"));
}
