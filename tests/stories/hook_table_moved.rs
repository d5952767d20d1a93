//! The hook table is renamed, moved, dropped or replaced while rowhook runs.

use harness::{BOOK_EVENTS, Call, Database, Receiver};

const TABLE: &str = "create table webhook (id serial primary key, user_id int, event text, target text, is_active bool not null default true)";

fn config(rest: &str) -> String {
    format!("{BOOK_EVENTS}\n[hook_table]\ntable = \"webhook\"\nactive = \"is_active\"\n{rest}")
}

fn book(id: i32) -> String {
    format!("insert into book values ({id}, 7, 1, 'book', 1)")
}

/// The path of each call and the book that it is about, sorted.
fn heard(calls: &[Call]) -> Vec<String> {
    let mut heard: Vec<String> = calls
        .iter()
        .map(|call| format!("{} {}", call.path, call.data()["id"]))
        .collect();
    heard.sort();
    heard
}

#[tokio::test]
async fn a_hook_table_with_another_name_or_schema_is_followed() {
    let database = Database::bookstore().await;
    database.sql(TABLE).await;
    let receiver = Receiver::answering(|call, _| {
        if call.path.ends_with("/gone") {
            410
        } else {
            200
        }
    })
    .await;
    let url = receiver.url();
    let hook = |table: &str, path: &str| {
        format!(
            "insert into {table} (user_id, event, target) values (7, 'book.added', '{url}/{path}')"
        )
    };
    let mut rowhook = database.rowhook(&config("")).await;
    database.sql(&hook("webhook", "old")).await;
    database
        .sql("alter table webhook rename to subscription")
        .await;
    database
        .sql(&format!(
            "update subscription set target = target || '/changed'; {}; {}",
            hook("subscription", "new"),
            book(1)
        ))
        .await;
    receiver.expect(2).await;
    database
        .sql("create schema crm; alter table subscription set schema crm")
        .await;
    database
        .sql(&format!(
            "delete from crm.subscription where target like '%changed'; {}; {}",
            hook("crm.subscription", "gone"),
            book(2)
        ))
        .await;
    rowhook.until_log("the hook table has another name").await;
    let off = "select not is_active from crm.subscription where target like '%gone'";
    database.until("the 410 is written there", off).await;
    database.sql(&book(3)).await;
    receiver.expect(5).await;
    database.until_all_is_confirmed().await;
    assert_eq!(
        heard(&receiver.calls()),
        [
            "/hook/gone 2",
            "/hook/new 1",
            "/hook/new 2",
            "/hook/new 3",
            "/hook/old/changed 1",
        ]
    );
}

#[tokio::test]
async fn hooks_of_a_dropped_table_stop_and_those_of_its_successor_begin() {
    let database = Database::bookstore().await;
    database.sql(TABLE).await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let hook = |path: &str, active: bool| {
        format!(
            "insert into webhook (user_id, event, target, is_active) values (7, 'book.added', '{url}/{path}', {active})"
        )
    };
    let file = format!(
        "\n[[hooks]]\nname = \"audit\"\nevents = [\"book.added\"]\ntarget = \"{url}/audit\"\n"
    );
    let mut rowhook = database.rowhook(&config(&file)).await;
    database.sql(&hook("old", true)).await;
    database.sql(&hook("off", false)).await;
    database.sql(&book(1)).await;
    receiver.expect(2).await;
    database.sql("drop table webhook").await;
    rowhook
        .until_log("the hooks of the hook table stop: it is gone")
        .await;
    database.sql(&book(2)).await;
    receiver.expect(3).await;
    // The new hooks have the ids of the old ones, of which one was switched off.
    database
        .sql(&format!(
            "{TABLE}; {}; {}",
            hook("new", true),
            hook("newer", true)
        ))
        .await;
    rowhook.until_log("starting anew from the slot").await;
    rowhook.until_log("hooks=3").await;
    database.sql(&book(3)).await;
    receiver.expect(6).await;
    database
        .sql(&format!("{}; {}", hook("newest", true), book(4)))
        .await;
    database.until_all_has_arrived().await;
    // A new start may repeat what was not confirmed, with the same ids.
    let mut heard = heard(&receiver.calls());
    heard.dedup();
    assert_eq!(
        heard,
        [
            "/hook/audit 1",
            "/hook/audit 2",
            "/hook/audit 3",
            "/hook/audit 4",
            "/hook/new 3",
            "/hook/new 4",
            "/hook/newer 3",
            "/hook/newer 4",
            "/hook/newest 4",
            "/hook/old 1",
        ]
    );
}
