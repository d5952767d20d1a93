//! Hooks that ask for more than a request can hold. Each is refused, or set aside with the reason on record, and nobody
//! else notices.

use harness::{BOOK_EVENTS, Call, Database, Receiver, rowhook};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, server};

/// One more than a map of headers takes.
const TOO_MANY: usize = 24_577;

/// A table of hooks of the application.
const THEIRS: &str = "
    create table webhook (
        id serial primary key,
        user_id text,
        event text not null,
        target text not null,
        extra jsonb,
        note text,
        -- The columns of what rowhook notes beside the table, to see that they are told apart.
        hook text,
        reason text
    );
";

const THEIR_TABLE: &str = r#"
[hook_table]
table = "webhook"
headers = "extra"
description = "note"
"#;

/// The headers of a hook, as an expression of SQL.
fn headers(number: usize) -> String {
    format!("(select jsonb_object_agg('x-' || n, 'v') from generate_series(1, {number}) as n)")
}

/// The ids of the books that arrived.
fn books(calls: &[Call]) -> Vec<Value> {
    calls.iter().map(|call| call.data()["id"].clone()).collect()
}

/// What `rowhook hooks list` says of a hook.
fn listed(config: &str, id: &str) -> Value {
    let ended = rowhook(config, &["hooks", "list", "--json"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let hooks: Value = serde_json::from_str(&ended.out).unwrap();
    let hooks = hooks.as_array().or_else(|| hooks["data"].as_array());
    let hook = hooks.unwrap().iter().find(|hook| hook["id"] == id);
    hook.unwrap_or_else(|| panic!("no hook {id}: {}", ended.out))
        .clone()
}

#[tokio::test]
async fn a_row_with_more_headers_than_a_request_holds_is_invalid_and_others_hear() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let rowhook_then = database.rowhook(BOOK_EVENTS).await;
    database.hook(Some("7"), "book.added", &url).await;
    let hostile = database
        .ask(&format!(
            "insert into rowhook.hook (owner, event, target, headers) values ('8', 'book.added', '{url}', {}) returning id",
            headers(TOO_MANY)
        ))
        .await;
    database
        .sql("insert into book values (1, 8, 2, 'Dune', 9), (2, 7, 1, 'Emma', 9)")
        .await;
    assert_eq!(books(&receiver.expect(1).await), [json!(2)]);
    let reason = "the headers have 24577 fields, and may have 100 at most";
    let marked = format!("select invalid = '{reason}' from rowhook.hook where id = {hostile}");
    database.until("the reason is on record", &marked).await;
    database.until_all_is_confirmed().await;

    // The next start gets past it too.
    rowhook_then.kill();
    database
        .sql("insert into book values (3, 8, 2, 'Ulysses', 9), (4, 7, 1, 'Walden', 9)")
        .await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    assert_eq!(books(&receiver.expect(2).await), [json!(2), json!(4)]);
    database.until_all_is_confirmed().await;
    let config = database.config(BOOK_EVENTS);
    let check = rowhook(&config, &["check"]);
    assert!(check.out.contains(reason), "{}", check.out);
    let hook = listed(&config, &hostile);
    assert_eq!(
        (&hook["state"], &hook["invalid"]),
        (&json!("invalid"), &json!(reason))
    );

    // When it is corrected, it hears.
    database
        .sql(&format!(
            "update rowhook.hook set headers = {} where id = {hostile}; insert into book values (5, 8, 2, 'Persuasion', 9)",
            headers(50)
        ))
        .await;
    let calls = receiver.expect(3).await;
    assert_eq!(books(&calls), [json!(2), json!(4), json!(5)]);
    assert_eq!(calls[2].headers["x-50"], "v");
    assert_eq!(listed(&config, &hostile)["invalid"], Value::Null);
}

#[tokio::test]
async fn the_same_of_a_row_of_the_applications_table() {
    let database = Database::bookstore().await;
    database.sql(THEIRS).await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let config = format!("{BOOK_EVENTS}\n{THEIR_TABLE}");
    let rowhook_then = database.rowhook(&config).await;
    database
        .sql(&format!(
            "insert into webhook (user_id, event, target, extra) values
                ('7', 'book.added', '{url}', null), ('8', 'book.added', '{url}', {});
             insert into webhook (user_id, event, target, note) values ('8', 'book.added', '{url}', repeat('a', 17000));
             insert into book values (1, 8, 2, 'Dune', 9), (2, 7, 1, 'Emma', 9)",
            headers(TOO_MANY)
        ))
        .await;
    assert_eq!(books(&receiver.expect(1).await), [json!(2)]);
    let many = "the headers have 24577 fields, and may have 100 at most";
    let long = "the description has 17000 bytes, and may have 16384 at most";
    let noted = format!(
        "select array_agg((hook, reason)::text order by hook) = array[('2', '{many}')::text, ('3', '{long}')::text]
         from rowhook.invalid_hook"
    );
    database.until("the reasons are on record", &noted).await;
    database.until_all_is_confirmed().await;

    rowhook_then.kill();
    database
        .sql("insert into book values (3, 8, 2, 'Ulysses', 9), (4, 7, 1, 'Walden', 9)")
        .await;
    let _rowhook = database.rowhook(&config).await;
    assert_eq!(books(&receiver.expect(2).await), [json!(2), json!(4)]);
    database.until_all_is_confirmed().await;
    let file = database.config(&config);
    let check = rowhook(&file, &["check"]);
    assert!(
        check.out.contains(many) && check.out.contains(long),
        "{}",
        check.out
    );
    let hook = listed(&file, "2");
    assert_eq!(
        (&hook["state"], &hook["invalid"]),
        (&json!("invalid"), &json!(many))
    );

    database
        .sql("delete from webhook where id = 3; update webhook set extra = null where id = 2; insert into book values (5, 8, 2, 'Persuasion', 9)")
        .await;
    let calls = receiver.expect(3).await;
    assert_eq!(books(&calls), [json!(2), json!(4), json!(5)]);
    let none = "select count(*) = 0 from rowhook.invalid_hook";
    database.until("nothing is noted any more", none).await;
}

#[tokio::test]
async fn a_target_that_no_request_can_have_is_invalid_and_others_hear() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.hook(Some("7"), "book.added", &url).await;
    let long = format!("{url}/{}", "a".repeat(66_000));
    // Percent-encoded, this is three times as long.
    let grows = format!("{url}/{}", "é".repeat(4_000));
    for target in [&long, &grows] {
        database.hook(Some("8"), "book.added", target).await;
    }
    database
        .sql("insert into book values (1, 8, 2, 'Dune', 9), (2, 7, 1, 'Emma', 9)")
        .await;
    assert_eq!(books(&receiver.expect(1).await), [json!(2)]);
    let marked = "select count(*) = 2 from rowhook.hook where invalid like 'the target has % bytes, and may have 8192 at most'";
    database.until("the reasons are on record", marked).await;
    database.until_all_is_confirmed().await;
}

