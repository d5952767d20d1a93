//! Where the slot does not go on from rowhook's last position, changes are missing. rowhook reports that.

use harness::{BOOK_EVENTS, BOOKSTORE, Database, Gate, Receiver, Rowhook, connect, rowhook};
use rowhook::demo::cluster::{Cluster, Stop};
use serde_json::json;

/// A database with a hook on books and one on `rowhook.gap`. One book has been delivered, and rowhook is stopped.
async fn told_of_one_book(books: &Receiver, alarm: &Receiver) -> Database {
    let database = Database::bookstore().await;
    tell_of_one_book(&database, books, alarm).await;
    database
}

async fn tell_of_one_book(database: &Database, books: &Receiver, alarm: &Receiver) {
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    database.hook(Some("7"), "book.added", &books.url()).await;
    database.hook(None, "rowhook.gap", &alarm.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    books.expect(1).await;
    database.until_all_has_arrived().await;
    assert!(rowhook.stop().success());
    // The server may take a moment to notice that its client is gone.
    let free = format!(
        "select not active from pg_replication_slots where slot_name = '{}'",
        database.name
    );
    database.until("the slot is free", &free).await;
}

/// Checks that rowhook stops with this message, sends `rowhook.gap` once, and goes on once the gap is accepted.
async fn it_stops_and_goes_on_when_told(
    database: &Database,
    books: &Receiver,
    alarm: &Receiver,
    word: &str,
    cause: &str,
) {
    let config = database.config(BOOK_EVENTS);
    for _ in 0..2 {
        let (status, log) = Rowhook::start(&config).wait();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(word) && log.contains("--accept-gap"), "{log}");
    }
    let calls = alarm.expect(1).await;
    assert_eq!(calls.len(), 1, "told once");
    calls[0].verify();
    assert_eq!(calls[0].data()["cause"], json!(cause));

    let refused = rowhook(&config, &["setup"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains(word), "{}", refused.err);
    let check = rowhook(&config, &["check"]);
    assert!(check.code == 1 && check.out.contains(word), "{}", check.out);

    let accepted = rowhook(&config, &["setup", "--accept-gap"]);
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    assert!(accepted.out.contains(word), "{}", accepted.out);
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .sql("insert into book values (3, 7, 1, 'Emma', 9)")
        .await;
    let calls = books.expect(2).await;
    assert_eq!(
        calls[1].data()["id"],
        json!(3),
        "what was in the gap is lost"
    );
    database.until_all_has_arrived().await;
    assert_eq!(alarm.calls().len(), 1, "{:#?}", alarm.calls());
}

// Two threads, so that the receiver answers while the test waits for a process to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_dropped_is_not_replaced_in_silence() {
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let database = told_of_one_book(&books, &alarm).await;
    database
        .sql(&format!(
            "select pg_drop_replication_slot('{}')",
            database.name
        ))
        .await;
    database
        .sql("insert into book values (2, 7, 1, 'never heard', 9)")
        .await;
    it_stops_and_goes_on_when_told(&database, &books, &alarm, "is gone", "slot_dropped").await;
}

// Two threads, so that the receiver answers while the test waits for a process to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_made_again_is_noticed() {
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let database = told_of_one_book(&books, &alarm).await;
    database
        .sql("insert into book values (2, 7, 1, 'never heard', 9)")
        .await;
    database
        .sql(&format!(
            "select pg_drop_replication_slot('{0}'); select pg_create_logical_replication_slot('{0}', 'pgoutput')",
            database.name
        ))
        .await;
    it_stops_and_goes_on_when_told(
        &database,
        &books,
        &alarm,
        "behind our back",
        "slot_advanced",
    )
    .await;
}

// Two threads, so that the receiver answers while the test waits for a process to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_advanced_is_noticed() {
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let database = told_of_one_book(&books, &alarm).await;
    database
        .sql("insert into book values (2, 7, 1, 'never heard', 9)")
        .await;
    database
        .sql(&format!(
            "select pg_replication_slot_advance('{}', pg_current_wal_lsn())",
            database.name
        ))
        .await;
    it_stops_and_goes_on_when_told(
        &database,
        &books,
        &alarm,
        "behind our back",
        "slot_advanced",
    )
    .await;
}

