//! The REST API: what owners and operators do with it, and what nobody may.

use harness::{BOOK_EVENTS, DEADLINE, Database, Receiver, Rowhook, SECRET};
use std::time::Duration;

use reqwest::{Client, Method, header::HeaderMap};
use serde_json::{Value, json};
use tokio::time::Instant;

const ADMIN: &str = "admin-admin-admin-admin";
const JWT_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The server of a rowhook that runs.
pub struct Api {
    pub base: String,
    client: Client,
    pub rowhook: Rowhook,
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// `[server]` on a free port.
pub fn server(more: &str) -> String {
    format!("[server]\nlisten = \"127.0.0.1:0\"\nadmin_token = \"{ADMIN}\"\n{more}")
}

impl Api {
    pub async fn start(config: &str) -> Self {
        let mut rowhook = Rowhook::start(config);
        rowhook.until_log("attached").await;
        let log = rowhook.log();
        let address = log.split("listening address=").nth(1).unwrap();
        let address = address.split_whitespace().next().unwrap();
        Self {
            base: format!("http://{address}"),
            client: Client::builder().no_proxy().build().unwrap(),
            rowhook,
        }
    }

    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Answer {
        self.ask_with(method, path, token, body, &[]).await
    }

    pub async fn ask_with(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::GET, path, token, None).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, token, Some(&body)).await
    }

    /// Waits until it is attached.
    pub async fn until_ready(&self) {
        let deadline = Instant::now() + DEADLINE;
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while self.get("/health/ready", "").await.status != 200 {
            assert!(Instant::now() < deadline, "never came true: it is ready");
            ticks.tick().await;
        }
    }

    /// A token for an owner, made by the operator.
    pub async fn token(&self, owner: &str, scope: &str) -> String {
        let made = self
            .post(
                "/api/tokens",
                ADMIN,
                json!({"owner": owner, "scope": scope}),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()["token"].as_str().unwrap().to_owned()
    }
}

fn jwt(owner: &str) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let claims = json!({"sub": owner, "exp": jsonwebtoken::get_current_timestamp() + 600});
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

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
async fn an_event_is_shown_with_the_schemas_of_what_is_sent_of_it() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let api = Api::start(&database.config(&format!(
        "{BOOK_EVENTS}\n\"user.logged_in\" = \"custom\"\n[tables.book]\nexclude = [\"price\"]\n{}",
        server("")
    )))
    .await;
    let anna = api.token("7", "read").await;
    let shown = api.get("/api/events/book.added", &anna).await.json();
    assert_eq!(shown["name"], json!("book.added"));
    assert_eq!(shown["source"], json!("book.created"));
    let payloads = shown["payloads"].as_object().unwrap();
    let names: Vec<&str> = payloads.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "cloudevents",
            "django",
            "netbox",
            "rest-hooks",
            "row",
            "standard"
        ]
    );
    assert_eq!(
        payloads["cloudevents"]["content_type"],
        json!("application/cloudevents+json")
    );
    let row = payloads["row"]["schema"].to_string();
    assert!(row.contains("title") && !row.contains("price"), "{row}");

    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let sent = receiver.expect(1).await[0].json();
    let schema = &payloads["rest-hooks"]["schema"];
    let validator = jsonschema::validator_for(schema).unwrap();
    assert!(validator.is_valid(&sent), "{sent} is not as {schema} says");
    assert!(!validator.is_valid(&json!({"hook": sent["hook"]})));

    for name in ["user.logged_in", "hook.disabled"] {
        let shown = api.get(&format!("/api/events/{name}"), &anna).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        let title = &shown.json()["payloads"]["standard"]["schema"]["title"];
        assert_eq!(title, &json!(name));
    }
    let nowhere = api.get("/api/events/book.lost", &anna).await;
    assert_eq!(nowhere.status, 404);
    database.sql("drop table book").await;
    let gone = api.get("/api/events/book.added", &anna).await;
    assert_eq!(gone.status, 409, "{}", gone.text);
    assert!(gone.text.contains("table book of"), "{}", gone.text);
}

#[tokio::test]
async fn each_role_gets_what_is_its_own_and_no_more() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let target = receiver.url();
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"mine\"\nevents = [\"*\"]\ntarget = \"{target}\"\n{}\n[server.jwt]\nalgorithms = [\"HS256\"]\nsecret = \"{JWT_SECRET}\"",
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
    // What each request comes to: for strangers with no, a wrong, a revoked and an expired token; for a reader, for Anna with
    // her token and with her login; for Ben; for the operator.
    let new = json!({"event": "book.added", "target": target});
    let for_ben = json!({"event": "book.added", "target": target, "owner": "8"});
    let none = Value::Null;
    let replay = json!({"hook": annas, "since": "2020-01-01T00:00:00Z"});
    let replay_all = json!({"since": "2020-01-01T00:00:00Z"});
    let dead = json!({"hook": annas});
    let token = json!({"owner": "7"});
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
    // The lists hold their own and nothing else.
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
    // All of the document's operations stand in the matrix.
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
            400,
            "missing field `event`",
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
    // A token is shown once.
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

