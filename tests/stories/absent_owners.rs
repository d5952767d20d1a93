//! Hooks whose owners are not in the table that `owner_exists` names.

use harness::{BOOK_EVENTS, Database, Receiver};
use serde_json::json;

#[tokio::test]
async fn a_hook_for_an_absent_owner_and_one_that_was_invalid_meanwhile_do_not_hear() {
    let database = Database::bookstore().await;
    database
        .sql("create table account (id integer primary key); insert into account values (7), (8)")
        .await;
    let receiver = Receiver::start().await;
    let _rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n[hook_table]\nowner_exists = \"account.id\"\n"
        ))
        .await;
    let url = receiver.url();
    let eights = database
        .hook(Some("8"), "book.added", "http://10.0.0.1/")
        .await;
    let noted = format!("select invalid is not null from rowhook.hook where id = {eights}");
    database.until("it is invalid", &noted).await;
    database.sql("delete from account where id = 8").await;
    database
        .sql(&format!(
            "update rowhook.hook set target = '{url}' where id = {eights}"
        ))
        .await;
    database.hook(Some("9"), "book.added", &url).await;
    // The owner is made in the same transaction, and is there.
    database
        .sql(&format!(
            "begin; insert into account values (10);
             insert into rowhook.hook (owner, event, target) values ('10', 'book.added', '{url}'); commit"
        ))
        .await;
    database.hook(Some("7"), "book.added", &url).await;
    database
        .sql("insert into book select n, n, 1, 'of ' || n, 9 from generate_series(7, 10) n")
        .await;
    database
        .until(
            "both are disabled",
            "select array_agg(owner order by owner) = '{8,9}' from rowhook.hook where not active",
        )
        .await;
    let mut heard: Vec<_> = receiver
        .expect(2)
        .await
        .iter()
        .map(|call| call.data()["id"].clone())
        .collect();
    heard.sort_by_key(serde_json::Value::as_i64);
    assert_eq!(heard, [json!(7), json!(10)]);
    database.until_all_has_arrived().await;
    assert_eq!(receiver.calls().len(), 2);
}