#[tokio::test]
async fn the_api_takes_no_more_than_a_hook_may_have() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    let anna = api.token("8", "write").await;
    let many: serde_json::Map<String, Value> = (0..24_570)
        .map(|number| (format!("x-{number}"), json!("v")))
        .collect();
    let usual = json!({"event": "book.added", "target": url});
    let with = |key: &str, value: Value| {
        let mut hook = usual.clone();
        hook[key] = value;
        hook
    };
    let refused = [
        (
            with("headers", Value::Object(many)),
            "the headers have 24570 fields, and may have 100 at most",
        ),
        (
            with("headers", json!({"x-large": "v".repeat(33_000)})),
            "the headers have 33007 bytes, and may have 32768 at most",
        ),
        (
            with("target", json!(format!("{url}/{}", "a".repeat(66_000)))),
            "bytes, and may have 8192 at most",
        ),
        (
            with("description", json!("a".repeat(17_000))),
            "the description has 17000 bytes, and may have 16384 at most",
        ),
        (
            with(
                "filter",
                json!(format!(
                    "new.id > 0 || {}",
                    "true || ".repeat(3000) + "true"
                )),
            ),
            "bytes, and may have 16384 at most",
        ),
    ];
    for (hook, told) in &refused {
        let answer = api.post("/api/hooks", &anna, hook.clone()).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains(told), "{told}: {}", answer.text);
    }
    assert_eq!(database.ask("select count(*) from rowhook.hook").await, "0");

    let made = api.post("/api/hooks", &anna, usual.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/api/hooks/{}", made.json()["id"].as_str().unwrap());
    for (hook, told) in &refused {
        let changed = api.ask(Method::PATCH, &path, &anna, Some(hook)).await;
        assert_eq!(changed.status, 422, "{}", changed.text);
        assert!(changed.text.contains(told), "{told}: {}", changed.text);
    }
    database
        .sql("insert into book values (1, 8, 2, 'Dune', 9)")
        .await;
    assert_eq!(books(&receiver.expect(1).await), [json!(1)]);
    database.until_all_is_confirmed().await;
    let metrics = api.get("/metrics", "").await.text;
    for line in [
        "rowhook_panics_total{task=\"courier\"} 0",
        "rowhook_panics_total{task=\"hook\"} 0",
        "rowhook_oldest_unsettled_seconds 0",
    ] {
        assert!(
            metrics.lines().any(|told| told == line),
            "{line}\n{metrics}"
        );
    }
}
