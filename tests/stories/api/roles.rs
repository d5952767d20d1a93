//! Who may do what.

use harness::{BOOK_EVENTS, Database, Receiver};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADMIN, Api, JWT_SECRET, jwt, server};

#[tokio::test]
async fn each_role_gets_what_is_its_own_and_no_more() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let target = receiver.url();
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"mine\"\nevents = [\"*\"]\ntarget = \"{target}\"\n{}\n[server.jwt]\nalgorithms = [\"HS256\"]\nsecret = \"{JWT_SECRET}\"\n[portal]",
        server("requests_per_minute = 100000")
    ));
    let api = Api::start(&config).await;
    let anna = api.token("7", "write").await;
    let reader = api.token("7", "read").await;
    let ben = api.token("8", "write").await;
    let revoked = api.token("7", "write").await;
    let expired = api.token("7", "write").await;
    database
        .sql(
            "update rowhook.token set revoked_at = now() where id = 4;
             update rowhook.token set expires_at = now() where id = 5",
        )
        .await;
    let (annas, jwt) = (database.hook(Some("7"), "book.*", &target).await, jwt("7"));
    let everyones = database.hook(None, "*", &target).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(3).await;
    database
        .until(
            "history has all",
            "select count(*) = 3 from rowhook.attempt",
        )
        .await;
    let delivery = |hook: &str| {
        let sql = format!("select delivery from rowhook.attempt where hook = '{hook}'");
        let database = &database;
        async move { database.ask(&sql).await }
    };
    let (hers, theirs, mine) = (
        delivery(&annas).await,
        delivery(&everyones).await,
        delivery("mine").await,
    );
    // The status of each request: for a read-only token of Anna's, for her write token, for her JWT, for Ben, and for
    // the operator. Requests with no, a wrong, a revoked or an expired token are refused.
    let new = json!({"event": "book.added", "target": target});
    let for_ben = json!({"event": "book.added", "target": target, "owner": "8"});
    // What a hook hears already, so that replacing it changes nothing for the others.
    let whole = json!({"event": "book.*", "target": target});
    let none = Value::Null;
    let replay = json!({"hook": annas, "since": "2020-01-01T00:00:00Z"});
    let replay_all = json!({"since": "2020-01-01T00:00:00Z"});
    let dead = json!({"hook": annas});
    let counted = json!({"hook": annas, "dry_run": true});
    let token = json!({"owner": "7"});
    let nobody = json!({"owner": "a stranger"});
    let backfill = json!({"event": "book.added", "hook": annas, "rate": 1000});
    let matrix: &[(&str, String, &Value, [u16; 5])] = &[
        //                                                               reader anna jwt ben operator
        (
            "GET",
            "/api/events".into(),
            &none,
            [200, 200, 200, 200, 200],
        ),
        (
            "GET",
            "/api/events/book.added".into(),
            &none,
            [200, 200, 200, 200, 200],
        ),
        (
            "GET",
            "/api/events/book.added/samples".into(),
            &none,
            [200, 200, 200, 200, 200],
        ),
        (
            "GET",
            "/api/events/book.lost".into(),
            &none,
            [404, 404, 404, 404, 404],
        ),
        (
            "GET",
            "/api/status".into(),
            &none,
            [403, 403, 403, 403, 200],
        ),
        ("GET", "/api/hooks".into(), &none, [200, 200, 200, 200, 200]),
        ("GET", "/api/audit".into(), &none, [200, 200, 200, 200, 200]),
        (
            "GET",
            format!("/api/hooks/{annas}"),
            &none,
            [200, 200, 200, 404, 200],
        ),
        (
            "GET",
            format!("/api/hooks/{everyones}"),
            &none,
            [404, 404, 404, 404, 200],
        ),
        (
            "GET",
            "/api/hooks/mine".into(),
            &none,
            [404, 404, 404, 404, 200],
        ),
        (
            "GET",
            "/api/hooks/999".into(),
            &none,
            [404, 404, 404, 404, 404],
        ),
        (
            "GET",
            format!("/api/hooks/{annas}/deliveries"),
            &none,
            [200, 200, 200, 404, 200],
        ),
        (
            "GET",
            format!("/api/hooks/{everyones}/deliveries"),
            &none,
            [404, 404, 404, 404, 200],
        ),
        (
            "GET",
            "/api/deliveries".into(),
            &none,
            [200, 200, 200, 200, 200],
        ),
        (
            "GET",
            format!("/api/deliveries/{hers}"),
            &none,
            [200, 200, 200, 404, 200],
        ),
        (
            "GET",
            format!("/api/deliveries/{theirs}"),
            &none,
            [404, 404, 404, 404, 200],
        ),
        (
            "GET",
            format!("/api/deliveries/{mine}"),
            &none,
            [404, 404, 404, 404, 200],
        ),
        (
            "GET",
            "/api/backfills".into(),
            &none,
            [403, 403, 403, 403, 200],
        ),
        (
            "POST",
            "/api/backfills".into(),
            &backfill,
            [403, 403, 403, 403, 202],
        ),
        (
            "GET",
            "/api/backfills/1".into(),
            &none,
            [403, 403, 403, 403, 200],
        ),
        (
            "DELETE",
            "/api/backfills/1".into(),
            &none,
            [403, 403, 403, 403, 200],
        ),
        (
            "POST",
            "/api/backfills/1/resume".into(),
            &none,
            [403, 403, 403, 403, 202],
        ),
        (
            "POST",
            "/api/backfills/9/resume".into(),
            &none,
            [403, 403, 403, 403, 404],
        ),
        (
            "GET",
            "/api/tokens".into(),
            &none,
            [403, 403, 403, 403, 200],
        ),
        (
            "POST",
            "/api/tokens".into(),
            &token,
            [403, 403, 403, 403, 201],
        ),
        (
            "DELETE",
            "/api/tokens/4".into(),
            &none,
            [403, 403, 403, 403, 204],
        ),
        (
            "POST",
            "/api/portal".into(),
            &token,
            [403, 403, 403, 403, 201],
        ),
        (
            "POST",
            "/api/forget".into(),
            &nobody,
            [403, 403, 403, 403, 200],
        ),
        (
            "POST",
            "/api/ask/none".into(),
            &none,
            [403, 403, 403, 403, 404],
        ),
        ("POST", "/api/hooks".into(), &new, [403, 201, 201, 201, 201]),
        (
            "POST",
            "/api/hooks".into(),
            &for_ben,
            [403, 403, 403, 201, 201],
        ),
        (
            "PATCH",
            format!("/api/hooks/{annas}"),
            &json!({}),
            [403, 200, 200, 404, 200],
        ),
        (
            "PATCH",
            format!("/api/hooks/{everyones}"),
            &json!({}),
            [403, 404, 404, 404, 200],
        ),
        (
            "PATCH",
            "/api/hooks/mine".into(),
            &json!({}),
            [403, 404, 404, 404, 409],
        ),
        (
            "PUT",
            format!("/api/hooks/{annas}"),
            &whole,
            [403, 200, 200, 404, 200],
        ),
        (
            "PUT",
            format!("/api/hooks/{everyones}"),
            &whole,
            [403, 404, 404, 404, 200],
        ),
        (
            "PUT",
            "/api/hooks/mine".into(),
            &whole,
            [403, 404, 404, 404, 409],
        ),
        (
            "POST",
            format!("/api/hooks/{annas}/test"),
            &none,
            [403, 200, 200, 404, 200],
        ),
        (
            "POST",
            format!("/api/hooks/{everyones}/test"),
            &none,
            [403, 404, 404, 404, 200],
        ),
        (
            "POST",
            "/api/hooks/mine/test".into(),
            &none,
            [403, 404, 404, 404, 200],
        ),
        (
            "POST",
            format!("/api/hooks/{annas}/rotate"),
            &none,
            [403, 200, 200, 404, 200],
        ),
        (
            "POST",
            format!("/api/hooks/{everyones}/rotate"),
            &none,
            [403, 404, 404, 404, 200],
        ),
        (
            "POST",
            format!("/api/deliveries/{hers}/retry"),
            &none,
            [403, 202, 202, 404, 202],
        ),
        (
            "POST",
            format!("/api/deliveries/{theirs}/retry"),
            &none,
            [403, 404, 404, 404, 202],
        ),
        (
            "POST",
            "/api/deliveries/retry".into(),
            &dead,
            [403, 202, 202, 404, 202],
        ),
        (
            "POST",
            "/api/deliveries/retry".into(),
            &counted,
            [403, 200, 200, 404, 200],
        ),
        (
            "POST",
            "/api/deliveries/retry".into(),
            &json!({"dry_run": true}),
            [403, 403, 403, 403, 200],
        ),
        (
            "POST",
            "/api/replay".into(),
            &replay,
            [403, 202, 202, 404, 202],
        ),
        (
            "POST",
            "/api/replay".into(),
            &replay_all,
            [403, 403, 403, 403, 202],
        ),
        (
            "POST",
            "/api/retry-dead".into(),
            &dead,
            [403, 202, 202, 404, 202],
        ),
        (
            "POST",
            "/api/retry-dead".into(),
            &json!({}),
            [403, 403, 403, 403, 202],
        ),
        (
            "POST",
            format!("/api/hooks/{annas}/disable"),
            &none,
            [403, 200, 200, 404, 200],
        ),
        (
            "POST",
            format!("/api/hooks/{annas}/enable"),
            &none,
            [403, 200, 200, 404, 200],
        ),
        (
            "POST",
            "/api/hooks/mine/enable".into(),
            &none,
            [403, 404, 404, 404, 409],
        ),
        (
            "DELETE",
            format!("/api/hooks/{everyones}"),
            &none,
            [403, 404, 404, 404, 204],
        ),
        (
            "DELETE",
            format!("/api/hooks/{annas}"),
            &none,
            [403, 204, 404, 404, 404],
        ),
        (
            "POST",
            "/api/reload".into(),
            &none,
            [403, 403, 403, 403, 202],
        ),
    ];
    for (method, path, body, expected) in matrix {
        let method: Method = method.parse().unwrap();
        let body = Some(*body).filter(|body| !body.is_null());
        for token in ["", "wrong", "rowhook_wrong", &revoked, &expired, "a.b.c"] {
            let answer = api.ask(method.clone(), path, token, body).await;
            assert_eq!(answer.status, 401, "{method} {path} with {token:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        for (role, token, expected) in [
            ("reader", reader.as_str(), expected[0]),
            ("anna", &anna, expected[1]),
            ("anna's login", &jwt, expected[2]),
            ("ben", &ben, expected[3]),
            ("operator", ADMIN, expected[4]),
        ] {
            let answer = api.ask(method.clone(), path, token, body).await;
            assert_eq!(
                answer.status, expected,
                "{method} {path} as {role}: {}",
                answer.text
            );
            if answer.status >= 400 {
                assert_eq!(answer.header("content-type"), "application/problem+json");
                assert_eq!(answer.json()["status"], json!(answer.status));
            }
        }
    }
    // Each owner's lists hold what is theirs and nothing else.
    let listed = api.get("/api/hooks", &ben).await.json();
    let owners: Vec<&Value> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hook| &hook["owner"])
        .collect();
    assert!(
        !owners.is_empty() && owners.iter().all(|owner| **owner == json!("8")),
        "{owners:?}"
    );
    assert_eq!(
        api.get("/api/hooks?owner=7", &ben).await.json()["data"],
        json!([])
    );
    assert_eq!(
        api.get("/api/deliveries", &ben).await.json()["data"],
        json!([])
    );
    // The matrix has every operation of the OpenAPI document.
    let document = api.get("/api/openapi.json", "").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            operations += 1;
            let parts: Vec<&str> = path.split('/').collect();
            let known = matrix.iter().any(|(of, at, ..)| {
                let at: Vec<&str> = at.split('/').collect();
                of.eq_ignore_ascii_case(method)
                    && at.len() == parts.len()
                    && at
                        .iter()
                        .zip(&parts)
                        .all(|(at, part)| at == part || part.starts_with('{'))
            });
            assert!(known, "{method} {path} is not in the matrix");
        }
    }
    assert!(operations >= 20, "{operations}");
}
