//! Tokens with an end.

use harness::{BOOK_EVENTS, DEADLINE, Database};
use serde_json::json;
use tokio::time::timeout;

use super::visit::Visit;
use crate::api::{ADMIN, Api, server};

#[tokio::test]
async fn a_token_that_has_expired_is_refused_and_ends_the_page_that_is_open() {
    let database = Database::bookstore().await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    let new = json!({"owner": "7", "scope": "test", "expires_in": 3600});
    let made = api.post("/api/tokens", ADMIN, new).await.json();
    let token = made["token"].as_str().unwrap();
    let visit = Visit::with(&api.base, token).await;
    let live = visit.get("/live").await;
    assert_eq!(live.status().as_u16(), 200);
    database
        .sql("update rowhook.token set expires_at = clock_timestamp()")
        .await;
    assert_eq!(api.get("/api/hooks", token).await.status, 401);
    let told = timeout(DEADLINE, live.text()).await.unwrap().unwrap();
    assert!(told.ends_with("event: end\ndata: logged out\n\n"), "{told}");
    assert_eq!(visit.status("/hooks").await, 303);
}
