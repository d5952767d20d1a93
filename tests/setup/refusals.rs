//! What setup refuses, and with which message.

use std::{sync::Mutex, time::Duration};

use rowhook::{
    config::Action,
    demo::cluster::Cluster,
    postgres::address::Address,
    setup::{LockPolicy, check::Level, print, setup, teardown::teardown},
};
use tokio::time::timeout;

use crate::{
    bookstore::{Build, CLUSTER, bookstore, config, connect, findings, refused, set_up},
    queries::texts,
};

#[tokio::test]
async fn a_mistyped_table_is_told_with_the_one_that_was_meant() {
    let (client, config) = bookstore().await;
    client.batch_execute("create schema clinic; create table clinic.pet (id integer); create view shelf as select 1").await.unwrap();
    let config = config
        .event("book.read", "bok", Action::Created)
        .event("pet.added", "pet", Action::Created)
        .event("shelf.added", "shelf", Action::Created);

    let database = &config.database.slot;
    assert_eq!(
        refused(&config).await,
        format!(
            "hooks.toml:4:1: there is no table bok in {database}; did you mean book?\n\
            hooks.toml:5:1: there is no table pet in {database}; did you mean clinic.pet?\n\
            hooks.toml:6:1: shelf is a view, and its changes are not in the WAL; name a table that holds the rows"
        )
    );
}

#[tokio::test]
async fn a_connection_that_fails_says_why_in_one_line() {
    let at = format!("127.0.0.1:{}", CLUSTER.port());
    let told = async |url: String| {
        let error = Address::parse(&url)
            .unwrap()
            .connect("test")
            .await
            .unwrap_err();
        (error.to_string().replace(&at, "HOST"), error.is_transient())
    };

    assert_eq!(
        told(CLUSTER.url("nope")).await,
        (
            "HOST has no database nope; correct it in [database] url".into(),
            false
        )
    );
    assert_eq!(
        told(format!("postgres://nobody@{at}/postgres")).await,
        (
            "HOST has no role nobody; correct it in [database] url, or create it".into(),
            false
        )
    );
    assert_eq!(
        told(format!("postgres://postgres@{at}/postgres?sslmode=require")).await,
        ("no TLS with HOST: server does not support TLS; see sslmode and sslrootcert in [database] url".into(), false)
    );
    assert_eq!(
        told("postgres://postgres@127.0.0.1:1/postgres".into()).await,
        (
            "cannot reach Postgres at 127.0.0.1:1: Connection refused (os error 111); is it running, and is the address in [database] url right?".into(),
            true
        )
    );
}

#[tokio::test]
async fn without_logical_wal_setup_names_the_setting() {
    let cluster = Cluster::start(&["wal_level=replica"]).unwrap();
    let config = config(&cluster.url("postgres"), "rowhook");

    assert_eq!(
        refused(&config).await,
        "wal_level is replica, and must be logical; run: alter system set wal_level = logical; and restart Postgres \
        (RDS and Aurora: rds.logical_replication = 1, Cloud SQL: cloudsql.logical_decoding = on)"
    );
    let script = print(&config).await.unwrap();
    assert!(script.contains("-- First: wal_level is replica"));
}

#[tokio::test]
async fn without_privileges_setup_names_each_that_is_missing() {
    let (client, mut config) = bookstore().await;
    client
        .batch_execute("create role weak login")
        .await
        .unwrap();
    let database = &config.database.slot;
    config.database.address.user = "weak".into();

    assert_eq!(
        refused(&config).await,
        format!(
            "weak may not create replication slots; run: alter role \"weak\" replication (on RDS: grant rds_replication to it); it is needed to read the slot too\n\
            weak may not create schemas and publications in {database}; run: grant create on database \"{database}\" to \"weak\", or let someone who may run the output of rowhook setup --print\n\
            book belongs to postgres, and only its owner can publish it; run: grant \"postgres\" to \"weak\", or let someone who may run the output of rowhook setup --print\n\
            log belongs to postgres, and only its owner can publish it; run: grant \"postgres\" to \"weak\", or let someone who may run the output of rowhook setup --print"
        )
    );
    client.batch_execute("drop role weak").await.unwrap();
}

