//! What teardown removes, and what it leaves.

use std::time::Duration;

use rowhook::{
    postgres::{
        Lsn,
        stream::{LastWord, Stream},
    },
    setup::{LockPolicy, teardown::teardown},
};
use tokio::time::timeout;

use crate::{
    bookstore::{Build, bookstore, set_up},
    queries::{texts, traces},
};

#[tokio::test]
async fn teardown_leaves_no_trace() {
    let (client, config) = bookstore().await;
    client
        .batch_execute(
            "create unique index book_title on book (title);
            alter table book alter title set not null, replica identity using index book_title",
        )
        .await
        .unwrap();
    let config = config.full("book").full("log");
    let before = traces(&client).await;
    set_up(&config).await;
    assert_ne!(traces(&client).await, before);

    let done = teardown(&config, LockPolicy::default()).await.unwrap();

    assert_eq!(traces(&client).await, before);
    assert_eq!(
        done,
        [
            &format!("dropped the slot {}", config.database.slot),
            "dropped the publication rowhook",
            "dropped the publication rowhook_inserts",
            "set the replica identity of book back to using index book_title",
            "set the replica identity of log back to default",
            "dropped the schema rowhook",
        ]
    );
    assert!(
        teardown(&config, LockPolicy::default())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn teardown_keeps_a_schema_that_was_there_before() {
    let (client, config) = bookstore().await;
    client.batch_execute("create schema rowhook").await.unwrap();
    let before = traces(&client).await;
    set_up(&config).await;
    client
        .batch_execute("drop publication rowhook")
        .await
        .unwrap();

    teardown(&config, LockPolicy::default()).await.unwrap();

    assert_eq!(traces(&client).await, before);
}

#[tokio::test]
async fn teardown_does_not_take_what_others_put_into_the_schema() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute("create table rowhook.diary (day date)")
        .await
        .unwrap();
    let before = traces(&client).await;

    let error = teardown(&config, LockPolicy::default()).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "the schema rowhook also holds diary, which rowhook did not make; move or drop that first"
    );
    assert_eq!(traces(&client).await, before);
}

#[tokio::test]
async fn teardown_ends_our_own_reader_and_no_other() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    let address = config.database.address.clone();
    let read_as = async |name: &str| {
        let subscription = config.database.subscription();
        let stream = Stream::open(&address, &subscription, name, Lsn::ZERO).await;
        stream.unwrap().0
    };

    let reader = read_as("other").await;
    let told = teardown(&config, LockPolicy::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        told.ends_with("(other), which is not rowhook; stop it first"),
        "{told}"
    );
    reader.close(LastWord::default()).await;

    let slot = format!(
        "select coalesce(active_pid, 0)::text from pg_replication_slots where slot_name = '{}'",
        config.database.slot
    );
    let free = async {
        while texts(&client, &slot).await != ["0"] {
            tokio::task::yield_now().await
        }
    };
    timeout(Duration::from_secs(10), free)
        .await
        .expect("the other reader never left");
    let _reader = read_as(address.stream_name()).await;
    teardown(&config, LockPolicy::default()).await.unwrap();
    assert!(texts(&client, &slot).await.is_empty());
}
