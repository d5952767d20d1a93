//! Events that are not row changes, sent from SQL.

use harness::{Database, Receiver, Rowhook};
use serde_json::json;

const EVENTS: &str = r#"
[events]
"book.added" = "book.created"
"user.logged_in" = "custom"
"shop.closed" = "custom+"
"#;

/// The same hooks.toml, but every role may fire events.
pub fn open_to_all(config: &str) -> String {
    config.replacen("\n[delivery]", "unsigned_messages = true\n\n[delivery]", 1)
}

#[tokio::test]
async fn a_custom_event_is_part_of_its_transaction_and_stands_among_its_rows() {
    let database = Database::bookstore().await;
    let (anna, ben) = (Receiver::start().await, Receiver::start().await);
    let config = format!(
        "{EVENTS}\n[[hooks]]\nname = \"audit\"\nevents = [\"*\"]\norder = \"hook\"\ntarget = \"{}\"",
        ben.url()
    );
    let _rowhook = database.rowhook(&config).await;
    database
        .hook(Some("7"), "user.logged_in", &anna.url())
        .await;
    database
        .sql("begin; select rowhook.emit('user.logged_in', '{\"from\": \"nowhere\"}', '7'); rollback")
        .await;
    database
        .sql(
            r#"begin;
            insert into book values (1, 7, 1, 'Dune', 9);
            select rowhook.emit('user.logged_in', '{"from": "10.1.2.3"}', '7');
            insert into book values (2, 7, 1, 'Emma', 9);
            select rowhook.emit('user.logged_in', '{"from": "elsewhere"}', '8');
            commit"#,
        )
        .await;
    let calls = anna.expect(1).await;
    assert_eq!(
        (calls[0].event(), calls[0].data()),
        ("user.logged_in".into(), json!({"from": "10.1.2.3"}))
    );
    calls[0].verify();
    let events: Vec<String> = ben
        .expect(4)
        .await
        .iter()
        .map(|call| call.event())
        .collect();
    assert_eq!(
        events,
        [
            "book.added",
            "user.logged_in",
            "book.added",
            "user.logged_in"
        ]
    );
    database.until_all_has_arrived().await;
    assert_eq!((anna.calls().len(), ben.calls().len()), (1, 4));
}

#[tokio::test]
async fn messages_need_no_function_where_that_is_allowed_and_those_that_are_no_event_harm_nothing()
{
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = Rowhook::start(&open_to_all(&database.config(EVENTS)));
    rowhook.until_log("attached slot=").await;
    for owner in ["7", "8"] {
        database
            .hook(Some(owner), "shop.closed", &receiver.url())
            .await;
    }
    for content in [
        "not json",
        r#"{"event": "book.added", "payload": 1}"#,
        r#"{"event": "shop.closed", "payload": 1, "ownr": "7"}"#,
    ] {
        database
            .sql(&format!(
                "select pg_logical_emit_message(true, 'rowhook', '{content}')"
            ))
            .await;
    }
    database
        .sql(
            r#"select pg_logical_emit_message(false, 'rowhook', '{"event": "shop.closed"}');
            select pg_logical_emit_message(true, 'another', '{"event": "shop.closed"}');
            select pg_logical_emit_message(true, 'rowhook', '{"event": "shop.closed", "payload": {"z": 1.50, "a": 2}, "send_hook_meta": false}')"#,
        )
        .await;
    let calls = receiver.expect(2).await;
    assert!(
        calls
            .iter()
            .all(|call| call.body == r#"{"z": 1.50, "a": 2}"#)
    );
    rowhook.until_log("so_far=3").await;
    database.until_all_has_arrived().await;
    assert_eq!(receiver.calls().len(), 2);
}

#[tokio::test]
async fn an_event_that_is_not_in_the_file_is_refused_where_it_is_fired() {
    let database = Database::bookstore().await;
    let _rowhook = database.rowhook(EVENTS).await;
    for event in ["user.logged_out", "book.added", "hook.disabled"] {
        let error = database
            .client
            .batch_execute(&format!("select rowhook.emit('{event}')"))
            .await
            .unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.message(), format!("there is no custom event {event}"));
        assert!(
            error
                .hint()
                .unwrap()
                .contains("shop.closed, user.logged_in")
        );
    }
}

