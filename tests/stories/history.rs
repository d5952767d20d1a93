//! The outcome of each request is recorded, and recording it delays nothing.

use harness::{BOOK_EVENTS, Database, Receiver, Rowhook, SECRET};
use serde_json::{Value, json};

/// All attempts on record for a hook, oldest first.
async fn attempts(database: &Database, hook: &str) -> Vec<Value> {
    let sql = format!(
        "select coalesce(jsonb_agg(to_jsonb(a) || jsonb_build_object('request_body', convert_from(request_body, 'utf8')) order by id), '[]')
         from rowhook.attempt a where hook = '{hook}'"
    );
    serde_json::from_str(&database.ask(&sql).await).unwrap()
}

#[tokio::test]
async fn failures_and_the_last_successes_are_remembered_without_secrets() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| if before < 2 { 500 } else { 200 }).await;
    let nobody = "http://127.0.0.1:1/";
    let config = database.config(&format!(
        r#"
{BOOK_EVENTS}
[history]
successes = 3

[[hooks]]
name = "warehouse"
events = ["book.*"]
target = "{}"
secret = "{SECRET}"
order = "hook"
headers = {{ "X-Key" = "do not tell" }}

[[hooks]]
name = "nobody"
events = ["book.*"]
target = "{nobody}"
retries = false
"#,
        receiver.url().replace("http://", "http://user:password@")
    ));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    database
        .sql("insert into book select n, 7, 1, 'book ' || n, 1 from generate_series(1, 6) n")
        .await;
    let pruned = "select count(*) filter (where delivered) = 3 and max(event) filter (where delivered) is not null
        and bool_or(delivered and convert_from(request_body, 'utf8') like '%book 6%')
        from rowhook.attempt where hook = 'warehouse'";
    database.until("the last three are left", pruned).await;
    let told = attempts(&database, "warehouse").await;
    let outcomes: Vec<_> = told
        .iter()
        .map(|attempt| (attempt["number"].clone(), attempt["status"].clone()))
        .collect();
    let expected = [(1, 500), (2, 500), (1, 200), (1, 200), (1, 200)];
    assert_eq!(
        outcomes,
        expected.map(|(number, status)| (json!(number), json!(status)))
    );
    let (calls, last) = (receiver.calls(), &told[4]);
    let call = calls.last().unwrap();
    assert_eq!(last["delivery"], json!(call.id()));
    assert_eq!(last["event"], json!("book.added"));
    assert_eq!(last["url"], json!(receiver.url()));
    assert_eq!(
        last["request_body"].as_str().unwrap().as_bytes(),
        &call.body[..]
    );
    let headers = &last["request_headers"];
    for name in [
        "webhook-id",
        "webhook-timestamp",
        "content-type",
        "user-agent",
    ] {
        assert_eq!(headers[name], json!(call.header(name)), "{name}");
    }
    assert_eq!(headers["x-key"], json!("…"));
    assert_eq!(headers["authorization"], json!("…"));
    assert_eq!(headers["webhook-signature"], Value::Null);
    assert!(last["took_ms"].as_f64().unwrap() > 0.0);
    assert!(last["response_headers"]["date"].is_string());

    let six = "select count(*) = 6 from rowhook.attempt where hook = 'nobody'";
    database.until("every failure is remembered", six).await;
    for attempt in attempts(&database, "nobody").await {
        assert_eq!(attempt["status"], Value::Null);
        let error = attempt["error"].as_str().unwrap();
        assert!(error.contains("refused"), "{error}");
    }
}

#[tokio::test]
async fn nothing_waits_for_a_history_that_cannot_be_written() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| if before < 5 { 500 } else { 200 }).await;
    let mut rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    // First the table is locked, then it is gone.
    database
        .sql("begin; lock table rowhook.attempt in access exclusive mode")
        .await;
    let other = harness::connect(&database.url).await;
    other
        .batch_execute("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 50) n")
        .await
        .unwrap();
    receiver
        .until("fifty have arrived", |calls| {
            calls.iter().filter(|call| call.status == 200).count() == 50
        })
        .await;
    database.sql("drop table rowhook.attempt; commit").await;
    rowhook.until_log("history was not written").await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(51, 60) n")
        .await;
    database.until_all_has_arrived().await;
}

#[tokio::test]
async fn old_failures_are_forgotten() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| if before < 2 { 500 } else { 200 }).await;
    let config = database.config(&format!(
        "{BOOK_EVENTS}\n[history]\nsuccesses = false\nbodies = false"
    ));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let hook = database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    database.until_all_has_arrived().await;
    assert!(rowhook.stop().success(), "what is pending is written first");
    let told = attempts(&database, &hook).await;
    assert_eq!(told.len(), 2, "the success is not among them");
    assert_eq!(
        (&told[0]["request_body"], &told[0]["response_body"]),
        (&Value::Null, &Value::Null)
    );
    database
        .sql("update rowhook.attempt set started_at = started_at - interval '31 days' where number = 1")
        .await;
    let _rowhook = Rowhook::start(&config);
    let one = "select array_agg(number) = '{2}' from rowhook.attempt";
    database.until("the old one is forgotten", one).await;
}
