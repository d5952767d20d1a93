//! Endpoints that want a token, which another server gives.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, AtomicUsize, Ordering},
};

use axum::{
    Form, Json, Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use harness::{BOOK_EVENTS, Database, Rowhook, SECRET, until_within};
use serde_json::json;
use tokio::net::TcpListener;

/// What `rowhook` and `hunter 2` say of themselves, each encoded as in a form.
const LOGIN: &str = "Basic cm93aG9vazpodW50ZXIrMg==";

/// A server that gives tokens, and an endpoint that takes the newest alone.
#[derive(Default)]
struct Kept {
    given: AtomicUsize,
    /// What the server of tokens answers; 0: a token.
    ill: AtomicU16,
    /// The tokens of all requests that arrived.
    arrived: Mutex<Vec<String>>,
    refused: AtomicUsize,
}

fn give(kept: &Kept, headers: &HeaderMap, asked: &[(String, String)]) -> Response {
    let ill = kept.ill.load(Ordering::SeqCst);
    if ill > 0 {
        let status = StatusCode::from_u16(ill).unwrap();
        return (status, Json(json!({ "error": "invalid_client" }))).into_response();
    }
    assert_eq!(headers["authorization"], LOGIN);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [
        pair("grant_type", "client_credentials"),
        pair("scope", "hooks"),
    ];
    assert_eq!(asked, expected);
    let number = kept.given.fetch_add(1, Ordering::SeqCst) + 1;
    Json(json!({ "access_token": format!("token-{number}"), "expires_in": 3600 })).into_response()
}

fn take(kept: &Kept, headers: &HeaderMap) -> StatusCode {
    let newest = format!("Bearer token-{}", kept.given.load(Ordering::SeqCst));
    let token = headers["authorization"].to_str().unwrap().to_owned();
    if token != newest {
        kept.refused.fetch_add(1, Ordering::SeqCst);
        return StatusCode::UNAUTHORIZED;
    }
    kept.arrived.lock().unwrap().push(token);
    StatusCode::OK
}

/// Serves both, and returns their common beginning.
async fn serve(kept: &Arc<Kept>) -> String {
    let (giver, taker) = (Arc::clone(kept), Arc::clone(kept));
    let app = Router::new()
        .route(
            "/token",
            post(
                async move |headers: HeaderMap, Form(asked): Form<Vec<(String, String)>>| {
                    give(&giver, &headers, &asked)
                },
            ),
        )
        .route(
            "/hook",
            post(async move |headers: HeaderMap| take(&taker, &headers)),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

async fn attached(database: &Database, url: &str) -> Rowhook {
    let auth = format!(
        "oauth2 = {{ token_url = \"{url}/token\", client_id = \"rowhook\", client_secret = \"hunter 2\", scope = \"hooks\" }}"
    );
    let hook = format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = \"*\"\ntarget = \"{url}/hook\"\nsecret = \"{SECRET}\"\nauth = {{ {auth} }}\nretries = [\"1s\", \"2s\", \"4s\", \"8s\", \"16s\"]\n"
    );
    database.rowhook(&hook).await
}

#[tokio::test]
async fn a_token_is_got_once_and_again_when_it_is_refused_and_is_on_no_record() {
    let (database, kept) = (Database::bookstore().await, Arc::new(Kept::default()));
    let rowhook = attached(&database, &serve(&kept).await).await;
    database
        .sql("insert into book select n, 7, 1, 'Dune', 9 from generate_series(1, 50) n")
        .await;
    database.until_all_has_arrived().await;
    assert_eq!(kept.arrived.lock().unwrap().len(), 50);
    assert_eq!(kept.given.load(Ordering::SeqCst), 1);

    // Someone else gets a token, so that ours does not count any more.
    kept.given.fetch_add(1, Ordering::SeqCst);
    database
        .sql("insert into book values (100, 7, 1, 'Emma', 9)")
        .await;
    database.until_all_has_arrived().await;
    assert_eq!(
        kept.arrived.lock().unwrap().last().unwrap(),
        "Bearer token-3"
    );
    assert_eq!(kept.refused.load(Ordering::SeqCst), 1);
    let recorded = "select count(*) = 51 from rowhook.attempt where delivered";
    database.until("one attempt for each", recorded).await;
    let told = "select count(*) from rowhook.attempt a where a::text ~ 'token-|hunter'";
    assert_eq!(database.ask(told).await, "0");
    let log = rowhook.kill_and_log();
    assert!(!log.contains("token-") && !log.contains("hunter"), "{log}");
}

#[tokio::test]
async fn without_a_token_deliveries_are_tried_again_and_the_server_is_asked_once_for_all() {
    let (database, kept) = (Database::bookstore().await, Arc::new(Kept::default()));
    kept.ill.store(401, Ordering::SeqCst);
    let _rowhook = attached(&database, &serve(&kept).await).await;
    database
        .sql("insert into book select n, 7, 1, 'Dune', 9 from generate_series(1, 50) n")
        .await;
    let said = "select count(*) > 0 from rowhook.attempt where error = 'no token: its server answers 401, invalid_client'";
    database.until("it is said", said).await;
    kept.ill.store(0, Ordering::SeqCst);
    until_within(harness::DEADLINE, "all have arrived", async || {
        kept.arrived.lock().unwrap().len() >= 50
    })
    .await;
    assert_eq!(kept.given.load(Ordering::SeqCst), 1);
}
