//! Refused requests, each with a problem that says why.

use harness::{BOOK_EVENTS, Database};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADMIN, Api, server};

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem_that_says_why() {
    let database = Database::bookstore().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}",
        server("max_request = \"1KiB\"")
    ));
    let api = Api::start(&config).await;
    let hook = |more: Value| {
        let mut hook = json!({"event": "book.added", "target": "http://127.0.0.1:1/"});
        hook.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        hook
    };
    for (method, path, body, status, part) in [
        (
            "POST",
            "/api/hooks",
            json!({"target": "http://127.0.0.1:1/"}),
            422,
            "it names no event; give event, or events for several",
        ),
        (
            "POST",
            "/api/hooks",
            hook(json!({"evnt": 1})),
            400,
            "unknown field `evnt`",
        ),
        (
            "POST",
            "/api/hooks",
            hook(json!({"event": "book.aded"})),
            422,
            "there is no event book.aded",
        ),
        (
            "POST",
            "/api/hooks",
            hook(json!({"target": "http://10.0.0.1/"})),
            422,
            "not public",
        ),
        (
            "POST",
            "/api/hooks",
            hook(json!({"target": "http://localhost.localdomain.invalid:1/", "filter": "("})),
            422,
            "filter",
        ),
        (
            "POST",
            "/api/hooks",
            hook(json!({"filter": "new.nosuch == 1"})),
            422,
            "nosuch",
        ),
        (
            "POST",
            "/api/hooks",
            hook(json!({"description": "a\u{0}b"})),
            400,
            "zero character",
        ),
        (
            "POST",
            "/api/hooks",
            hook(json!({"description": "x".repeat(2000)})),
            413,
            "max_request",
        ),
        (
            "GET",
            "/api/hooks?limit=0",
            Value::Null,
            400,
            "limit is not from 1 to 200",
        ),
        ("GET", "/api/hooks?cursor=x", Value::Null, 422, "cursor"),
        (
            "GET",
            "/api/hooks?event=%00",
            Value::Null,
            400,
            "zero character",
        ),
        ("GET", "/api/deliveries?state=odd", Value::Null, 400, "odd"),
        (
            "POST",
            "/api/replay",
            json!({"since": "yesterday"}),
            400,
            "since is no time",
        ),
        (
            "GET",
            "/api/nothing",
            Value::Null,
            404,
            "nothing at this address",
        ),
        ("PUT", "/api/hooks", Value::Null, 405, "method"),
        ("DELETE", "/api/tokens/x", Value::Null, 404, "x"),
    ] {
        let body = Some(&body).filter(|body| !body.is_null());
        let answer = api.ask(method.parse().unwrap(), path, ADMIN, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(part), "{method} {path}: {detail}");
    }
    let plain = api
        .ask_with(
            Method::POST,
            "/api/hooks",
            ADMIN,
            None,
            &[("content-type", "text/plain")],
        )
        .await;
    assert_eq!(plain.status, 415);
    assert_eq!(database.ask("select count(*) from rowhook.hook").await, "0");
}
