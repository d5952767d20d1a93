//! A hook table that the application has already. A change of it applies from its commit on.

use harness::{BOOK_EVENTS, Call, Database, Receiver, SECRET};
use serde_json::{Value, json};

/// The table that Django makes for the model of django-rest-hooks.
const REST_HOOKS: &str = "
    create table rest_hooks_hook (
        id serial primary key,
        created timestamp with time zone not null,
        updated timestamp with time zone not null,
        event varchar(64) not null,
        target varchar(255) not null,
        user_id integer not null
    );
    create index on rest_hooks_hook (event);
";

/// The table of a model that HOOK_CUSTOM_MODEL names.
const CUSTOM: &str = "
    create table crm_webhook (
        key uuid primary key default gen_random_uuid(),
        made timestamp with time zone not null default now(),
        account text,
        topic text not null,
        url text not null,
        is_active boolean not null default true,
        shared_secret text,
        old_secret text,
        signing text,
        extra_headers jsonb,
        shape text,
        only_if text,
        note text
    );
";

const CUSTOM_TABLE: &str = r#"
[hook_table]
table = "crm_webhook"
id = "key"
owner = "account"
event = "topic"
target = "url"
active = "is_active"
secret = "shared_secret"
previous_secret = "old_secret"
signature = "signing"
headers = "extra_headers"
payload = "shape"
filter = "only_if"
created = "made"
description = "note"
"#;

/// The ids of the books that arrived, sorted, because there is no order between rows.
fn books(calls: &[Call]) -> Vec<Value> {
    let mut books: Vec<Value> = calls.iter().map(|call| call.data()["id"].clone()).collect();
    books.sort_by_key(Value::as_i64);
    books
}

#[tokio::test]
async fn hooks_of_rest_hooks_are_added_changed_and_removed_by_the_application() {
    let database = Database::bookstore().await;
    database.sql(REST_HOOKS).await;
    let receiver = Receiver::answering(|call, _| {
        if call.path.ends_with("/gone") {
            410
        } else {
            200
        }
    })
    .await;
    let url = receiver.url();
    let _rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n[hook_table]\ntable = \"rest_hooks_hook\"\ncreated = \"created\"\n"
        ))
        .await;
    let mut number = 0;
    for step in [
        format!(
            "insert into rest_hooks_hook (created, updated, event, target, user_id) values (now(), now(), 'book.added', '{url}', 7)"
        ),
        "update rest_hooks_hook set user_id = 8, updated = now()".into(),
        "update rest_hooks_hook set user_id = 7, event = 'book.removed', updated = now()".into(),
        "update rest_hooks_hook set event = 'book.added', updated = now()".into(),
        format!("update rest_hooks_hook set target = '{url}/gone', updated = now()"),
    ] {
        number += 1;
        database
            .sql(&format!(
                "{step}; insert into book values ({number}, 7, 1, 'book', 1)"
            ))
            .await;
    }
    // 410 deletes the hook, because the table has no column to clear.
    let none = "select count(*) = 0 from rest_hooks_hook";
    database.until("the hook is deleted", none).await;
    database
        .sql("insert into book values (9, 7, 1, 'never heard', 1)")
        .await;
    database.until_all_is_confirmed().await;
    let calls = receiver.calls();
    assert_eq!(books(&calls), [json!(1), json!(4), json!(5)]);
    let first = calls.iter().find(|call| call.data()["id"] == 1).unwrap();
    assert_eq!(
        first.json()["hook"],
        json!({"id": 1, "event": "book.added", "target": url})
    );
}

