//! Changes are read from a standby, and everything that rowhook writes goes to the primary.

use harness::{
    BOOKSTORE, Cluster, DEADLINE, Database, Receiver, Rowhook, Stop, cluster_of, connect, rowhook,
    standby_of, until_within,
};
use serde_json::json;

const EVENTS: &str = r#"
[events]
"book.added" = "book.created"
"book.changed" = "book.updated"

[tables.book]
owner = "shelf_id -> shelf.user_id"
"#;

/// The same as on the primary, and what the primary has to know of the slot.
const STANDBY: [&str; 1] = ["hot_standby_feedback=on"];

/// hooks.toml for a database that is read at `source` and written to at `primary`.
fn read_at(source: &str, primary: &str, database: &Database) -> String {
    let urls = format!("url = \"{source}\"\nprimary_url = \"{primary}\"");
    let url = format!("url = \"{}\"", database.url);
    database.config(EVENTS).replacen(&url, &urls, 1)
}

/// A primary, its standby, and a bookstore in it, with hooks.toml for reading the standby.
async fn bookstore(version: u32, settings: &[&str]) -> (Cluster, Cluster, Database, String) {
    let primary = cluster_of(version, &[]);
    let standby = standby_of(&primary, "standby", settings);
    let database = Database::on(&primary).await;
    database.sql(BOOKSTORE).await;
    let config = read_at(&standby.url(&database.name), &database.url, &database);
    until_replayed(&standby, &database).await;
    (primary, standby, database, config)
}

/// Waits until the standby has replayed all that the primary has written.
async fn until_replayed(standby: &Cluster, database: &Database) {
    let client = connect(&standby.url("postgres")).await;
    let end = database.ask("select pg_current_wal_flush_lsn()").await;
    let replayed = format!("select pg_last_wal_replay_lsn() >= '{end}'::pg_lsn");
    until_within(DEADLINE, "the standby has all", async || {
        client.query_one(&replayed, &[]).await.unwrap().get(0)
    })
    .await;
}

/// How many slots of this name there are on a server, and how many of them are read.
async fn slots(url: &str, name: &str) -> (i64, i64) {
    let sql = "select count(*), count(*) filter (where active) from pg_replication_slots where slot_name = $1";
    let row = connect(url).await.query_one(sql, &[&name]).await.unwrap();
    (row.get(0), row.get(1))
}

