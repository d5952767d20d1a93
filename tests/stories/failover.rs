//! A standby is promoted while rowhook runs. From Postgres 17 on it has a copy of the slot.

use std::collections::BTreeSet;

use harness::{
    BOOK_EVENTS, BOOKSTORE, Call, Cluster, DEADLINE, Database, Receiver, Rowhook, Stop, cluster_of,
    connect, rowhook, standby_of, until_within,
};

/// The settings of a standby that copies slots.
const COPYING: [&str; 2] = ["sync_replication_slots=on", "hot_standby_feedback=on"];

/// hooks.toml for a database that is on either of two servers.
fn on_either(database: &Database, one: &Cluster, other: &Cluster) -> String {
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", one.port(), other.port());
    let url = format!(
        "postgresql://postgres@{hosts}/{}?sslmode=disable&target_session_attrs=read-write",
        database.name
    );
    let config = database.config(BOOK_EVENTS).replace(&database.url, &url);
    // It is parked until the endpoint is well again.
    let retries = vec!["\"200ms\""; 500].join(", ");
    let lines = config.lines().map(|line| match line {
        line if line.starts_with("retries") => format!("retries = [{retries}]"),
        line => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Inserts one book after the other at `url` from `first` on, until that fails.
async fn write_until_it_fails(url: String, first: i64) {
    let client = connect(&url).await;
    for id in first.. {
        let sql = format!("insert into book values ({id}, 7, 1, 'Dune', 9)");
        if client.batch_execute(&sql).await.is_err() {
            return;
        }
    }
}

fn ids(calls: &[Call]) -> BTreeSet<i64> {
    calls
        .iter()
        .map(|call| call.data()["id"].as_i64().unwrap())
        .collect()
}

async fn until_copied(standby: &Cluster, database: &Database) {
    let client = connect(&standby.url("postgres")).await;
    let copied =
        "select from pg_replication_slots where slot_name = $1 and synced and not temporary";
    until_within(DEADLINE, "the standby has a copy of the slot", async || {
        let rows = client.query(copied, &[&database.name]).await.unwrap();
        !rows.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_goes_on_with_the_slot_and_nothing_is_lost_told_as_lost_or_made_up() {
    let awaiting = ["synchronized_standby_slots=standby_1"];
    let mut primary = cluster_of(17, &awaiting);
    let standby = standby_of(&primary, "standby_1", &COPYING);
    let mut database = Database::on(&primary).await;
    database.sql(BOOKSTORE).await;
    let config = on_either(&database, &primary, &standby);
    let mut rowhook_runs = Rowhook::start(&config);
    rowhook_runs.until_log("attached").await;
    let (well, ill) = (
        Receiver::start().await,
        Receiver::answering(|_, _| 503).await,
    );
    let alarm = Receiver::start().await;
    for url in [well.url(), ill.url()] {
        database.hook(Some("7"), "book.added", &url).await;
    }
    database.hook(None, "rowhook.gap", &alarm.url()).await;
    let writer = tokio::spawn(write_until_it_fails(database.url.clone(), 1));
    until_copied(&standby, &database).await;
    well.expect(100).await;
    let check = rowhook(&config, &["check"]);
    assert!(
        check.out.contains("a promoted standby goes on with it"),
        "{}",
        check.out
    );

    primary.stop(Stop::Immediate).unwrap();
    writer.await.unwrap();
    database.url = standby.url(&database.name);
    database.client = connect(&database.url).await;
    assert_eq!(database.ask("select pg_promote()").await, "t");

    database
        .sql("insert into book values (1000000, 7, 1, 'Emma', 9)")
        .await;
    ill.answer(|_, _| 200);
    let last = |calls: &[Call]| calls.iter().any(|call| call.data()["id"] == 1_000_000);
    well.until("the book of the new primary", last).await;
    database.until_all_has_arrived().await;
    let committed: BTreeSet<i64> = serde_json::from_str(
        &database
            .ask("select json_agg(id order by id) from book")
            .await,
    )
    .unwrap();
    for receiver in [&well, &ill] {
        assert_eq!(ids(&receiver.calls()), committed);
    }
    assert!(alarm.calls().is_empty(), "{:#?}", alarm.calls());
    drop(rowhook_runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_not_copied_is_altered_so_that_it_is_and_check_says_what_is_missing() {
    let primary = cluster_of(17, &[]);
    let standby = standby_of(&primary, "standby_1", &[]);
    let database = Database::on(&primary).await;
    database.sql(BOOKSTORE).await;
    let slot = format!(
        "select failover from pg_replication_slots where slot_name = '{}'",
        database.name
    );
    let without = database
        .config(BOOK_EVENTS)
        .replace("[delivery]", "failover = false\n[delivery]");
    assert_eq!(rowhook(&without, &["setup"]).code, 0);
    assert_eq!(database.ask(&slot).await, "f");

    let config = database.config(BOOK_EVENTS);
    let set_up = rowhook(&config, &["setup"]);

    assert!(set_up.out.contains("copied by standbys"), "{}", set_up.out);
    assert_eq!(database.ask(&slot).await, "t");
    let check = rowhook(&config, &["check"]);
    for missing in [
        "does not wait for standby_1",
        "sync_replication_slots = on",
        "hot_standby_feedback = on",
    ] {
        assert!(check.out.contains(missing), "{missing}: {}", check.out);
    }
    let at_standby = config.replace(&database.url, &standby.url(&database.name));
    let check = rowhook(&at_standby, &["check"]);
    for missing in ["this server is a standby", "sync_replication_slots = on"] {
        assert!(check.out.contains(missing), "{missing}: {}", check.out);
    }
    let (status, log) = Rowhook::start(&at_standby).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("this server is a standby"), "{log}");
}
