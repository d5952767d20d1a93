//! Every mistake is reported in one line, which says how to correct it.

use harness::{BOOK_EVENTS, BOOKSTORE, Database, connect, rowhook};
use rowhook::demo::cluster::Cluster;

#[tokio::test]
async fn a_wrong_file_ends_with_64_and_all_mistakes_before_anything_is_opened() {
    let ended = rowhook(
        "[database]\nurl = \"postgresql://nobody@127.0.0.1:1/x\"\nslot = \"Bad Slot\"\n[events]\n\"book.added\" = \"book.create\"\n\"book.*\" = \"book.created\"\n",
        &["run"],
    );
    assert_eq!(ended.code, 64, "{}", ended.err);
    let lines: Vec<&str> = ended.err.lines().collect();
    assert!(
        lines.iter().any(|line| line.contains("hooks.toml:3:8")),
        "{}",
        ended.err
    );
    assert!(
        lines.iter().any(|line| line.contains("hooks.toml:6:1")),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("connect"), "{}", ended.err);
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let ended = rowhook("", &["--config", "elsewhere.toml", "run"]);
    assert_eq!(ended.code, 64);
    assert!(ended.err.contains("elsewhere.toml"), "{}", ended.err);
}

#[tokio::test]
async fn a_missing_table_or_column_is_named_with_the_nearest() {
    let database = Database::bookstore().await;
    let ended = rowhook(
        &database.config("[events]\n\"book.added\" = \"bok.created\""),
        &["run"],
    );
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains("bok") && ended.err.contains("book"),
        "{}",
        ended.err
    );
    let ended = rowhook(
        &database.config(
            "[events]\n\"book.added\" = \"book.created\"\n[tables.book]\nowner = \"usr_id\"",
        ),
        &["check"],
    );
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(
        ended.out.contains("usr_id") && ended.out.contains("user_id"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn a_database_that_cannot_be_attached_to_says_why() {
    let cluster = Cluster::start(&["wal_level=replica"]).unwrap();
    let database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let ended = rowhook(&database.config(BOOK_EVENTS), &["run"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("wal_level"), "{}", ended.err);
}

#[tokio::test]
async fn a_role_without_replication_is_told_what_it_lacks() {
    let database = Database::bookstore().await;
    database.sql(&format!("create role plain_{0} login; grant all on database {0} to plain_{0}; grant all on all tables in schema public to plain_{0}", database.name)).await;
    let config = database
        .config(BOOK_EVENTS)
        .replace("postgres@", &format!("plain_{}@", database.name));
    let ended = rowhook(&config, &["run"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(
        ended.err.contains("replication") || ended.err.contains("REPLICATION"),
        "{}",
        ended.err
    );
    assert_eq!(
        ended
            .err
            .lines()
            .filter(|line| line.contains("rowhook:"))
            .count(),
        1,
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn a_slot_of_somebody_else_is_left_alone() {
    let database = Database::bookstore().await;
    database
        .sql(&format!(
            "select pg_create_physical_replication_slot('{}')",
            database.name
        ))
        .await;
    let ended = rowhook(&database.config(BOOK_EVENTS), &["run"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains(&database.name), "{}", ended.err);
}

#[tokio::test]
async fn setup_prints_what_it_would_do_and_teardown_leaves_no_trace() {
    let database = Database::bookstore().await;
    let config = database.config(BOOK_EVENTS);
    let trace = "select (select count(*) from pg_publication) + (select count(*) from pg_namespace where nspname = 'rowhook')
        + (select count(*) from pg_replication_slots where database = current_database())";
    let printed = rowhook(&config, &["setup", "--print"]);
    assert_eq!(printed.code, 0, "{}", printed.err);
    assert!(
        printed.out.contains("create publication"),
        "{}",
        printed.out
    );
    assert_eq!(database.ask(trace).await, "0");
    assert_eq!(rowhook(&config, &["setup"]).code, 0);
    assert_ne!(database.ask(trace).await, "0");
    let again = rowhook(&config, &["setup"]);
    assert_eq!(again.code, 0, "{}", again.err);
    let refused = rowhook(&config, &["teardown"]);
    assert_eq!(
        refused.code, 1,
        "nobody said yes: {}{}",
        refused.out, refused.err
    );
    let ended = rowhook(&config, &["teardown", "--yes"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(database.ask(trace).await, "0");
}

#[tokio::test]
async fn a_doctor_finds_nothing_wrong_where_nothing_is() {
    let database = Database::bookstore().await;
    database.sql("alter table book replica identity full").await;
    let config = database.config(BOOK_EVENTS);
    assert_eq!(rowhook(&config, &["setup"]).code, 0);
    let ended = rowhook(&config, &["check"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let json = rowhook(&config, &["check", "--json"]);
    let findings: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert!(!findings.as_array().unwrap().is_empty());
}

#[tokio::test]
async fn no_setup_needs_a_slot_that_is_there() {
    let database = Database::bookstore().await;
    let ended = rowhook(&database.config(BOOK_EVENTS), &["run", "--no-setup"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("setup"), "{}", ended.err);
    drop(connect(&database.url).await);
}

#[tokio::test]
async fn a_column_that_was_dropped_is_named() {
    let database = Database::bookstore().await;
    let config = database.config("[events]\n\"book.cheaper\" = { on = \"book.updated\", changed = [\"price\"], when = \"new.price < 5\" }");
    assert_eq!(rowhook(&config, &["setup"]).code, 0);
    database.sql("alter table book drop column price").await;
    let ended = rowhook(&config, &["check"]);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    let told: Vec<&str> = ended
        .out
        .lines()
        .filter(|line| line.starts_with("fatal") && line.contains("price"))
        .collect();
    // One for `changed`, and one for `when`.
    assert_eq!(told.len(), 2, "{}", ended.out);
    let ended = rowhook(&config, &["run"]);
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("price"), "{}", ended.err);
}
