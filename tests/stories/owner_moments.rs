//! Whose a row was at its moment, also where the database is asked later and its owner has another by then.

use std::time::Duration;

use harness::{BOOK_EVENTS, Database, Receiver, connect};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::owners::{book, heard};

/// An owner path over the shelf, which tells its old rows.
const PATH: &str =
    "\n[tables.book]\nowner = \"shelf_id -> shelf.user_id\"\n[tables.shelf]\nidentity = \"full\"\n";

/// Rows without a shelf, of which one message holds `each` bytes. No batch of the reader holds 1,500 of them.
fn filler(from: i32, each: usize) -> String {
    let to = from + 1500;
    format!(
        "insert into book select id, null, null, repeat('-', {each}), 1 from generate_series({from}, {to}) as id"
    )
}

fn moved_to(owner: i32) -> String {
    format!("update shelf set user_id = {owner} where id = 1")
}

/// A hook on each of the owners 7, 8 and 9.
async fn hooks(database: &Database, receiver: &Receiver) {
    for owner in ["7", "8", "9"] {
        let target = format!("{}/{owner}", receiver.url());
        database.hook(Some(owner), "book.added", &target).await;
    }
}

#[tokio::test]
async fn a_row_has_the_owner_of_its_moment_although_the_batch_ends_before_the_shelf_changes() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(&format!("{BOOK_EVENTS}{PATH}")).await;
    hooks(&database, &receiver).await;
    let statements = [
        "begin".to_owned(),
        book(1, 1),
        filler(1000, 1),
        moved_to(8),
        book(2, 1),
        filler(3000, 1),
        moved_to(9),
        book(3, 1),
        // A shelf that is gone when the database is asked.
        "insert into shelf values (3, 7)".to_owned(),
        book(4, 3),
        "commit".to_owned(),
    ];
    database.sql(&statements.join("; ")).await;
    let statements = [
        "begin".to_owned(),
        book(5, 2),
        filler(5000, 1),
        "delete from book where shelf_id = 2".to_owned(),
        "delete from shelf where id = 2".to_owned(),
        "commit".to_owned(),
    ];
    database.sql(&statements.join("; ")).await;
    database.until_all_is_confirmed().await;
    assert_eq!(heard(&receiver), ["7 1", "7 4", "8 2", "8 5", "9 3"]);
}

#[tokio::test]
async fn a_row_has_the_owner_of_its_moment_although_rowhook_was_stopped_since() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = format!("{BOOK_EVENTS}{PATH}");
    let rowhook = database.rowhook(&config).await;
    hooks(&database, &receiver).await;
    database.until_all_is_confirmed().await;
    assert!(rowhook.stop().success());
    // More than is kept in memory when the stream is read in advance.
    for statement in [
        book(1, 1),
        book(2, 2),
        filler(1000, 4000),
        moved_to(8),
        book(3, 1),
        filler(3000, 4000),
        moved_to(9),
        "delete from book where id = 2".to_owned(),
        "delete from shelf where id = 2".to_owned(),
        "insert into shelf values (2, 9)".to_owned(),
        book(4, 2),
    ] {
        database.sql(&statement).await;
    }
    let _rowhook = database.rowhook(&config).await;
    database
        .until_all_is_confirmed_within(Duration::from_secs(60))
        .await;
    assert_eq!(heard(&receiver), ["7 1", "8 2", "8 3", "9 4"]);
}

#[tokio::test]
async fn a_row_whose_owner_cannot_be_told_any_more_is_nobodys() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = database.rowhook(&format!("{BOOK_EVENTS}{PATH}")).await;
    hooks(&database, &receiver).await;
    let all = format!("{}/all", receiver.url());
    database.hook(None, "book.added", &all).await;
    let statements = [
        "begin".to_owned(),
        book(1, 1),
        filler(1000, 8000),
        moved_to(8),
        book(2, 1),
        "commit".to_owned(),
    ];
    database.sql(&statements.join("; ")).await;
    database
        .until_all_is_confirmed_within(Duration::from_secs(60))
        .await;
    let heard = heard(&receiver);
    let of_shelf: Vec<&String> = heard
        .iter()
        .filter(|heard| heard.ends_with(" 1") || heard.ends_with(" 2"))
        .collect();
    // Where the server was quick, it could still be told whose the row was. It is never told to another.
    if of_shelf != ["7 1", "8 2", "all 1", "all 2"] {
        assert_eq!(of_shelf, ["8 2", "all 1", "all 2"]);
        rowhook
            .until_log("the stream is too far behind to tell")
            .await;
    }
}

#[tokio::test]
async fn a_row_that_waits_for_a_lock_keeps_the_owner_of_its_moment() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = database.rowhook(&format!("{BOOK_EVENTS}{PATH}")).await;
    hooks(&database, &receiver).await;
    database.until_all_is_confirmed().await;
    database.sql("insert into shelf values (4, 7)").await;
    // With a foreign key, the lock would hold up the row too.
    database
        .sql("alter table book drop constraint book_shelf_id_fkey")
        .await;
    let locking = connect(&database.url).await;
    locking
        .batch_execute("begin; lock table shelf in access exclusive mode")
        .await
        .unwrap();
    database
        .sql(&format!("{}; {}", book(1, 1), book(2, 4)))
        .await;
    rowhook.until_log("rows of this table now").await;
    locking
        .batch_execute(&format!("{}; commit", moved_to(9)))
        .await
        .unwrap();
    database.sql(&book(3, 1)).await;
    receiver.expect(3).await;
    database.until_all_is_confirmed().await;
    assert_eq!(heard(&receiver), ["7 1", "7 2", "9 3"]);
}

/// A process of the server that stands still as long as this is there.
struct Still(Pid);

impl Still {
    fn stop(pid: &str) -> Self {
        let pid = Pid::from_raw(pid.parse().unwrap());
        kill(pid, Signal::SIGSTOP).unwrap();
        Self(pid)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).unwrap();
    }
}

#[tokio::test]
async fn a_row_that_waits_keeps_its_owner_although_the_database_is_asked_before_the_stream_tells() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = database.rowhook(&format!("{BOOK_EVENTS}{PATH}")).await;
    hooks(&database, &receiver).await;
    database
        .sql("alter table book drop constraint book_shelf_id_fkey")
        .await;
    database.until_all_is_confirmed().await;
    let locking = connect(&database.url).await;
    locking
        .batch_execute("begin; lock table shelf in access exclusive mode")
        .await
        .unwrap();
    database.sql(&book(1, 1)).await;
    rowhook.until_log("rows of this table now").await;
    let sender = "select active_pid from pg_replication_slots where database = current_database()";
    let still = Still::stop(&database.ask(sender).await);
    locking
        .batch_execute(&format!("{}; commit", moved_to(9)))
        .await
        .unwrap();
    let asked = "select count(*) > 0 from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and query like '%rowhook.asked%'";
    database.until("the database has answered", asked).await;
    drop(still);
    database.sql(&book(2, 1)).await;
    receiver.expect(2).await;
    database.until_all_is_confirmed().await;
    assert_eq!(heard(&receiver), ["7 1", "9 2"]);
}
