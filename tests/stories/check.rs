//! `rowhook check` on databases with much to find, and on one whose slot is still being made.

use harness::{Cluster, DEADLINE, Database, Running, connect, rowhook, until_within};
use serde_json::Value;

#[tokio::test]
async fn what_is_found_fits_on_a_screen_with_the_worst_first_and_the_sum_last() {
    let database = Database::new().await;
    let mut events = String::from("[events]\n");
    for number in 0..200 {
        database
            .sql(&format!(
                "create table t{number} (id int {})",
                if number % 2 == 0 { "primary key" } else { "" }
            ))
            .await;
        for (event, action) in [
            ("added", "created"),
            ("changed", "updated"),
            ("removed", "deleted"),
        ] {
            events.push_str(&format!("\"t{number}.{event}\" = \"t{number}.{action}\"\n"));
        }
    }
    let config = database.config(&events);

    let check = rowhook(&config, &["check"]);

    assert_eq!(check.code, 0, "{}", check.err);
    let lines: Vec<&str> = check.out.lines().collect();
    assert!(lines.len() <= 40, "{}", check.out);
    assert!(
        lines.iter().all(|line| line.chars().count() <= 560),
        "{}",
        check.out
    );
    let told = |part: &str| assert!(check.out.contains(part), "{part}\n{}", check.out);
    told(
        "200 tables have rows without an owner, so their events reach only hooks without an owner: t0, t1, t2, t3, t4 and 195 more",
    );
    told("200 events never happen: their tables have no replica identity: t1.changed, t1.removed");
    told(
        "100 tables have no replica identity: only their inserts are heard: t1, t3, t5, t7, t9 and 95 more",
    );
    told("things are not set up yet: ");
    assert!(lines[0].starts_with("warn "), "{}", check.out);
    let sum = lines.last().unwrap();
    assert!(sum.starts_with("0 fatal, 600 warnings, "), "{sum}");
    assert!(
        sum.ends_with("; each by itself: rowhook check --verbose"),
        "{sum}"
    );

    let all = rowhook(&config, &["check", "--verbose"]).out;
    assert!(
        all.contains("rows of t199 have no owner, so t199.added reaches only"),
        "{all}"
    );
    let json: Value = serde_json::from_str(&rowhook(&config, &["check", "--json"]).out).unwrap();
    let warnings = json.as_array().unwrap().iter();
    assert_eq!(
        warnings
            .filter(|finding| finding["level"] == "warn")
            .count(),
        600
    );
}

#[tokio::test]
async fn what_is_fatal_is_told_before_anything_else() {
    let database = Database::bookstore().await;
    let config = database
        .config("[events]\n\"book.added\" = \"book.created\"\n\"bok.added\" = \"bok.created\"\n");
    let check = rowhook(&config, &["check"]);
    assert_eq!(check.code, 1);
    let first = check.out.lines().next().unwrap();
    assert!(
        first.starts_with("fatal setup: there is no table bok"),
        "{}",
        check.out
    );
    assert!(
        check.out.lines().last().unwrap().starts_with("1 fatal, "),
        "{}",
        check.out
    );
    assert_eq!(check.err.trim(), "rowhook: one finding is fatal");
}

#[tokio::test]
async fn an_error_of_setup_and_of_run_is_told_once_with_the_place_in_the_file() {
    let database = Database::bookstore().await;
    let config = database.config("[events]\n\"bok.added\" = \"bok.created\"\n");
    let line = config
        .lines()
        .position(|line| line.contains("bok.added"))
        .unwrap()
        + 1;
    for command in ["setup", "run"] {
        let ended = rowhook(&config, &[command]);
        assert_eq!(ended.code, 1);
        let place = format!(
            "hooks.toml:{line}:1: there is no table bok in {}",
            database.name
        );
        assert_eq!(
            ended.err.matches(&place).count(),
            1,
            "{command}: {}",
            ended.err
        );
        assert_eq!(
            ended.err.matches("there is no table bok").count(),
            1,
            "{command}: {}",
            ended.err
        );
    }
}

#[tokio::test]
async fn a_slot_that_is_being_made_is_not_well_and_whom_it_waits_for_is_told() {
    // A cluster of its own, because a transaction that is left open holds up the slots of everybody.
    let cluster = Cluster::start(&[]).unwrap();
    let database = Database::on(&cluster).await;
    database
        .sql("create table book (id int primary key, user_id int)")
        .await;
    let config = database.config("[events]\n\"book.added\" = \"book.created\"\n");
    let other = connect(&cluster.url("postgres")).await;
    other
        .batch_execute("create table work (id int); begin; insert into work values (1)")
        .await
        .unwrap();
    let pid: i32 = other
        .query_one("select pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);

    let setting_up = Running::start(&config, &["setup"]);
    let making = format!(
        "select exists (select from pg_replication_slots where slot_name = '{}' and confirmed_flush_lsn is null)",
        database.name
    );
    database.until("the slot is being made", &making).await;

    let check = rowhook(&config, &["check"]).out;
    let told = format!(
        "the slot {} is still being made, and changes are not heard before it is done: it waits for pid {pid} (",
        database.name
    );
    assert!(check.contains(&told), "{check}");
    assert!(
        check.contains("idle in transaction) to commit or roll back"),
        "{check}"
    );
    assert!(
        !check.contains("everything is set up") && !check.contains("0 bytes behind"),
        "{check}"
    );
    let status = rowhook(&config, &["status"]).out;
    assert!(status.contains(&format!("the slot is being made, and nothing is heard before it is done; it waits for pid {pid} (")), "{status}");
    let json: Value = serde_json::from_str(&rowhook(&config, &["status", "--json"]).out).unwrap();
    assert_eq!(json["slot"]["attached"], false);
    assert_eq!(json["slot"]["being_made"], true);
    assert_eq!(json["slot"]["waits_for"].as_array().unwrap().len(), 1);

    other.batch_execute("commit").await.unwrap();
    until_within(DEADLINE, "the slot is made", async || {
        rowhook(&config, &["check"])
            .out
            .contains("everything is set up")
    })
    .await;
    let json: Value = serde_json::from_str(&rowhook(&config, &["status", "--json"]).out).unwrap();
    assert_eq!(json["slot"]["being_made"], false);
    drop(setting_up);
}
