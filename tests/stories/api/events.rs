//! Events and their schemas.

use harness::{BOOK_EVENTS, Database, Receiver};
use serde_json::json;

use super::client::{Api, server};

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
