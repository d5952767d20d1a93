//! The tables of earlier versions, which this one takes over, and those of later ones, which it leaves alone.
//!
//! `tests/releases` has a dump of each released version, which scripts/dump-release made.

use std::{collections::BTreeSet, fs, path::Path};

use harness::{BOOK_EVENTS, BOOKSTORE, Database, Receiver, Rowhook, rowhook};
use serde_json::json;

const SHAPE: &str = include_str!("../releases/schema.sql");

/// The events of the dumps.
const EVENTS: &str = r#"
[events]
"book.added" = "book.created"
"book.changed" = "book.updated"
"book.removed" = "book.deleted"
"greeting" = "custom"

[tables.book]
identity = "full"
"#;

/// What a later version would do to the tables: add a column, and a table of its own.
const LATER: &str = "
    alter table rowhook.delivery add column later text;
    create table rowhook.later (id bigint);
    insert into rowhook.migration (version, name) values (9999, 'later');
";

/// The released versions, with the statements that make their tables.
fn releases() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/releases");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let dumps = files.filter(|file| file.file_name().unwrap() != "schema.sql");
    let mut dumps: Vec<_> = dumps
        .map(|file| {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(file).unwrap())
        })
        .collect();
    dumps.sort();
    assert!(!dumps.is_empty());
    dumps
}

/// A database with the tables of a release, as it was left when that was stopped.
async fn database_of(dump: &str) -> Database {
    let database = Database::bookstore().await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 8)")
        .await;
    database.sql(dump).await;
    // A dump sets these for its session.
    database.sql("reset all").await;
    database
}

/// Shows only what one of them has and the other has not.
fn assert_same(release: &str, shape: &str, expected: &str) {
    let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) =
        (shape.lines().collect(), expected.lines().collect());
    let (more, less): (Vec<_>, Vec<_>) = (
        ours.difference(&theirs).collect(),
        theirs.difference(&ours).collect(),
    );
    assert!(
        shape == expected,
        "the tables of {release} have {more:#?} and lack {less:#?}"
    );
}

#[tokio::test]
async fn the_tables_of_each_release_become_those_that_an_empty_database_gets() {
    let empty = Database::bookstore().await;
    let made = rowhook(&empty.config(EVENTS), &["setup"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let expected = empty.ask(SHAPE).await;

    for (release, dump) in releases() {
        let database = database_of(&dump).await;
        let config = database.config(EVENTS);

        let printed = rowhook(&config, &["migrate", "--print"]);
        let migrated = rowhook(&config, &["migrate"]);

        assert_eq!(
            (printed.code, migrated.code),
            (0, 0),
            "{release}: {}",
            migrated.err
        );
        assert_same(&release, &database.ask(SHAPE).await, &expected);
        let again = rowhook(&config, &["migrate"]);
        assert_eq!(again.out, "nothing to do\n", "{release}");

        // What is printed does the same.
        let by_hand = database_of(&dump).await;
        let own_lines = printed.out.lines().filter(|line| !line.starts_with("\\"));
        by_hand.sql(&own_lines.collect::<Vec<_>>().join("\n")).await;
        by_hand.sql("reset all").await;
        assert_same(&release, &by_hand.ask(SHAPE).await, &expected);
    }
}

#[tokio::test]
async fn what_an_earlier_release_has_parked_is_delivered_and_its_hooks_go_on() {
    for (release, dump) in releases() {
        let receiver = Receiver::start().await;
        let database = database_of(&dump).await;
        let config = database.config(EVENTS);
        database
            .sql(&format!(
                "update rowhook.hook set target = '{}'",
                receiver.url()
            ))
            .await;
        // The slot stayed in the cluster that the dump is of.
        let accepted = rowhook(&config, &["setup", "--accept-gap"]);
        assert_eq!(accepted.code, 0, "{release}: {}", accepted.err);

        let _rowhook = database.rowhook(EVENTS).await;
        let retried = rowhook(&config, &["deliveries", "retry", "--state", "parked"]);
        assert_eq!(retried.code, 0, "{release}: {}", retried.err);
        let calls = receiver.expect(1).await;
        assert_eq!(calls[0].event(), "book.changed", "{release}");
        database
            .sql("insert into book values (2, 7, 1, 'Persuasion', 9)")
            .await;

        let calls = receiver.expect(2).await;
        assert_eq!(calls[1].data()["id"], json!(2), "{release}");
    }
}

#[tokio::test]
async fn tables_of_a_later_version_stop_this_one_before_it_does_anything() {
    let receiver = Receiver::start().await;
    let database = Database::bookstore().await;
    let config = database.config(BOOK_EVENTS);
    let before = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    assert!(before.stop().success());
    database.sql(LATER).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let (shape, confirmed) = (database.ask(SHAPE).await, confirmed(&database).await);

    for arguments in [
        &["run"][..],
        &["run", "--no-setup"],
        &["setup"],
        &["migrate"],
        &["migrate", "--print"],
    ] {
        let ended = rowhook(&config, arguments);

        assert_eq!(ended.code, 1, "{arguments:?}: {}", ended.err);
        let reason = "were made by a newer rowhook";
        assert!(ended.err.contains(reason), "{arguments:?}: {}", ended.err);
    }

    assert_eq!(database.ask(SHAPE).await, shape);
    assert_eq!(self::confirmed(&database).await, confirmed);
    assert!(receiver.calls().is_empty());
    // Nothing was lost by that: the later version, of which this is all that we have here, delivers it.
    database
        .sql("delete from rowhook.migration where version = 9999")
        .await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    receiver.expect(1).await;
}

#[tokio::test]
async fn while_a_later_version_stands_by_this_one_goes_on_and_then_makes_way() {
    let receiver = Receiver::start().await;
    let database = Database::bookstore().await;
    let config = database.config(BOOK_EVENTS);
    let old = database.rowhook(BOOK_EVENTS).await;
    let mut standing_by = Rowhook::start(&config);
    standing_by.until_log("standing by").await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;

    database.sql(LATER).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    // A session that is lost is opened again: this version knows all that it needs of the tables.
    database
        .sql(&format!(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{}'",
            database.name
        ))
        .await;
    database
        .sql("insert into book values (2, 7, 1, 'Persuasion', 9)")
        .await;
    receiver.expect(2).await;

    // The one that has not begun yet does not begin.
    let (status, log) = standing_by.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("were made by a newer rowhook"), "{log}");
    assert!(old.stop().success());
    assert_eq!(receiver.calls().len(), 2);
}

async fn confirmed(database: &Database) -> String {
    let sql = "select confirmed_flush_lsn from pg_replication_slots where slot_name = ";
    database.ask(&format!("{sql}'{}'", database.name)).await
}

#[test]
fn the_tables_of_the_bookstore_are_those_of_the_dumps() {
    let script = include_str!("../../scripts/dump-release");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(script).contains(&words(BOOKSTORE)));
}
