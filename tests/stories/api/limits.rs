//! Limits of callers, and of other origins.

use harness::{BOOK_EVENTS, Database};
use reqwest::Method;

use super::client::{ADMIN, Api, server};

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
