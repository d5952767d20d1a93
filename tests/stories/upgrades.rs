//! pg_upgrade makes another cluster of the same tables. From 17 on it brings the slot along.

use harness::{
    BOOK_EVENTS, BOOKSTORE, Cluster, Database, Receiver, Rowhook, Stop, cluster_of, connect,
    rowhook, upgraded,
};
use serde_json::json;

/// The statistics that it gathers are commits too, and nobody has read them.
const QUIET: [&str; 1] = ["autovacuum=off"];

/// A database of this version, of which one book was delivered. rowhook and then the server were stopped.
async fn stopped(version: u32, books: &Receiver, alarm: &Receiver) -> (Cluster, Database) {
    let mut cluster = cluster_of(version, &QUIET);
    let database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    database.hook(Some("7"), "book.added", &books.url()).await;
    database.hook(None, "rowhook.gap", &alarm.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    books.expect(1).await;
    database.until_all_has_arrived().await;
    assert!(rowhook.stop().success());
    cluster.stop(Stop::Fast).unwrap();
    (cluster, database)
}

/// Goes on in the new cluster.
async fn moved(mut database: Database, new: &Cluster) -> Database {
    database.url = new.url(&database.name);
    database.client = connect(&database.url).await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_clean_stop_an_upgrade_from_17_brings_the_slot_along_and_nothing_is_missed() {
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let (old, database) = stopped(17, &books, &alarm).await;

    let new = upgraded(&old, 18, &QUIET).unwrap();

    let database = moved(database, &new).await;
    database
        .sql("insert into book values (2, 7, 1, 'Persuasion', 9)")
        .await;
    let check = rowhook(&database.config(BOOK_EVENTS), &["check"]);
    assert_eq!(check.code, 0, "{}", check.out);
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let calls = books.expect(2).await;
    assert_eq!(calls[1].data()["id"], json!(2));
    database.until_all_has_arrived().await;
    assert_eq!((books.calls().len(), alarm.calls().len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_from_16_is_a_gap_with_both_ends_and_what_comes_after_the_new_slot_is_delivered()
{
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let (old, database) = stopped(16, &books, &alarm).await;
    let new = upgraded(&old, 17, &QUIET).unwrap();
    let database = moved(database, &new).await;
    let config = database.config(BOOK_EVENTS);

    let (status, log) = Rowhook::start(&config).wait();

    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("pg_upgrade has made this cluster"), "{log}");
    let told = alarm.expect(1).await.remove(0).data();
    assert_eq!(told["cause"], json!("upgraded"));
    let lsn = |end: &str| told[end].as_str().unwrap().to_owned();
    let (from, to) = (lsn("from_lsn"), lsn("to_lsn"));
    assert_eq!(
        database
            .ask(&format!(
                "select '0/0' < '{from}'::pg_lsn and '{from}' < '{to}'::pg_lsn"
            ))
            .await,
        "t"
    );
    let accepted = rowhook(&config, &["setup", "--accept-gap"]);
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    database
        .sql("insert into book values (2, 7, 1, 'Persuasion', 9)")
        .await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let calls = books.expect(2).await;
    assert_eq!(calls[1].data()["id"], json!(2));
    database.until_all_has_arrived().await;
    assert_eq!(alarm.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_made_by_hand_after_an_upgrade_is_kept_when_the_gap_is_accepted() {
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let (old, database) = stopped(16, &books, &alarm).await;
    let new = upgraded(&old, 17, &QUIET).unwrap();
    let database = moved(database, &new).await;
    let config = database.config(BOOK_EVENTS);
    database
        .sql(&format!(
            "select pg_create_logical_replication_slot('{}', 'pgoutput')",
            database.name
        ))
        .await;
    database
        .sql("insert into book values (2, 7, 1, 'Persuasion', 9)")
        .await;

    let (status, log) = Rowhook::start(&config).wait();

    assert!(
        status.code() == Some(1) && log.contains("pg_upgrade"),
        "{log}"
    );
    let accepted = rowhook(&config, &["setup", "--accept-gap"]);
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let calls = books.expect(2).await;
    assert_eq!(calls[1].data()["id"], json!(2));
}
