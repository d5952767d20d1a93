//! Large values that an update did not touch. The stream leaves them out, and each version of a row is told with its own.

use harness::{Call, Database, Receiver, Rowhook};
use serde_json::{Value, json};

const PAGE: &str =
    "create table page (id int primary key, user_id int, body text, note text, views int);
                    alter table page alter column body set storage external;
                    alter table page alter column note set storage external";

const EVENTS: &str = "\"page.added\" = \"page.created\"\n\"page.changed\" = \"page.updated\"\n\"page.removed\" = \"page.deleted\"";

async fn listening(database: &Database, receiver: &Receiver, events: &str) -> Rowhook {
    let config = format!(
        "[events]\n{events}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\n",
        receiver.url()
    );
    database.rowhook(&config).await
}

/// The views of each body's row, the first character of its body and its note, and what is unknown of it.
fn told(calls: &[Call]) -> Vec<(i64, String, String, Value)> {
    let told = calls.iter().map(|call| {
        let json = call.json();
        let data = &json["data"];
        let first = |column: &str| {
            data[column]
                .as_str()
                .map_or("", |text| &text[..1])
                .to_owned()
        };
        (
            data["views"].as_i64().unwrap(),
            first("body"),
            first("note"),
            json["unchanged"].clone(),
        )
    });
    told.collect()
}

fn version(views: i64, body: &str, note: &str, unknown: &[&str]) -> (i64, String, String, Value) {
    (views, body.to_owned(), note.to_owned(), json!(unknown))
}

#[tokio::test]
async fn a_version_is_never_told_with_a_later_versions_value() {
    let database = Database::new().await;
    database.sql(PAGE).await;
    let receiver = Receiver::start().await;
    let _rowhook = listening(&database, &receiver, EVENTS).await;
    database
        .sql("insert into page values (1, 7, repeat('a', 5000), repeat('n', 5000), 0)")
        .await;
    receiver.expect(1).await;
    database
        .sql(
            "begin;
             update page set views = 1;
             update page set views = 2;
             update page set views = 3, body = repeat('b', 5000);
             update page set views = 4;
             commit",
        )
        .await;
    let calls = receiver.expect(5).await;
    assert_eq!(
        told(&calls[1..]),
        [
            version(1, "", "n", &["body"]),
            version(2, "", "n", &["body"]),
            version(3, "b", "n", &[]),
            version(4, "b", "n", &[]),
        ]
    );
}

#[tokio::test]
async fn a_value_that_the_transaction_has_sent_before_is_told_again() {
    let database = Database::new().await;
    database.sql(PAGE).await;
    let receiver = Receiver::start().await;
    let _rowhook = listening(&database, &receiver, EVENTS).await;
    // The row is gone when it would be read, and was written in savepoints.
    database
        .sql(
            "begin;
             savepoint one;
             insert into page values (1, 7, repeat('a', 5000), repeat('n', 5000), 0);
             release one;
             savepoint two;
             update page set views = 1;
             release two;
             update page set id = 2, views = 2, note = repeat('m', 5000);
             update page set views = 3;
             delete from page;
             commit",
        )
        .await;
    let calls = receiver.expect(5).await;
    let mut versions = told(
        &calls
            .iter()
            .filter(|call| call.json()["type"] != "page.removed")
            .cloned()
            .collect::<Vec<_>>(),
    );
    versions.sort_by_key(|(views, ..)| *views);
    assert_eq!(
        versions,
        [
            version(0, "a", "n", &[]),
            version(1, "a", "n", &[]),
            version(2, "a", "m", &[]),
            version(3, "a", "m", &[]),
        ]
    );
}

#[tokio::test]
async fn a_row_that_was_made_again_under_the_same_key_is_another_row() {
    let database = Database::new().await;
    database.sql(PAGE).await;
    let receiver = Receiver::start().await;
    let _rowhook = listening(&database, &receiver, EVENTS).await;
    database
        .sql("insert into page values (1, 7, repeat('a', 5000), repeat('n', 5000), 0)")
        .await;
    receiver.expect(1).await;
    database
        .sql(
            "begin;
             update page set views = 1;
             delete from page;
             insert into page values (1, 7, repeat('b', 5000), repeat('m', 5000), 2);
             commit",
        )
        .await;
    let calls = receiver.expect(4).await;
    assert_eq!(told(&calls[1..2]), [version(1, "", "", &["body", "note"])]);
    assert_eq!(told(&calls[3..]), [version(2, "b", "m", &[])]);
}

#[tokio::test]
async fn many_updates_of_one_transaction_keep_their_large_values() {
    let database = Database::new().await;
    database.sql(PAGE).await;
    let receiver = Receiver::start().await;
    let _rowhook = listening(&database, &receiver, "\"page.changed\" = \"page.updated\"").await;
    database
        .sql(
            "insert into page select n, 7, repeat('a', 3000), null, 0 from generate_series(1, 2000) n;
             update page set views = views + 1",
        )
        .await;
    let calls = receiver.expect(2000).await;
    for call in &calls {
        assert_eq!(call.json()["unchanged"], json!([]));
        assert_eq!(call.data()["body"].as_str().map(str::len), Some(3000));
    }
}

#[tokio::test]
async fn a_large_key_is_in_each_image_of_its_row() {
    let database = Database::new().await;
    database
        .sql(
            "create table doc (path text primary key, views int);
             alter table doc alter column path set storage external",
        )
        .await;
    let receiver = Receiver::start().await;
    let _rowhook = listening(&database, &receiver, "\"doc.changed\" = \"doc.updated\"").await;
    let path = "k".repeat(2500);
    database
        .sql(&format!("insert into doc values ('{path}', 0)"))
        .await;
    database.sql("update doc set views = 1").await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].data(), json!({"path": path, "views": 1}));
    assert_eq!(calls[0].json()["unchanged"], json!([]));
}

#[tokio::test]
async fn rest_hooks_name_what_is_unknown() {
    let database = Database::new().await;
    database.sql(PAGE).await;
    let receiver = Receiver::start().await;
    let rowhook = database.rowhook(&format!("[events]\n{EVENTS}")).await;
    database.hook(Some("7"), "page.*", &receiver.url()).await;
    database
        .sql("insert into page values (1, 7, repeat('a', 5000), null, 0)")
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].json().get("unchanged"), None);
    database.until_all_has_arrived().await;
    rowhook.stop();
    database.sql("update page set views = 1").await;
    database.sql("update page set body = 'short'").await;
    let _rowhook = database.rowhook(&format!("[events]\n{EVENTS}")).await;
    let calls = receiver.expect(3).await;
    let body = calls[1].json();
    assert_eq!(body["unchanged"], json!(["body"]));
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert!(
        keys.contains(&&"hook".to_owned()) && keys.contains(&&"data".to_owned()),
        "{body}"
    );
    assert_eq!(calls[2].json().get("unchanged"), None);
}