// Two threads, so that the receiver answers while the test waits for a process to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_vanishes_while_rowhook_runs_stops_it() {
    let database = Database::bookstore().await;
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .until(
            "where rowhook is has been noted",
            "select count(*) = 1 from rowhook.progress",
        )
        .await;
    database
        .sql(&format!(
            "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots where slot_name = '{0}';
             select pg_drop_replication_slot('{0}')",
            database.name
        ))
        .await;
    let (status, log) = rowhook.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("is gone"), "{log}");
}

/// A database on a promoted standby, with the slot or without it. One book was delivered before, and one was not.
async fn promoted(
    cluster: &mut Cluster,
    books: &Receiver,
    alarm: &Receiver,
    with_slot: bool,
) -> Database {
    let mut database = Database::on(cluster).await;
    database.sql(BOOKSTORE).await;
    tell_of_one_book(&database, books, alarm).await;
    database
        .sql("insert into book values (2, 7, 1, 'Persuasion', 9)")
        .await;
    cluster.stop(Stop::Fast).unwrap();
    if !with_slot {
        let slot = cluster.data().join("pg_replslot").join(&database.name);
        std::fs::remove_dir_all(slot).unwrap();
    }
    std::fs::write(cluster.data().join("standby.signal"), "").unwrap();
    cluster.start_again().unwrap();
    database.client = connect(&database.url).await;
    assert_eq!(database.ask("select pg_promote()").await, "t");
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_without_the_slot_is_told_as_such() {
    let mut cluster = Cluster::start(&[]).unwrap();
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let database = promoted(&mut cluster, &books, &alarm, false).await;
    it_stops_and_goes_on_when_told(
        &database,
        &books,
        &alarm,
        "a standby was promoted",
        "new_timeline",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_with_the_slot_goes_on() {
    let mut cluster = Cluster::start(&[]).unwrap();
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let database = promoted(&mut cluster, &books, &alarm, true).await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    books.expect(2).await;
    database.until_all_has_arrived().await;
    assert!(alarm.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_wal_is_warned_of_before_it_comes() {
    let cluster = Cluster::start(&["max_slot_wal_keep_size=64MB"]).unwrap();
    let database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let gate = Gate::closed().await;
    let mut rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n[[hooks]]\nname = \"stuck\"\nevents = [\"*\"]\ntarget = \"{}\"\ntimeout = \"10m\"\n",
            gate.url()
        ))
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    // 40 MB of the 64 MB that are kept.
    for _ in 0..40 {
        database
            .sql("select pg_logical_emit_message(false, 'filler', repeat('-', 1000000))")
            .await;
    }
    rowhook.until_log("raise max_slot_wal_keep_size").await;
    gate.open();
    rowhook.until_log("the slot is out of danger").await;
    database.until_all_has_arrived().await;
}

#[tokio::test]
async fn a_reconnect_confirms_nothing_that_is_not_noted() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let mut rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database.until_all_is_confirmed().await;
    // The next position is settled, but it cannot be written down.
    let mut other = connect(&database.url).await;
    let lock = other.transaction().await.unwrap();
    lock.batch_execute("lock table rowhook.progress in share mode")
        .await
        .unwrap();
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    database
        .sql(&format!(
            "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots where slot_name = '{}'",
            database.name
        ))
        .await;
    rowhook.until_log("not attached").await;
    let attached = format!(
        "select count(*) = 1 from pg_replication_slots where slot_name = '{}' and active",
        database.name
    );
    database.until("it is attached again", &attached).await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    receiver.expect(2).await;
    rowhook.kill();
    lock.rollback().await.unwrap();
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.until_all_has_arrived().await;
}

// Two threads, so that the receiver answers while the test waits for a process to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_made_again_on_a_promoted_standby_is_told() {
    let mut cluster = Cluster::start(&[]).unwrap();
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let database = promoted(&mut cluster, &books, &alarm, false).await;
    database
        .until("it is the primary", "select not pg_is_in_recovery()")
        .await;
    database
        .sql(&format!(
            "select pg_create_logical_replication_slot('{}', 'pgoutput')",
            database.name
        ))
        .await;
    it_stops_and_goes_on_when_told(
        &database,
        &books,
        &alarm,
        "made there anew or moved",
        "new_timeline",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_rowhook_tells_every_time_of_the_gap_that_it_finds() {
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let database = told_of_one_book(&books, &alarm).await;
    let config = database.config(BOOK_EVENTS);
    let end_reader = format!(
        "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots where slot_name = '{}'",
        database.name
    );
    let drop = format!("select pg_drop_replication_slot('{}')", database.name);
    let make = format!(
        "select pg_create_logical_replication_slot('{}', 'pgoutput')",
        database.name
    );
    for round in 1_usize..=6 {
        let rowhook = database.rowhook(BOOK_EVENTS).await;
        let id = round * 100;
        let more = format!(
            "insert into book select {id} + n, 7, 1, 'Dune', 9 from generate_series(1, 20) as n"
        );
        database.sql(&more).await;
        books.expect(1 + round * 20).await;
        // Behind a commit that may not be noted yet. In every second round there is another slot at once.
        let again = if round % 2 == 0 { make.as_str() } else { "" };
        database
            .sql(&format!("insert into shelf values ({id}, 7)"))
            .await;
        database.sql(&format!("{end_reader}; {drop}")).await;
        database.sql(again).await;
        let (status, log) = tokio::task::spawn_blocking(|| rowhook.wait())
            .await
            .unwrap();
        assert_eq!(status.code(), Some(1), "{log}");
        assert_eq!(alarm.calls().len(), round, "{log}");
        let accepted = harness::rowhook(&config, &["setup", "--accept-gap"]);
        assert_eq!(accepted.code, 0, "{}", accepted.err);
    }
    database.rowhook(BOOK_EVENTS).await.stop();
    assert_eq!(alarm.calls().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_hooks_cannot_be_told_of_now_is_parked_for_them() {
    let books = Receiver::start().await;
    let alarm = Receiver::answering(|_, _| 503).await;
    let database = told_of_one_book(&books, &alarm).await;
    database
        .sql(&format!(
            "select pg_drop_replication_slot('{}')",
            database.name
        ))
        .await;
    let config = database.config(BOOK_EVENTS);
    let (status, log) = Rowhook::start(&config).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    let first = alarm.expect(1).await.remove(0);
    let accepted = harness::rowhook(&config, &["setup", "--accept-gap"]);
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    alarm.answer(|_, _| 200);
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let arrived = |calls: &[harness::Call]| calls.iter().any(|call| call.status == 200);
    let calls = alarm.until("the gap has been told", arrived).await;
    for call in &calls {
        assert_eq!(call.headers["webhook-id"], first.headers["webhook-id"]);
    }
    database.until_all_has_arrived().await;
}

/// Checks that this slot, which Postgres gives up while rowhook is stopped, is warned of before, and a gap afterwards.
async fn a_slot_is_given_up(cluster: &Cluster, warning: &str, filler: &str, word: &str) {
    let (books, alarm) = (Receiver::start().await, Receiver::start().await);
    let database = Database::on(cluster).await;
    database.sql(BOOKSTORE).await;
    tell_of_one_book(&database, &books, &alarm).await;
    let check = harness::rowhook(&database.config(BOOK_EVENTS), &["check"]);
    assert!(check.out.contains(warning), "{}", check.out);
    let lost = format!(
        "select wal_status = 'lost' from pg_replication_slots where slot_name = '{}'",
        database.name
    );
    harness::until_within(harness::DEADLINE, "the slot is given up", async || {
        database.sql(filler).await;
        database.sql("checkpoint").await;
        database.ask(&lost).await == "t"
    })
    .await;
    it_stops_and_goes_on_when_told(&database, &books, &alarm, word, "slot_invalidated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_keeps_too_much_wal_is_warned_of_before_and_a_gap_afterwards() {
    let cluster = Cluster::start(&["max_slot_wal_keep_size=16MB"]).unwrap();
    let filler = "select count(pg_logical_emit_message(false, 'filler', repeat('-', 1000000))) from generate_series(1, 20)";
    let warning =
        "max_slot_wal_keep_size is 16MB: when the slot is further behind, its events are lost";
    a_slot_is_given_up(&cluster, warning, filler, "has invalidated the slot").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_nobody_reads_for_too_long_is_warned_of_before_and_a_gap_afterwards() {
    let cluster = harness::cluster_of(18, &["idle_replication_slot_timeout=1"]);
    let warning = "idle_replication_slot_timeout is 1 s: when rowhook has not run for so long";
    a_slot_is_given_up(&cluster, warning, "select 1", "(idle_timeout)").await;
}
