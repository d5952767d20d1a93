//! Tables that are altered, replaced or renamed while rowhook runs.

use std::time::Duration;

use harness::{BOOK_EVENTS, Call, Database, Receiver, Rowhook};
use serde_json::{Value, json};

/// Rowhook with the events of `book`, `rest` in its hooks.toml, and a hook for all of them in the format `standard`.
async fn listening(database: &Database, receiver: &Receiver, rest: &str) -> Rowhook {
    let config = config(receiver, rest);
    database.rowhook(&config).await
}

fn config(receiver: &Receiver, rest: &str) -> String {
    format!(
        "{BOOK_EVENTS}\n{rest}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\n",
        receiver.url()
    )
}

/// Waits until the publication `name` has exactly these tables of the application, as `schema.table`.
async fn until_published(database: &Database, name: &str, tables: &str) {
    let sql = format!(
        "select coalesce(string_agg(schemaname || '.' || tablename, ' ' order by tablename), '') = '{tables}'
         from pg_publication_tables where pubname = '{name}' and schemaname <> 'rowhook'"
    );
    database
        .until(&format!("the publication {name} has {tables:?}"), &sql)
        .await;
}

fn titles(calls: &[Call]) -> Vec<Value> {
    let titles = calls
        .iter()
        .map(|call| call.json()["data"]["title"].clone());
    titles.collect()
}

#[tokio::test]
async fn a_table_that_is_dropped_and_created_again_is_heard_again() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = listening(&database, &receiver, "").await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    database
        .sql(
            "drop table book;
             create table book (id int primary key, user_id int, shelf_id int, title text, price numeric)",
        )
        .await;
    rowhook.until_log("another table has this name now").await;
    rowhook
        .until_log("what was changed before is not told")
        .await;
    until_published(&database, "rowhook", "public.book").await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9); update book set title = 'Emma!'")
        .await;
    let calls = receiver.expect(3).await;
    assert_eq!(
        titles(&calls),
        [json!("Dune"), json!("Emma"), json!("Emma!")]
    );
}

#[tokio::test]
async fn a_table_that_is_renamed_or_moved_is_heard_under_the_configured_name() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = listening(&database, &receiver, "[server]\nlisten = \"127.0.0.1:0\"").await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    database.sql("alter table book rename to volume").await;
    rowhook.until_log("there is no table book any more").await;
    database.sql("update volume set title = 'Dune!'").await;
    database
        .sql("create schema other; alter table volume set schema other")
        .await;
    database
        .sql("update other.volume set title = 'Dune!!'")
        .await;
    let calls = receiver.expect(3).await;
    assert_eq!(
        titles(&calls),
        [json!("Dune"), json!("Dune!"), json!("Dune!!")]
    );
    for call in &calls[1..] {
        assert_eq!(call.json()["type"], "book.changed");
        assert_eq!(call.json()["table"], "public.book");
    }
    let config = database.config(&config(&receiver, ""));
    let told = "there is no table book any more, but its publication has other.volume";
    for command in ["check", "status"] {
        let ended = harness::rowhook(&config, &[command]);
        assert!(ended.out.contains(told), "{command}: {ended:?}");
        assert!(
            ended.out.contains("rename it back, or write other.volume"),
            "{command}: {ended:?}"
        );
    }
    database
        .sql("alter table other.volume set schema public; alter table volume rename to book")
        .await;
    rowhook.until_log("no longer true").await;
    database.sql("update book set title = 'Dune'").await;
    receiver.expect(4).await;
}

#[tokio::test]
async fn a_table_that_is_swapped_for_another_is_heard_and_the_old_one_is_not() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = listening(&database, &receiver, "").await;
    database
        .sql(
            "insert into book values (1, 7, 1, 'Dune', 9);
             create table book_new (like book including all);
             insert into book_new select * from book",
        )
        .await;
    receiver.expect(1).await;
    database
        .sql("begin; alter table book rename to book_old; alter table book_new rename to book; commit")
        .await;
    rowhook
        .until_log("what was changed before is not told")
        .await;
    database
        .sql("update book_old set title = 'no more'; update book set title = 'Dune!'")
        .await;
    let calls = receiver.expect(2).await;
    database.until_all_is_confirmed().await;
    assert_eq!(receiver.calls().len(), 2);
    assert_eq!(titles(&calls), [json!("Dune"), json!("Dune!")]);
}