#[tokio::test]
async fn callers_have_their_measure_and_other_origins_none() {
    let database = Database::bookstore().await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n{}",
        server("requests_per_minute = 5\ncors = [\"https://app.example\"]")
    ));
    let api = Api::start(&config).await;
    for _ in 0..5 {
        assert_eq!(api.get("/api/events", ADMIN).await.status, 200);
    }
    let enough = api.get("/api/events", ADMIN).await;
    assert_eq!(enough.status, 429);
    assert!(enough.header("retry-after").parse::<u32>().unwrap() <= 13);
    for _ in 0..5 {
        assert_eq!(api.get("/api/events", "guess").await.status, 401);
    }
    assert_eq!(
        api.get("/api/events", "guess").await.status,
        429,
        "guessing has an end"
    );
    assert_eq!(api.get("/health/live", "").await.status, 200);
    for (origin, allowed) in [
        ("https://app.example", "https://app.example"),
        ("https://evil.example", ""),
    ] {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
        ];
        let asked = api
            .ask_with(Method::OPTIONS, "/api/hooks", "", None, &headers)
            .await;
        assert_eq!(asked.header("access-control-allow-origin"), allowed);
    }
}

#[tokio::test]
async fn what_happens_is_counted_and_health_is_told() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| if before == 0 { 500 } else { 200 }).await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(2).await;
    database.until_all_has_arrived().await;
    let metrics = api.get("/metrics", "").await;
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        "rowhook_attached 1",
        "rowhook_standby 0",
        "rowhook_events_total 1",
        "rowhook_attempts_total{outcome=\"delivered\"} 1",
        "rowhook_attempts_total{outcome=\"failed\"} 1",
        "rowhook_parked_total 1",
        "rowhook_dead_total 0",
        "rowhook_attempt_duration_seconds_count 2",
        "rowhook_attempt_duration_seconds_bucket{le=\"+Inf\"} 2",
        "rowhook_deliveries{state=\"parked\"} 0",
        "rowhook_hooks{state=\"active\"} 1",
        "rowhook_requests_in_flight 0",
        "rowhook_breakers_open 0",
        "rowhook_unsettled_deliveries 0",
    ] {
        assert!(
            metrics.text.lines().any(|told| told == line),
            "{line}\n{}",
            metrics.text
        );
    }
    // A line of HELP and of TYPE for each, once.
    let types: Vec<&str> = metrics
        .text
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    let mut once = types.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(types.len(), once.len());
    let ready = api.get("/health/ready", "").await;
    assert_eq!(
        (ready.status, &ready.json()["state"]),
        (200, &json!("attached"))
    );
    // A second one stands by, and is ready to.
    let mut second = Rowhook::start(&config);
    second.until_log("standing by").await;
    let log = second.log();
    let address = log
        .split("listening address=")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let ready = client
        .get(format!("http://{address}/health/ready"))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status().as_u16(), 200);
    assert!(ready.text().await.unwrap().contains("standby"));
}

#[tokio::test]
async fn a_new_file_is_taken_up_without_losing_a_place_and_a_broken_one_is_not() {
    let database = Database::bookstore().await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let hook = |target: String, more: &str| {
        database.config(&format!(
            "{BOOK_EVENTS}{more}\n[[hooks]]\nname = \"mine\"\nevents = [\"*\"]\nsecret = \"{SECRET}\"\ntarget = \"{target}\"\n{}",
            server("")
        ))
    };
    let mut api = Api::start(&hook(old.url(), "")).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    old.expect(1).await;
    api.rowhook.write_config("[database]\nurl = 1");
    api.rowhook.signal(nix::sys::signal::Signal::SIGHUP);
    api.rowhook.until_log("the old one stays").await;
    assert_eq!(api.get("/health/ready", "").await.status, 200);
    let more = "\"shelf.added\" = \"shelf.created\"\n";
    api.rowhook.write_config(&hook(new.url(), more));
    // Rows go on being written all the while.
    let writing = async {
        for id in 2..=200 {
            database
                .sql(&format!("insert into book values ({id}, 7, 1, 'book', 9)"))
                .await;
        }
    };
    let signal = async {
        old.expect(20).await;
        api.rowhook.signal(nix::sys::signal::Signal::SIGHUP);
    };
    tokio::join!(writing, signal);
    api.rowhook.until_log("INFO reloaded").await;
    api.until_ready().await;
    database.sql("insert into shelf values (3, 7)").await;
    let calls = new
        .until("the new event", |calls| {
            calls.iter().any(|call| call.event() == "shelf.added")
        })
        .await;
    assert!(
        api.get("/api/events", ADMIN)
            .await
            .text
            .contains("shelf.added")
    );
    let mut ids: Vec<i64> = old
        .calls()
        .iter()
        .chain(&calls)
        .filter(|call| call.event() == "book.added")
        .map(|call| call.data()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        (1..=200).collect::<Vec<_>>(),
        "each of them, and none twice"
    );
}
