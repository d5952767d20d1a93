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
    let mut shown = first.json();
    assert!(shown["secret"].as_str().unwrap().starts_with("whsec_"));
    shown["secret"] = json!(null);
    assert_eq!(again.json(), shown, "all but what is shown once");
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

/// Whether the table of answers has this text anywhere.
async fn is_kept(database: &Database, text: &str) -> bool {
    let sql = format!(
        "select coalesce(bool_or(position('{text}' in encode(body, 'escape') || answers::text) > 0), false)
        from rowhook.idempotency as answers"
    );
    database.ask(&sql).await == "t"
}

#[tokio::test]
async fn no_answer_that_is_kept_has_a_secret() {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    let anna = api.token("7", "write").await;
    let post = async |path: &str, key: &'static str, body: Value| {
        let headers = [("idempotency-key", key)];
        api.ask_with(Method::POST, path, &anna, Some(&body), &headers)
            .await
    };
    let marker = "TWFya2VyTWFya2VyTWFya2VyTWFya2Vy";
    let mut hook = json!({
        "event": "book.added",
        "target": format!("http://anna:{marker}@127.0.0.1:1/"),
        "secret": format!("whsec_{marker}"),
        "headers": {"x-key": marker},
    });
    let made = post("/api/hooks", "made", hook.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["secret"], hook["secret"]);
    let again = post("/api/hooks", "made", hook.clone()).await;
    assert_eq!((again.status, &again.json()["secret"]), (201, &json!(null)));
    let path = format!("/api/hooks/{}/rotate", made.json()["id"].as_str().unwrap());
    let rotated = post(&path, "rotated", json!({})).await;
    let secret = rotated.json()["secret"].as_str().unwrap().to_owned();
    let again = post(&path, "rotated", json!({})).await;
    assert_eq!((again.status, &again.json()["secret"]), (200, &json!(null)));
    let now = format!("select secret = '{secret}' from rowhook.hook");
    assert_eq!(database.ask(&now).await, "t", "it was rotated once");
    // A refusal does not repeat what it refuses.
    hook["secret"] = json!(format!("whsec_{marker}!"));
    let refused = post("/api/hooks", "refused", hook).await;
    assert_eq!(refused.status, 422, "{}", refused.text);

    let answers = "select count(*) = 3 from rowhook.idempotency where body is not null";
    assert_eq!(database.ask(answers).await, "t");
    let secret = secret.trim_start_matches("whsec_");
    for text in [marker, secret] {
        assert!(!is_kept(&database, text).await, "{text}");
    }
}

#[tokio::test]
async fn answers_that_were_kept_with_a_secret_lose_it_when_the_tables_are_migrated() {
    let database = Database::bookstore().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let answer = |secret: Value| json!({"description": "\u{e9} \" \\", "secret": secret, "target": "https://a.example/"});
    for (key, secret) in [
        ("plain", "whsec_c2VjcmV0"),
        ("odd", "c2Vjcm V0\" \\ \u{e9}\n, \\\""),
    ] {
        let body = answer(json!(secret)).to_string();
        let sql = "insert into rowhook.idempotency (caller, key, fingerprint, status, body) values ('7', $1, 'x', 201, $2)";
        database
            .client
            .execute(sql, &[&key, &body.as_bytes()])
            .await
            .unwrap();
    }
    let migration = include_str!("../../../sql/0034_shown_once.sql");
    database
        .sql(&format!(
            "begin; set local search_path = rowhook; {migration} commit"
        ))
        .await;
    for key in ["plain", "odd"] {
        let sql = format!(
            "select convert_from(body, 'utf8') from rowhook.idempotency where key = '{key}'"
        );
        let kept: Value = serde_json::from_str(&database.ask(&sql).await).unwrap();
        assert_eq!(kept, answer(json!(null)), "{key}");
    }
}
