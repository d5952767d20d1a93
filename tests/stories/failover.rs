//! A standby is promoted while rowhook runs. From Postgres 17 on it has a copy of the slot.

use std::{collections::BTreeMap, time::Duration};

use harness::{
    BOOK_EVENTS, BOOKSTORE, Call, Cluster, DEADLINE, Database, Receiver, Rowhook, Stop, cluster_of,
    connect, follow, rowhook, standby_of, until_within,
};
use tokio::time::MissedTickBehavior;

/// The settings of a pair of servers, of which one is the primary. As a standby it copies slots; as the primary it lets
/// the stream wait for the other.
const PAIR: [&str; 3] = [
    "sync_replication_slots=on",
    "hot_standby_feedback=on",
    "synchronized_standby_slots=standby",
];

/// How many standbys are promoted: PROMOTIONS, or one, and one back.
fn promotions() -> usize {
    std::env::var("PROMOTIONS").map_or(2, |number| number.parse().unwrap())
}

/// hooks.toml for a database that is on either of two servers. What an endpoint does not take is tried for long.
fn on_either(database: &Database, one: &Cluster, other: &Cluster) -> String {
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", one.port(), other.port());
    let url = format!(
        "postgresql://postgres@{hosts}/{}?sslmode=disable&target_session_attrs=read-write",
        database.name
    );
    let config = database.config(BOOK_EVENTS).replace(&database.url, &url);
    let retries = vec!["\"1s\""; 2000].join(", ");
    let lines = config.lines().map(|line| match line {
        line if line.starts_with("retries") => format!("retries = [{retries}]"),
        line => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Inserts a book twenty times a second at `url` from `first` on, and gives each two other prices, until that fails.
/// Returns the id of the next. It is paced because the story is about the servers' change of roles: as fast as one can,
/// a slow machine writes for as long as the standby takes, and has minutes of deliveries left at the end.
async fn write_until_it_fails(url: String, first: i64) -> i64 {
    let client = connect(&url).await;
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for id in first.. {
        pace.tick().await;
        for sql in [
            format!("insert into book values ({id}, 7, 1, 'Dune', 0)"),
            format!("update book set price = 1 where id = {id}"),
            format!("update book set price = 2 where id = {id}"),
        ] {
            if client.batch_execute(&sql).await.is_err() {
                return id + 1;
            }
        }
    }
    first
}

/// The prices of each book, in the order in which they came first.
fn prices(calls: &[Call]) -> BTreeMap<i64, Vec<i64>> {
    let mut prices: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for call in calls {
        let data = call.data();
        let price = data["price"].as_f64().unwrap() as i64;
        let of_book = prices.entry(data["id"].as_i64().unwrap()).or_default();
        if !of_book.contains(&price) {
            of_book.push(price);
        }
    }
    prices
}

/// Waits for as long as less and less is parked. After many promotions, that takes minutes.
async fn until_nothing_is_parked(database: &Database) {
    let parked = "select count(*) from rowhook.delivery where state = 'parked'";
    let count = async || database.ask(parked).await.parse::<u64>().unwrap();
    let mut left = count().await;
    while left > 0 {
        let fact = format!("less than {left} are parked");
        until_within(DEADLINE, &fact, async || count().await < left).await;
        left = count().await;
    }
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
async fn promoted_standbys_go_on_with_the_slot_and_nothing_is_lost_reordered_or_told_as_lost() {
    let mut primary = cluster_of(17, &PAIR);
    let mut database = Database::on(&primary).await;
    let mut standby = standby_of(&primary, "standby", &PAIR);
    database.sql(BOOKSTORE).await;
    let config = on_either(&database, &primary, &standby);
    let mut running = Rowhook::start(&config);
    running.until_log("attached slot=").await;
    let (well, ill) = (
        Receiver::start().await,
        Receiver::answering(|_, _| 503).await,
    );
    let alarm = Receiver::start().await;
    for url in [well.url(), ill.url()] {
        database.hook(Some("7"), "book.*", &url).await;
    }
    database.hook(None, "rowhook.gap", &alarm.url()).await;
    let mut next = 1;
    for _ in 0..promotions() {
        let before = well.calls().len();
        let writer = tokio::spawn(write_until_it_fails(database.url.clone(), next));
        until_copied(&standby, &database).await;
        well.expect(before + 60).await;
        let check = rowhook(&config, &["check"]);
        let fine = "a promoted standby goes on with it";
        assert!(check.out.contains(fine), "{}", check.out);

        primary.stop(Stop::Immediate).unwrap();
        next = writer.await.unwrap();
        database.url = standby.url(&database.name);
        database.client = connect(&database.url).await;
        assert_eq!(database.ask("select pg_promote()").await, "t");
        std::mem::swap(&mut primary, &mut standby);
        follow(&mut standby, &primary, "standby");
    }
    let last = format!("insert into book values ({next}, 7, 1, 'Emma', 0)");
    database.sql(&last).await;
    ill.answer(|_, _| 200);
    // Looked for as text: it is asked at every call, and reading thousands of bodies each time takes minutes.
    let has_come = |calls: &[Call]| {
        let is_last = |call: &Call| String::from_utf8_lossy(&call.body).contains("Emma");
        calls.iter().rev().any(is_last)
    };
    well.until("the last book", has_come).await;
    database.until_all_is_confirmed().await;
    until_nothing_is_parked(&database).await;
    let books = "select json_object_agg(id, price) from book";
    let books: BTreeMap<i64, f64> = serde_json::from_str(&database.ask(books).await).unwrap();
    let committed: BTreeMap<i64, Vec<i64>> = books
        .into_iter()
        .map(|(id, price)| (id, (0..=price as i64).collect()))
        .collect();
    let arrived = ill.calls().into_iter().filter(|call| call.status == 200);
    assert_eq!(prices(&arrived.collect::<Vec<_>>()), committed);
    assert_eq!(prices(&well.calls()), committed);
    assert!(alarm.calls().is_empty(), "{:#?}", alarm.calls());
    drop(running);
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
    until_replayed(&standby, &database).await;
    let at_standby = config.replace(&database.url, &standby.url(&database.name));
    let check = rowhook(&at_standby, &["check"]);
    for missing in ["this server is a standby", "sync_replication_slots = on"] {
        assert!(check.out.contains(missing), "{missing}: {}", check.out);
    }
    let (status, log) = Rowhook::start(&at_standby).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("this server is a standby"), "{log}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_slot_that_a_tool_keeps_on_a_standby_is_read_on() {
    let mut primary = cluster_of(16, &[]);
    let standby = standby_of(&primary, "standby", &["hot_standby_feedback=on"]);
    let mut database = Database::on(&primary).await;
    database.sql(BOOKSTORE).await;
    let mut running = Rowhook::start(&on_either(&database, &primary, &standby));
    running.until_log("attached slot=").await;
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    database.hook(Some("7"), "book.added", &books.url()).await;
    database.hook(None, "rowhook.gap", &alarm.url()).await;
    // The tool makes a slot, for which the standby has to hear which transactions run.
    until_replayed(&standby, &database).await;
    let there = connect(&standby.url(&database.name)).await;
    let make = format!(
        "select pg_create_logical_replication_slot('{}', 'pgoutput')",
        database.name
    );
    let making = tokio::spawn(async move {
        there.batch_execute(&make).await.unwrap();
        there
    });
    until_within(DEADLINE, "there is a slot on the standby", async || {
        database.sql("select pg_log_standby_snapshot()").await;
        making.is_finished()
    })
    .await;
    let there = making.await.unwrap();
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    books.expect(1).await;
    database.until_all_has_arrived().await;
    until_replayed(&standby, &database).await;
    let stands = format!(
        "select confirmed_flush_lsn from pg_replication_slots where slot_name = '{}'",
        database.name
    );
    let advance = format!(
        "select pg_replication_slot_advance('{}', '{}')",
        database.name,
        database.ask(&stands).await
    );
    there.batch_execute(&advance).await.unwrap();

    primary.stop(Stop::Immediate).unwrap();
    database.url = standby.url(&database.name);
    database.client = connect(&database.url).await;
    assert_eq!(database.ask("select pg_promote()").await, "t");

    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    books
        .until("the book of the new primary", |calls| {
            calls.iter().any(|call| call.data()["id"] == 2)
        })
        .await;
    database.until_all_has_arrived().await;
    assert!(alarm.calls().is_empty(), "{:#?}", alarm.calls());
    drop(running);
}
