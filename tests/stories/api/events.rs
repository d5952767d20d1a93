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

#[tokio::test]
async fn each_event_has_an_example_that_is_as_its_schema_says() {
    let database = Database::bookstore().await;
    database
        .sql(
            "create type mood as enum ('sad', 'very glad');
             create type pair as (a int, \"b c\" text);
             create table thing (
                 id bigint generated always as identity primary key, user_id int not null, happy boolean, ratio float8,
                 price numeric(6, 2), extra jsonb, made timestamp, told timestamptz, day date, hour time,
                 pause interval, token uuid, picture bytea, feeling mood, tags text[], moods mood[], both_of pair,
                 pairs pair[], doubled int generated always as (user_id * 2) stored, network inet);
             alter table thing replica identity full",
        )
        .await;
    let events = r#"
"thing.added" = "thing.created"
"thing.changed" = { on = "thing.updated", changed = ["price", "happy"], description = "A thing is another now." }
"thing.removed" = "thing.deleted+"
"things.cleared" = "thing.truncated"
"thing.looked_at" = "thing.look"
"sale.announced" = { on = "custom", example = '{"percent": 10}' }
[tables.thing]
exclude = ["token"]
enrich.maker = "select 'x' as name where $user_id = 1"
"#;
    let api = Api::start(&database.config(&format!("{BOOK_EVENTS}{events}{}", server("")))).await;
    let anna = api.token("7", "read").await;
    let listed = api.get("/api/events", &anna).await.json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 9 + 3, "{listed:?}");
    for event in listed {
        let name = event["name"].as_str().unwrap();
        let shown = api.get(&format!("/api/events/{name}"), &anna).await.json();
        let payloads = shown["payloads"].as_object().unwrap();
        for (payload, sent) in payloads {
            let options = jsonschema::options().should_validate_formats(true);
            let validator = options.build(&sent["schema"]).unwrap();
            let example = &sent["example"];
            let flaws: Vec<String> = validator
                .iter_errors(example)
                .map(|e| e.to_string())
                .collect();
            assert!(
                flaws.is_empty(),
                "{name} as {payload}: {flaws:?}\n{example:#}"
            );
        }
    }
    let changed = api.get("/api/events/thing.changed", &anna).await.json();
    assert_eq!(changed["description"], json!("A thing is another now."));
    let example = &changed["payloads"]["standard"]["example"];
    assert_eq!(example["changed"], json!(["happy", "price"]));
    assert_eq!(example["data"]["feeling"], json!("sad"));
    assert_eq!(example["data"]["both_of"], json!({"a": 7, "b c": "b c"}));
    assert_eq!(example["data"].get("token"), None);
    let sale = api.get("/api/events/sale.announced", &anna).await.json();
    assert_eq!(sale["payloads"]["row"]["example"], json!({"percent": 10}));
}

#[tokio::test]
async fn samples_are_what_the_caller_was_sent_or_else_made_up() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let api = Api::start(&database.config(&format!("{BOOK_EVENTS}{}", server("")))).await;
    let (anna, ben) = (api.token("7", "read").await, api.token("8", "read").await);
    let samples = api
        .get("/api/events/book.added/samples", &anna)
        .await
        .json();
    assert_eq!(samples[0]["hook"]["event"], json!("book.added"));
    assert_eq!(samples[0]["data"]["title"], json!("title"));
    let row = api
        .get("/api/events/book.added/samples?payload=row", &anna)
        .await;
    assert_eq!(row.json()[0]["title"], json!("title"));

    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book ' || n, 9 from generate_series(1, 4) n")
        .await;
    receiver.expect(4).await;
    let told = "select count(*) = 4 from rowhook.attempt where delivered";
    database.until("history has them", told).await;
    let samples = api
        .get("/api/events/book.added/samples", &anna)
        .await
        .json();
    let titles: Vec<&str> = samples
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["data"]["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles.len(), 3);
    assert!(
        titles.iter().all(|title| title.starts_with("book ")),
        "{titles:?}"
    );
    let others = api.get("/api/events/book.added/samples", &ben).await.json();
    assert_eq!(others[0]["data"]["title"], json!("title"));

    let refused = api
        .get("/api/events/book.added/samples?payload=xml", &anna)
        .await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let nowhere = api.get("/api/events/book.lost/samples", &anna).await;
    assert_eq!(nowhere.status, 404);
}
