//! What `[limits]` lets owners have.

use harness::{BOOK_EVENTS, Database, Receiver};
use serde_json::json;

use super::client::{ADMIN, Api, server};

#[tokio::test]
async fn an_owner_has_what_the_limits_allow_and_the_operator_what_they_want() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let limits = "[limits]\nhooks = 2\ntests_per_minute = 2\ntarget = \"100B\"\nheaders = \"20B\"\ndescription = \"10B\"";
    let config = database.config(&format!("{BOOK_EVENTS}\n{}\n{limits}", server("")));
    let api = Api::start(&config).await;
    let anna = api.token("7", "write").await;
    let url = receiver.url();
    for (more, refused) in [
        (
            json!({"target": format!("{url}{}", "x".repeat(100))}),
            "its target has",
        ),
        (
            json!({"headers": {"x-key": "v".repeat(16)}}),
            "its headers has 21 bytes, and may have 20 here",
        ),
        (
            json!({"description": "eleven byte"}),
            "its description has 11 bytes",
        ),
    ] {
        let mut hook = json!({"event": "book.added", "target": url});
        hook.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = api.post("/api/hooks", &anna, hook.clone()).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains(refused), "{}", answer.text);
        assert_eq!(api.post("/api/hooks", ADMIN, hook).await.status, 201);
    }
    let hook = json!({"event": "book.added", "target": url});
    let mut made = Vec::new();
    for _ in 0..2 {
        let answer = api.post("/api/hooks", &anna, hook.clone()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        made.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    let one_more = api.post("/api/hooks", &anna, hook.clone()).await;
    assert_eq!(one_more.status, 409, "{}", one_more.text);
    assert_eq!(api.post("/api/hooks", ADMIN, hook).await.status, 201);
    let path = format!("/api/hooks/{}/test", made[0]);
    let mut answers = Vec::new();
    for token in [&anna[..], &anna, &anna, ADMIN] {
        answers.push(api.post(&path, token, json!({})).await.status);
    }
    assert_eq!(answers, [200, 200, 429, 200]);
}