#[tokio::test]
async fn a_hook_made_while_rowhook_was_away_does_not_hear_what_was_there_before_it() {
    let database = Database::bookstore().await;
    database.sql(REST_HOOKS).await;
    let receiver = Receiver::start().await;
    let config = format!(
        "{BOOK_EVENTS}\n[hook_table]\ntable = \"rest_hooks_hook\"\ncreated = \"created\"\n"
    );
    let rowhook = database.rowhook(&config).await;
    database.until_all_is_confirmed().await;
    rowhook.kill();
    database
        .sql("insert into book values (1, 7, 1, 'before', 1)")
        .await;
    database
        .sql(&format!(
            "insert into rest_hooks_hook (created, updated, event, target, user_id) values (now(), now(), 'book.added', '{}', 7)",
            receiver.url()
        ))
        .await;
    database
        .sql("insert into book values (2, 7, 1, 'after', 1)")
        .await;
    let _rowhook = database.rowhook(&config).await;
    database.until_all_has_arrived().await;
    assert_eq!(books(&receiver.calls()), [json!(2)]);
}

#[tokio::test]
async fn a_custom_model_says_everything_in_its_own_columns() {
    let database = Database::bookstore().await;
    database.sql(CUSTOM).await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let _rowhook = database
        .rowhook(&format!("{BOOK_EVENTS}{CUSTOM_TABLE}"))
        .await;
    database
        .sql(&format!(
            r#"insert into crm_webhook (account, topic, url, shared_secret, old_secret, extra_headers, shape, only_if, note) values
               ('7', 'book.*', '{url}', '{SECRET}', '{SECRET}', '{{"x-team": "books"}}', 'row', 'new.price < 5', 'cheap books');
               insert into book values (1, 7, 1, 'Dune', 9), (2, 7, 1, 'Emma', 4)"#
        ))
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].json()["id"], 2);
    assert_eq!(calls[0].header("x-team"), "books");
    assert_eq!(calls[0].header("webhook-signature").split(' ').count(), 2);
    calls[0].verify();

    database
        .sql(
            r#"update crm_webhook set signing = '{"header": "X-Sig"}', shared_secret = 'any text', only_if = null;
               insert into book values (3, 7, 1, 'Ulysses', 9)"#,
        )
        .await;
    let calls = receiver.expect(2).await;
    assert_eq!(calls[1].json()["id"], 3);
    assert_eq!(calls[1].header("x-sig").len(), 64);
    database
        .sql(
            "update crm_webhook set is_active = false;
             insert into book values (4, 7, 1, 'never heard', 9);
             update crm_webhook set is_active = true, signing = 'standard', shared_secret = null, old_secret = null;
             insert into book values (5, 7, 1, 'unsigned', 9)",
        )
        .await;
    let calls = receiver.expect(3).await;
    database.until_all_is_confirmed().await;
    assert_eq!(receiver.calls().len(), 3);
    assert_eq!(calls[2].json()["id"], 5);
    assert_eq!(calls[2].header("x-sig"), "");
    assert_eq!(calls[2].header("webhook-signature"), "");
}

#[tokio::test]
async fn a_410_clears_the_column_or_deletes_the_row_as_on_gone_says() {
    for (on_gone, left) in [
        (
            "disable",
            "select count(*) = 1 from crm_webhook where not is_active",
        ),
        ("delete", "select count(*) = 0 from crm_webhook"),
    ] {
        let database = Database::bookstore().await;
        database.sql(CUSTOM).await;
        let gone = Receiver::answering(|_, _| 410).await;
        let _rowhook = database
            .rowhook(&format!(
                "{BOOK_EVENTS}{CUSTOM_TABLE}on_gone = \"{on_gone}\"\n"
            ))
            .await;
        database
            .sql(&format!(
                "insert into crm_webhook (account, topic, url) values ('7', 'book.added', '{}');
                 insert into book values (1, 7, 1, 'Dune', 9)",
                gone.url()
            ))
            .await;
        database.until(on_gone, left).await;
        database
            .sql("insert into book values (2, 7, 1, 'Emma', 9)")
            .await;
        database.until_all_is_confirmed().await;
        assert_eq!(gone.calls().len(), 1, "{on_gone}");
    }
}
