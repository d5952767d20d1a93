//! Many tables that join a publication at once.

use std::time::Duration;

use rowhook::{
    config::{Action, Config},
    setup::{LockPolicy, setup},
};
use tokio_postgres::Client;

use crate::{
    bookstore::{Build, CLUSTER, bookstore, connect, refused, set_up},
    queries::{published, texts},
};

/// Creates tables, and adds an event on each.
async fn with_tables(client: &Client, mut config: Config, names: &[String]) -> Config {
    for name in names {
        let sql = format!("create table {name} (id integer primary key, user_id integer)");
        client.batch_execute(&sql).await.unwrap();
        config = config.event(&format!("{name}.added"), name, Action::Created);
    }
    config
}

#[tokio::test]
async fn many_tables_join_in_few_transactions_and_each_is_told() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    let names: Vec<String> = (0..250).map(|table| format!("t{table}")).collect();
    let config = with_tables(&client, config, &names).await;

    let reasons = set_up(&config).await;

    for name in &names {
        let reason = format!("changes of {name} are heard from here on");
        assert!(reasons.contains(&reason), "{name}");
    }
    let members = "select xmin::text from pg_publication_rel
        where prrelid::regclass::text ~ '^t\\d+$'";
    let mut transactions = texts(&client, members).await;
    assert_eq!(transactions.len(), 250);
    transactions.sort();
    transactions.dedup();
    assert_eq!(transactions.len(), 3);
}

#[tokio::test]
async fn a_locked_table_keeps_no_other_from_its_publication() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    let config = with_tables(&client, config, &["a", "b", "c"].map(String::from)).await;
    client
        .batch_execute("begin; lock table b in access exclusive mode")
        .await
        .unwrap();

    let refused = refused(&config).await;

    assert!(
        refused.starts_with("changes of b are heard from here on: gave up waiting for a lock"),
        "{refused}"
    );
    client.batch_execute("rollback").await.unwrap();
    let published = published(&client).await;
    for (table, joined) in [("a", true), ("b", false), ("c", true)] {
        let line = format!("rowhook {table}");
        assert_eq!(published.contains(&line), joined, "{table}: {published:?}");
    }
    assert_eq!(
        set_up(&config).await,
        ["changes of b are heard from here on"]
    );
}

#[tokio::test]
async fn an_application_that_locks_tables_in_another_order_gets_all_of_them() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    let config = with_tables(&client, config, &["a", "b"].map(String::from)).await;
    let url = CLUSTER.url(&config.database.address.database);
    let looking = connect(&url).await;
    client
        .batch_execute("begin; lock table b in access exclusive mode")
        .await
        .unwrap();
    let patient = LockPolicy {
        lock_timeout: Duration::from_secs(10),
        ..LockPolicy::default()
    };

    let (done, ()) = tokio::join!(setup(&config, patient, &|_| {}), async {
        let waiting =
            "select count(*)::text from pg_locks where relation = 'b'::regclass and not granted";
        while texts(&looking, waiting).await != ["1"] {
            tokio::task::yield_now().await;
        }
        let locked = client.batch_execute("lock table a in access exclusive mode");
        locked.await.unwrap();
        client.batch_execute("commit").await.unwrap();
    });

    assert_eq!(done.unwrap().len(), 3, "the events, and two tables");
}

#[tokio::test]
async fn whoever_reads_a_table_does_not_wait_for_long_behind_a_setup_that_waits_for_it() {
    let (client, config) = bookstore().await;
    let config = config.full("book");
    let url = CLUSTER.url(&config.database.address.database);
    let (looking, reading) = (connect(&url).await, connect(&url).await);
    client
        .batch_execute("begin; lock table book in row exclusive mode")
        .await
        .unwrap();
    // Less than the ALTER TABLE of setup would wait in one go.
    reading
        .batch_execute("set lock_timeout = '1s'")
        .await
        .unwrap();

    let (refused, ()) = tokio::join!(refused(&config), async {
        let waiting =
            "select count(*)::text from pg_locks where relation = 'book'::regclass and not granted";
        while texts(&looking, waiting).await != ["1"] {
            tokio::task::yield_now().await;
        }
        let read = reading.batch_execute("select from book");
        read.await.unwrap();
    });

    assert!(refused.contains("gave up waiting for a lock"), "{refused}");
}
