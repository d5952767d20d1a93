//! Tables that are created anew, renamed or locked just when rowhook looks at them.

use harness::{BOOK_EVENTS, Database, Receiver, Rowhook, connect};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

fn config(receiver: &Receiver) -> String {
    format!(
        "{BOOK_EVENTS}\"shelf.added\" = \"shelf.created\"\n\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\npayload = \"standard\"\n",
        receiver.url()
    )
}

/// What was told: the names of events, and the ids of rows, sorted.
async fn told(receiver: &Receiver, count: usize) -> Vec<(String, Value)> {
    let calls = receiver.expect(count).await;
    let mut told: Vec<(String, Value)> = calls
        .iter()
        .map(|call| {
            let body = call.json();
            (
                body["type"].as_str().unwrap().to_owned(),
                body["data"]["id"].clone(),
            )
        })
        .collect();
    told.sort_by_key(|(event, id)| (event.clone(), id.as_i64()));
    told
}

const CREATE: &str =
    "create table book (id int primary key, user_id int, shelf_id int, title text, price numeric)";

#[tokio::test]
async fn tables_that_are_renamed_as_soon_as_rowhook_is_attached_are_heard() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    // Reads what bodies may look like, while the tables have their names.
    let _rowhook = database.rowhook(&config(&receiver)).await;
    database
        .sql(
            "alter table book rename to volume; alter table shelf rename to rack;
             insert into rack values (101, 7); insert into volume values (2, 7, 1, 'Dune', 9)",
        )
        .await;
    let expected = [("book.added", 2), ("shelf.added", 101)];
    let expected = expected.map(|(event, id)| (event.to_owned(), json!(id)));
    assert_eq!(told(&receiver, 2).await, expected);
}

#[tokio::test]
async fn a_table_that_is_renamed_as_soon_as_it_is_published_is_heard() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(&config(&receiver)).await;
    let mut table = "book".to_owned();
    for id in 1..=4 {
        database.sql(&format!("drop table {table}; {CREATE}")).await;
        let published = "select count(*) = 1 from pg_publication_tables where pubname = 'rowhook' and tablename = 'book'";
        database
            .until("the new table is published", published)
            .await;
        table = format!("volume_{id}");
        database
            .sql(&format!(
                "alter table book rename to {table}; insert into {table} values ({id}, 7, 1, 'Dune', 9)"
            ))
            .await;
        receiver.expect(id).await;
    }
    let expected: Vec<(String, Value)> = (1..=4)
        .map(|id| ("book.added".to_owned(), json!(id)))
        .collect();
    assert_eq!(told(&receiver, 4).await, expected);
}

#[tokio::test]
async fn what_a_table_was_told_under_another_name_is_heard_after_it_is_gone() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = Rowhook::start(&database.config(&config(&receiver)));
    rowhook.until_log("attached slot=").await;
    rowhook.signal(Signal::SIGSTOP);
    database
        .sql(&format!(
            "alter table book rename to volume;
             insert into volume values (1, 7, 1, 'Dune', 9);
             alter table volume rename to book;
             drop table book; {CREATE}"
        ))
        .await;
    rowhook.signal(Signal::SIGCONT);
    assert_eq!(
        told(&receiver, 1).await,
        [("book.added".to_owned(), json!(1))]
    );
    rowhook
        .until_log("what was changed before is not told")
        .await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    receiver.expect(2).await;
}

#[tokio::test]
async fn a_table_that_is_locked_at_a_start_keeps_no_other_from_being_heard() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(&config(&receiver));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    rowhook.signal(Signal::SIGTERM);
    assert!(rowhook.wait().0.success());
    database
        .sql("alter publication rowhook drop table book, shelf")
        .await;
    let other = connect(&database.url).await;
    other
        .batch_execute("begin; lock table book in access exclusive mode")
        .await
        .unwrap();

    let mut rowhook = Rowhook::start(&config);
    rowhook
        .until_log("not everything could be set up, tried again later")
        .await;
    rowhook.until_log("attached slot=").await;
    database.sql("insert into shelf values (101, 7)").await;
    receiver.expect(1).await;

    other.batch_execute("commit").await.unwrap();
    let published = "select count(*) = 1 from pg_publication_tables where pubname = 'rowhook' and tablename = 'book'";
    database.until("the table is published", published).await;
    database
        .sql("insert into book values (2, 7, 1, 'Dune', 9)")
        .await;
    let expected = [("book.added", 2), ("shelf.added", 101)];
    let expected = expected.map(|(event, id)| (event.to_owned(), json!(id)));
    assert_eq!(told(&receiver, 2).await, expected);
}

#[tokio::test]
async fn whose_a_row_is_follows_a_table_that_is_published_while_rowhook_runs() {
    let database = Database::bookstore().await;
    let (all, seven) = (Receiver::start().await, Receiver::start().await);
    let config = format!(
        "{BOOK_EVENTS}[tables.book]\nowner = \"shelf_id -> shelf.user_id\"\n[tables.shelf]\nidentity = \"full\"\n\n\
         [[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{}\"\n",
        all.url()
    );
    let config = database.config(&config);
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    database.hook(Some("7"), "book.*", &seven.url()).await;
    database.until_all_is_confirmed().await;
    rowhook.signal(Signal::SIGTERM);
    assert!(rowhook.wait().0.success());
    database
        .sql("alter publication rowhook drop table shelf")
        .await;
    let other = connect(&database.url).await;
    other
        .batch_execute("begin; lock table shelf in access exclusive mode")
        .await
        .unwrap();
    let mut rowhook = Rowhook::start(&config);
    rowhook
        .until_log("not everything could be set up, tried again later")
        .await;
    rowhook.until_log("attached slot=").await;
    other.batch_execute("commit").await.unwrap();
    rowhook.until_log("WARN owners are read from shelf").await;
    rowhook.signal(Signal::SIGSTOP);
    database
        .sql("insert into book values (2, 1, 1, 'Dune', 9)")
        .await;
    database
        .sql("update shelf set user_id = 8 where id = 1")
        .await;
    rowhook.signal(Signal::SIGCONT);
    let calls = seven.expect(1).await;
    assert_eq!(calls[0].data()["id"], 2);
}