async fn reads_and_writes(version: u32) {
    let (primary, standby, database, config) = bookstore(version, &STANDBY).await;
    let at_standby = standby.url(&database.name);
    // The primary is idle, and the slot is made nevertheless.
    let set_up = rowhook(&config, &["setup"]);
    assert_eq!(set_up.code, 0, "{}{}", set_up.out, set_up.err);
    assert_eq!(slots(&at_standby, &database.name).await, (1, 0));
    assert_eq!(slots(&database.url, &database.name).await, (0, 0));

    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    let (well, ill) = (
        Receiver::start().await,
        Receiver::answering(|_, tries| if tries < 3 { 503 } else { 200 }).await,
    );
    for url in [well.url(), ill.url()] {
        database.hook(Some("7"), "book.*", &url).await;
    }
    // A value that the stream leaves out is looked up, and so is the owner.
    let large = "repeat(md5('a'), 1) || string_agg(md5(n::text), '')";
    database
        .sql(&format!(
            "insert into book select 1, 7, 1, {large}, 9 from generate_series(1, 300) as n;
             update book set price = 8"
        ))
        .await;
    let calls = well.expect(2).await;
    let title = database.ask("select title from book").await;
    assert_eq!(calls[0].event(), "book.added");
    assert_eq!(calls[1].data()["price"], json!(8.00));
    assert_eq!(calls[1].data()["title"], json!(title), "{:?}", calls[1]);
    ill.until("what failed first", |calls| {
        calls.iter().filter(|call| call.status == 200).count() == 2
    })
    .await;
    assert_eq!(slots(&at_standby, &database.name).await, (1, 1));
    assert_eq!(slots(&database.url, &database.name).await, (0, 0));
    database
        .until(
            "progress is noted",
            "select count(*) = 1 from rowhook.progress",
        )
        .await;
    let check = rowhook(&config, &["check"]);
    assert_eq!(check.code, 0, "{}", check.out);
    assert!(
        check.out.contains("changes are read from a standby"),
        "{}",
        check.out
    );
    assert!(!check.out.contains("hot_standby_feedback"), "{}", check.out);
    let status = rowhook(&config, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(status["slot"]["attached"], json!(true), "{status}");

    assert!(running.stop().success());
    // What it has confirmed is not told again, and what is committed meanwhile is told.
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    let calls = well.expect(3).await;
    assert_eq!(calls[2].data()["id"], json!(2));
    assert!(running.stop().success());
    let taken_down = rowhook(&config, &["teardown", "--yes"]);
    assert_eq!(taken_down.code, 0, "{}{}", taken_down.out, taken_down.err);
    assert_eq!(slots(&at_standby, &database.name).await, (0, 0));
    assert_eq!(
        database.ask("select count(*) from pg_publication").await,
        "0"
    );
    drop((primary, standby));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_of_16_is_read_and_its_primary_written_to() {
    reads_and_writes(16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_of_18_is_read_and_its_primary_written_to() {
    reads_and_writes(18).await;
}

/// Starts rowhook, which ends with a mistake that a person must mend, and returns what it says.
fn refused(config: &str) -> String {
    let (status, log) = Rowhook::start(config).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_or_written_to_is_said_before_anything_is_made() {
    let (primary, standby, database, config) = bookstore(16, &[]).await;
    let at_standby = standby.url(&database.name);
    let alone = database.config(EVENTS).replace(&database.url, &at_standby);
    assert!(refused(&alone).contains("give the primary in primary_url"));
    let swapped = read_at(&database.url, &at_standby, &database);
    let said = refused(&swapped);
    assert!(
        said.contains("give the primary in [database] primary_url"),
        "{said}"
    );
    let check = rowhook(&config, &["check"]);
    for missing in [
        "hot_standby_feedback is off on the standby",
        "changes are read from a standby",
    ] {
        assert!(check.out.contains(missing), "{missing}: {}", check.out);
    }

    let old = cluster_of(15, &[]);
    let old_standby = standby_of(&old, "standby", &STANDBY);
    let old_database = Database::on(&old).await;
    old_database.sql(BOOKSTORE).await;
    until_replayed(&old_standby, &old_database).await;
    let at_old_standby = old_standby.url(&old_database.name);
    let too_old = read_at(&at_old_standby, &old_database.url, &old_database);
    let said = refused(&too_old);
    assert!(said.contains("cannot be read at a standby"), "{said}");
    let set_up = rowhook(&too_old, &["setup"]);
    assert_eq!(set_up.code, 1, "{}", set_up.out);
    assert!(
        set_up.err.contains("cannot be read at a standby"),
        "{}",
        set_up.err
    );

    let strangers = read_at(&at_old_standby, &database.url, &database);
    let strangers = strangers.replace(&old_database.name, "postgres");
    let said = refused(&strangers);
    assert!(said.contains("they are two clusters"), "{said}");
    for database in [&database, &old_database] {
        let made = "select count(*) from pg_namespace where nspname = 'rowhook'";
        assert_eq!(database.ask(made).await, "0");
    }
    drop((primary, standby));
}

/// The primary removes what the slot needs, as it may without hot_standby_feedback, until the standby has given the
/// slot up.
async fn until_invalidated(standby: &Cluster, database: &Database) {
    let client = connect(&standby.url("postgres")).await;
    let lost =
        "select coalesce((to_jsonb(s) ->> 'conflicting')::boolean, false) or s.wal_status = 'lost'
                from pg_replication_slots as s where s.slot_name = $1";
    until_within(DEADLINE, "the standby gives the slot up", async || {
        database
            .sql("create table passing (id bigint); drop table passing")
            .await;
        database
            .sql("vacuum pg_catalog.pg_class, pg_catalog.pg_attribute, pg_catalog.pg_type")
            .await;
        let row = client.query_one(lost, &[&database.name]).await.unwrap();
        row.get(0)
    })
    .await;
}

async fn invalidated(version: u32) {
    let (primary, standby, database, config) = bookstore(version, &[]).await;
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    database.hook(Some("7"), "book.added", &books.url()).await;
    database.hook(None, "rowhook.gap", &alarm.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    books.expect(1).await;
    database
        .until(
            "progress is noted",
            "select count(*) = 1 from rowhook.progress",
        )
        .await;

    until_invalidated(&standby, &database).await;

    let (status, log) = running.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("Postgres has invalidated the slot"), "{log}");
    let told = alarm.expect(1).await;
    assert_eq!(
        told[0].data()["cause"],
        json!("slot_invalidated"),
        "{:?}",
        told[0]
    );
    let accepted = rowhook(&config, &["setup", "--accept-gap"]);
    assert_eq!(accepted.code, 0, "{}{}", accepted.out, accepted.err);
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    books
        .until("the book after the gap", |calls| {
            calls.iter().any(|call| call.data()["id"] == 2)
        })
        .await;
    assert_eq!(alarm.calls().len(), 1, "{:#?}", alarm.calls());
    drop((running, primary));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_16_that_a_conflict_has_taken_is_a_gap_that_is_told() {
    invalidated(16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_17_that_a_conflict_has_taken_is_a_gap_that_is_told() {
    invalidated(17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_promoted_goes_on_with_its_slot_and_nothing_is_lost() {
    let (mut primary, standby, mut database, _) = bookstore(17, &STANDBY).await;
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
    let either = format!(
        "postgresql://postgres@{hosts}/{}?sslmode=disable&target_session_attrs=read-write",
        database.name
    );
    let config = read_at(&standby.url(&database.name), &either, &database);
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let ill = Receiver::answering(|_, _| 503).await;
    for url in [books.url(), ill.url()] {
        database.hook(Some("7"), "book.added", &url).await;
    }
    database.hook(None, "rowhook.gap", &alarm.url()).await;
    for id in 1..=50 {
        let insert = format!("insert into book values ({id}, 7, 1, 'Dune', 9)");
        database.sql(&insert).await;
    }
    books.expect(50).await;
    until_replayed(&standby, &database).await;

    primary.stop(Stop::Immediate).unwrap();
    database.url = standby.url(&database.name);
    database.client = connect(&database.url).await;
    assert_eq!(database.ask("select pg_promote()").await, "t");
    database
        .sql("insert into book values (51, 7, 1, 'Emma', 9)")
        .await;
    ill.answer(|_, _| 200);

    for receiver in [&books, &ill] {
        let calls = receiver
            .until("the last book", |calls| {
                let last = |call: &harness::Call| call.status == 200 && call.data()["id"] == 51;
                calls.iter().any(last)
            })
            .await;
        drop(calls);
    }
    database.until_all_has_arrived().await;
    for receiver in [&books, &ill] {
        let calls = receiver
            .calls()
            .into_iter()
            .filter(|call| call.status == 200);
        let mut ids: Vec<_> = calls
            .map(|call| call.data()["id"].as_i64().unwrap())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids, (1..=51).collect::<Vec<_>>());
    }
    assert!(alarm.calls().is_empty(), "{:#?}", alarm.calls());
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_promoted_beside_its_primary_is_not_read_any_more() {
    let (primary, standby, database, config) = bookstore(16, &STANDBY).await;
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;

    let promoted = connect(&standby.url(&database.name)).await;
    promoted.batch_execute("select pg_promote()").await.unwrap();

    running.until_log("is no standby any more").await;
    running.kill();
    assert!(refused(&config).contains("is no standby any more"));
    drop((primary, standby));
}
