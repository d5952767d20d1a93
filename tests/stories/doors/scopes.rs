//! Tokens of owners that are good for a part of what an owner may do.

use harness::{BOOK_EVENTS, Database, Receiver, rowhook};
use reqwest::Method;
use serde_json::{Value, json};

use super::visit::Visit;
use crate::api::{ADMIN, Api, server};

async fn bookstore() -> (Database, Receiver, Api) {
    let (database, receiver) = (Database::bookstore().await, Receiver::start().await);
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    (database, receiver, api)
}

#[tokio::test]
async fn a_token_does_what_is_in_its_scope_with_what_is_its_owners() {
    let (database, receiver, api) = bookstore().await;
    let target = receiver.url();
    let hook = database.hook(Some("7"), "book.*", &target).await;
    let theirs = database.hook(Some("8"), "book.*", &target).await;
    let none = Value::Null;
    let dead = json!({ "hook": hook });
    let new = json!({"event": "book.added", "target": target});
    let of_them = json!({ "hook": theirs });
    let matrix: &[(&str, String, &Value, &str, u16)] = &[
        ("GET", format!("/api/hooks/{hook}"), &none, "read", 200),
        ("GET", format!("/api/hooks/{theirs}"), &none, "read", 404),
        (
            "POST",
            format!("/api/hooks/{hook}/test"),
            &none,
            "test",
            200,
        ),
        (
            "POST",
            format!("/api/hooks/{theirs}/test"),
            &none,
            "test",
            404,
        ),
        ("POST", "/api/retry-dead".into(), &dead, "deliveries", 202),
        (
            "POST",
            "/api/retry-dead".into(),
            &of_them,
            "deliveries",
            404,
        ),
        ("POST", "/api/hooks".into(), &new, "hooks", 201),
        (
            "POST",
            format!("/api/hooks/{hook}/rotate"),
            &none,
            "hooks",
            200,
        ),
        (
            "DELETE",
            format!("/api/hooks/{theirs}"),
            &none,
            "hooks",
            404,
        ),
    ];
    for scope in ["read", "test", "deliveries", "hooks", "test hooks", "write"] {
        let token = api.token("7", scope).await;
        for (method, path, body, needed, done) in matrix {
            let method: Method = method.parse().unwrap();
            let body = Some(*body).filter(|body| !body.is_null());
            let answer = api.ask(method, path, &token, body).await;
            let words: Vec<&str> = scope.split(' ').collect();
            if *needed == "read" || words.contains(needed) || scope == "write" {
                assert_eq!(answer.status, *done, "{path} with {scope}: {}", answer.text);
                continue;
            }
            assert_eq!(answer.status, 403, "{path} with {scope}");
            let told = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(told.contains(&format!("with the scope {needed}")), "{told}");
        }
        let answer = api.get("/api/tokens", &token).await;
        assert_eq!(answer.status, 403);
        let told = "only the operator may do this, with the role read";
        assert_eq!(answer.json()["detail"], json!(told));
    }
    for bad in ["", "all", "read,test", "Read"] {
        let new = json!({"owner": "7", "scope": bad});
        let answer = api.post("/api/tokens", ADMIN, new).await;
        assert_eq!(answer.status, 400, "{bad:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_token_of_some_words_is_issued_by_the_command_line_and_on_the_page() {
    let (database, _receiver, api) = bookstore().await;
    let config = database.config(BOOK_EVENTS);
    let scoped = ["tokens", "add", "7", "--scope", "deliveries test"];
    let ended = rowhook(&config, &scoped);
    let token = ended.out.split("this once: ").nth(1).unwrap().trim();
    let told = api
        .post("/api/hooks", token, json!({"event": "a", "target": "b"}))
        .await;
    assert!(
        told.text
            .contains("the scope of this one is test deliveries"),
        "{}",
        told.text
    );
    let ended = rowhook(&config, &["tokens", "add", "7", "--scope", "everything"]);
    assert!(
        ended.code != 0 && ended.err.contains("is none; write read"),
        "{}",
        ended.err
    );

    let operator = Visit::with(&api.base, ADMIN).await;
    let form = "&owner=8&name=laptop&days=30&test=on";
    let made = operator.press("/tokens", form).await.text().await.unwrap();
    let token = made
        .split("<code>")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    let listed = api.get("/api/tokens", ADMIN).await.json();
    assert_eq!(
        [&listed[0]["owner"], &listed[0]["name"], &listed[0]["scope"]],
        ["8", "laptop", "test"]
    );
    let in_a_month = "select count(*) = 1 from rowhook.token where expires_at between
        now() + interval '29 days 23 hours' and now() + interval '30 days 1 hour'";
    assert_eq!(database.ask(in_a_month).await, "t");
    assert_eq!(api.get("/api/hooks", token).await.status, 200);
    let revoke = format!("/tokens/{}/revoke", listed[0]["id"]);
    assert_eq!(operator.press(&revoke, "").await.status().as_u16(), 303);
    assert_eq!(api.get("/api/hooks", token).await.status, 401);
    let answer = operator.press("/tokens", "&owner=8&days=-1").await;
    assert_eq!(answer.status().as_u16(), 400);
    let owner = Visit::with(&api.base, &api.token("7", "write").await).await;
    assert_eq!(owner.status("/tokens").await, 403);
    assert!(!owner.text("/").await.contains("/tokens\""));
}