#[tokio::test]
async fn a_reconnect_goes_on_while_a_table_is_renamed() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = listening(&database, &receiver, "").await;
    database.sql("alter table book rename to volume").await;
    rowhook.until_log("there is no table book any more").await;
    database
        .sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rowhook control' and datname = current_database()")
        .await;
    rowhook.until_log("not attached; trying again").await;
    database
        .sql("insert into volume values (1, 7, 1, 'Dune', 9)")
        .await;
    let calls = receiver.expect(1).await;
    assert_eq!(calls[0].json()["type"], "book.added");
}

#[tokio::test]
async fn updates_work_again_within_a_second_after_the_primary_key_is_dropped() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = listening(&database, &receiver, "").await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    database
        .sql("alter table book drop constraint book_pkey")
        .await;
    let begun = std::time::Instant::now();
    until_published(&database, "rowhook_inserts", "public.book").await;
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    database.sql("update book set title = 'not heard'").await;
    rowhook.until_log("only its inserts are heard").await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    receiver.expect(2).await;
    database.sql("alter table book add primary key (id)").await;
    until_published(&database, "rowhook_inserts", "").await;
    database
        .sql("update book set title = 'Emma!' where id = 2")
        .await;
    let calls = receiver.expect(3).await;
    assert_eq!(
        titles(&calls),
        [json!("Dune"), json!("Emma"), json!("Emma!")]
    );
}

#[tokio::test]
async fn a_column_that_is_left_out_stays_out_when_it_is_renamed() {
    let database = Database::bookstore().await;
    database.sql("alter table book replica identity full").await;
    let receiver = Receiver::start().await;
    let mut rowhook = listening(&database, &receiver, "[tables.book]\nexclude = [\"price\"]").await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 1234.5)")
        .await;
    receiver.expect(1).await;
    database.sql("alter table book rename price to cost").await;
    database
        .sql("update book set title = 'Dune!', cost = 4321.5")
        .await;
    database.sql("delete from book").await;
    let calls = receiver.expect(3).await;
    for call in &calls {
        let body = String::from_utf8(call.body.to_vec()).unwrap();
        assert!(!body.contains("1234") && !body.contains("4321"), "{body}");
    }
    assert_eq!(
        calls[1].json()["data"],
        json!({"id": 1, "user_id": 7, "shelf_id": 1, "title": "Dune!"})
    );
    assert_eq!(calls[1].json()["changed"], json!(["title"]));
    assert_eq!(calls[2].json()["type"], "book.removed");
    rowhook
        .until_log("has no longer all columns that exclude names")
        .await;
}

#[tokio::test]
async fn a_composite_type_that_gets_an_attribute_stays_an_object() {
    let database = Database::new().await;
    database
        .sql(
            "create type size as (width int, height int);
             create table box (id int primary key, user_id int, outer_size size, sizes size[])",
        )
        .await;
    let receiver = Receiver::start().await;
    let events = "[events]\n\"box.added\" = \"box.created\"";
    let config = format!(
        "{events}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\n",
        receiver.url()
    );
    let _rowhook = database.rowhook(&config).await;
    database
        .sql("insert into box values (1, 7, (1, 2), array[(3, 4)::size])")
        .await;
    receiver.expect(1).await;
    database
        .sql("alter type size add attribute depth int")
        .await;
    database
        .sql("insert into box values (2, 7, (1, 2, 3), array[(4, 5, 6)::size])")
        .await;
    let calls = receiver.expect(2).await;
    assert_eq!(
        calls[0].json()["data"]["outer_size"],
        json!({"width": 1, "height": 2})
    );
    assert_eq!(
        calls[1].json()["data"]["outer_size"],
        json!({"width": 1, "height": 2, "depth": 3})
    );
    assert_eq!(
        calls[1].json()["data"]["sizes"],
        json!([{"width": 4, "height": 5, "depth": 6}])
    );
}
