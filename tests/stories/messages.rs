//! Events that are no row changes: SQL fires them.

use serde_json::json;

use crate::support::{Database, Receiver};

const EVENTS: &str = r#"
[events]
"book.added" = "book.created"
"user.logged_in" = "custom"
"shop.closed" = "custom+"
"#;

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
async fn messages_need_no_function_and_those_that_are_no_event_harm_nothing() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = database.rowhook(EVENTS).await;
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