#[tokio::test]
async fn an_action_of_ones_own_is_fired_on_a_row_as_its_transaction_saw_it() {
    let database = Database::bookstore().await;
    let (anna, all) = (Receiver::start().await, Receiver::start().await);
    let config = format!(
        "[events]\n\"book.added\" = \"book.created\"\n\"book.read\" = \"book.read\"\n\
         \"book.lent\" = {{ on = \"book.lent+\", when = \"new.price > 5\" }}\n\"seat.taken\" = \"seat.taken\"\n\
         [tables.book]\nexclude = [\"shelf_id\"]\n\
         [[hooks]]\nname = \"all\"\nevents = [\"*\"]\npayload = \"standard\"\norder = \"hook\"\ntarget = \"{}\"\n",
        all.url()
    );
    database
        .sql(
            "create type place as (hall text, row int);
             create table seat (hall text, number int, user_id bigint, at timestamptz, where_ place, tags text[], gone int, twice int generated always as (number * 2) stored, primary key (hall, number));
             alter table seat drop column gone;
             insert into seat values ('A \"1\"', 3, 7, '2024-05-01 12:00:00+02', row('x, y', 2), array['a', null, '\"'])",
        )
        .await;
    let _rowhook = database.rowhook(&config).await;
    database.hook(Some("7"), "book.read", &anna.url()).await;
    database.hook(Some("7"), "book.lent", &anna.url()).await;
    database
        .sql(
            "begin;
             insert into book values (1, 7, 1, 'Dune', 9), (2, 8, 1, 'Emma', 4);
             select rowhook.emit_row('book', 'read', 1), rowhook.emit_row('book', 'read', '2'), rowhook.emit_row('book', 'lent', 2);
             update book set price = 10 where id = 2;
             select rowhook.emit_row('book', 'lent', 2::bigint);
             commit",
        )
        .await;
    database
        .sql("set datestyle = 'German'; begin; select rowhook.emit_row('book', 'read', 1); rollback; select rowhook.emit_row('seat', 'taken', '{\"hall\": \"A \\\"1\\\"\", \"number\": 3}'::jsonb)")
        .await;
    let calls = all.expect(6).await;
    let events: Vec<(String, i64)> = calls
        .iter()
        .map(|call| call.json())
        .map(|body| {
            (
                body["type"].as_str().unwrap().to_owned(),
                body["data"]["id"].as_i64().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        ("book.added", 1),
        ("book.added", 2),
        ("book.read", 1),
        ("book.read", 2),
        ("book.lent", 2),
        ("seat.taken", 0),
    ];
    assert_eq!(events, expected.map(|(event, id)| (event.to_owned(), id)));
    let read = calls[2].json();
    assert_eq!((&read["op"], &read["owner"]), (&json!("read"), &json!("7")));
    assert_eq!(
        read["data"],
        json!({"id": 1, "user_id": 7, "title": "Dune", "price": 9.0})
    );
    assert_eq!(calls[4].json()["data"]["price"], 10.0);
    let seat: serde_json::Value = serde_json::from_str(
        &database
            .ask("set timezone = 'UTC'; select to_jsonb(seat) from seat")
            .await,
    )
    .unwrap();
    assert_eq!(calls[5].json()["data"], seat);
    assert_eq!(calls[5].json()["unchanged"], json!([]));
    let mut heard: Vec<_> = anna
        .expect(2)
        .await
        .iter()
        .map(|call| call.event())
        .collect();
    heard.sort();
    assert_eq!(heard, ["book.lent", "book.read"]);
    database.until_all_has_arrived().await;
    assert_eq!((anna.calls().len(), all.calls().len()), (2, 6));
}

#[tokio::test]
async fn an_action_that_cannot_be_fired_says_why_and_what_is_no_action_harms_nothing() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = format!(
        "[events]\n\"book.read\" = \"book.read\"\n\"book.cleared\" = \"book.truncated+\"\n\"book.added\" = \"book.created\"\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
        receiver.url()
    );
    database
        .sql("create table heap (id bigint); insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let mut rowhook = Rowhook::start(&open_to_all(&database.config(&config)));
    rowhook.until_log("attached slot=").await;
    for (call, expected) in [
        (
            "emit_row('book', 'lent', 1)",
            "there is no action lent of book",
        ),
        (
            "emit_row('book', 'updated', 1)",
            "there is no action updated of book",
        ),
        (
            "emit_row('book', 'truncated', 1)",
            "there is no action truncated of book",
        ),
        (
            "emit_row('shelf', 'read', 1)",
            "there is no action read of shelf",
        ),
        (
            "emit_row('book', 'read', 9)",
            "book has no row with the key 9",
        ),
        (
            "emit_row('book', 'read', 'x')",
            "invalid input syntax for type bigint: \"x\"",
        ),
    ] {
        let error = database
            .client
            .batch_execute(&format!("select rowhook.{call}"))
            .await;
        let error = error.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().message(), expected, "{call}");
    }
    for content in [
        r#"{"table": "book", "action": "lent", "columns": ["id"], "row": "(1)"}"#,
        r#"{"table": "book", "action": "read", "columns": ["id"], "row": "(1"}"#,
        r#"{"table": "book", "action": "read", "columns": ["id"], "row": "(1,2)"}"#,
        r#"{"table": "book", "action": "read", "columns": ["nothing"], "row": "(1)"}"#,
        r#"{"table": "book", "action": "read"}"#,
        r#"{"table": "book", "action": "read", "columns": ["id", "title"], "row": "(1,\"Dune \"\"2\"\"\")"}"#,
    ] {
        let sql = format!("select pg_logical_emit_message(true, 'rowhook', '{content}')");
        database.sql(&sql).await;
    }
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].data()["title"], "Dune \"2\"");
    rowhook.until_log("so_far=5").await;
    database.until_all_has_arrived().await;
    assert_eq!(receiver.calls().len(), 1);
}