#[tokio::test]
async fn a_slot_of_someone_else_is_refused() {
    let (client, config) = bookstore().await;
    let slot = &config.database.slot;
    client
        .batch_execute(&format!(
            "select pg_create_physical_replication_slot('{slot}')"
        ))
        .await
        .unwrap();

    assert!(refused(&config).await.ends_with(&format!(
        "the slot {slot} is a physical one; set [database] slot to a name that is free"
    )));
    client
        .batch_execute(&format!("select pg_drop_replication_slot('{slot}')"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_slot_older_than_its_publication_is_refused() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute("drop publication rowhook_inserts")
        .await
        .unwrap();

    assert_eq!(
        refused(&config).await,
        format!(
            "the slot {} is there but the publication rowhook_inserts is not, and a slot that is older than its publication can never be read; \
            run rowhook teardown, then rowhook setup",
            config.database.slot
        )
    );
}

#[tokio::test]
async fn a_slot_that_lost_wal_is_not_passed_over() {
    let cluster = Cluster::start(&[
        "max_slot_wal_keep_size=1",
        "min_wal_size=32MB",
        "max_wal_size=32MB",
    ])
    .unwrap();
    let config = config(&cluster.url("postgres"), "lossy");
    set_up(&config).await;
    let client = connect(&cluster.url("postgres")).await;

    let lost = async {
        while texts(&client, "select wal_status from pg_replication_slots").await != ["lost"] {
            for sql in [
                "create table x ()",
                "drop table x",
                "select pg_switch_wal()",
                "checkpoint",
            ] {
                client.batch_execute(sql).await.unwrap();
            }
        }
    };
    timeout(Duration::from_secs(60), lost)
        .await
        .expect("the slot never lost its WAL");

    let told = "the slot lossy has lost WAL, and the changes in there cannot be read any more; \
        run rowhook teardown and rowhook setup, then send what is missing with rowhook backfill";
    assert_eq!(refused(&config).await, told);
    assert_eq!(
        findings(&config, Level::Warn).await,
        [format!("Fatal {}", told.replace("lossy", "DATABASE"))]
    );
    teardown(&config, LockPolicy::default()).await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_not_to_be_had_names_its_holder() {
    let (client, config) = bookstore().await;
    let config = config.full("book");
    let pid = &texts(&client, "select pg_backend_pid()::text").await[0];
    client
        .batch_execute("begin; lock table book in row exclusive mode")
        .await
        .unwrap();

    assert_eq!(
        refused(&config).await,
        format!(
            "book has identity = \"full\": its old rows are written to the WAL from here on: gave up waiting for a lock that \
            pid {pid} (test, postgres, idle in transaction) holds; end that, or try again at a quieter time"
        )
    );

    client.batch_execute("commit").await.unwrap();
    assert!(!set_up(&config).await.is_empty());
}

#[tokio::test]
async fn a_slot_that_must_wait_says_for_whom() {
    let (client, config) = bookstore().await;
    let pid = &texts(&client, "select pg_backend_pid()::text").await[0];
    client
        .batch_execute("begin; insert into log values ('a')")
        .await
        .unwrap();
    let heard = tokio::sync::Notify::new();
    let waits = Mutex::new(Vec::new());
    let patience = LockPolicy {
        report_after: Duration::from_millis(50),
        ..LockPolicy::default()
    };
    let note = |told: &str| {
        waits.lock().unwrap().push(told.to_owned());
        heard.notify_one();
    };

    let (steps, ()) = tokio::join!(setup(&config, patience, &note), async {
        timeout(Duration::from_secs(30), heard.notified())
            .await
            .expect("setup never said that it waits");
        client.batch_execute("commit").await.unwrap();
    });

    steps.unwrap();
    let told = waits.lock().unwrap()[0].clone();
    assert!(
        told.contains(&format!("pid {pid} (test, postgres, idle in transaction)")),
        "{told}"
    );
}
