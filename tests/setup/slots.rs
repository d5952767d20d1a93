//! Slots that have our name and are not ours, or are not as we need them; and events that a partition's root takes.

use rowhook::{
    config::Action,
    setup::{LockPolicy, accept_gap, check::Level, teardown::teardown},
};

use crate::{
    bookstore::{
        BOOKSTORE, Build, CLUSTER, bookstore, config, connect, findings, new_database, refused,
        set_up,
    },
    queries::texts,
};

#[tokio::test]
async fn a_slot_of_another_database_is_left_alone_and_named() {
    let (first, ours) = bookstore().await;
    set_up(&ours).await;
    let slot = &ours.database.slot;
    let name = new_database(&CLUSTER, "second").await;
    let second = connect(&CLUSTER.url(&name)).await;
    second.batch_execute(BOOKSTORE).await.unwrap();
    let theirs = config(&CLUSTER.url(&name), slot).event("book.added", "book", Action::Created);

    let told = format!(
        "the slot {slot} belongs to the database {slot}; set [database] slot to a name that is free"
    );
    assert_eq!(refused(&theirs).await, told);
    let found = findings(&theirs, Level::Warn).await;
    assert_eq!(found, [format!("Fatal {}", told.replace(slot, "DATABASE"))]);
    // Even where we have been on a slot of this name before.
    let mut own = theirs.clone();
    own.database.slot = name.clone();
    set_up(&own).await;
    second
        .batch_execute(&format!(
            "insert into rowhook.progress (slot, system_identifier, timeline, confirmed)
            select '{slot}', system_identifier::text, 1, '0/1' from pg_control_system()"
        ))
        .await
        .unwrap();
    assert_eq!(refused(&theirs).await, told);
    let accepted = accept_gap(&theirs, LockPolicy::default(), &|_| {}).await;
    assert_eq!(accepted.unwrap(), None);

    let done = teardown(&theirs, LockPolicy::default()).await.unwrap();

    assert_eq!(
        done[0],
        format!("left the slot {slot}, which belongs to the database {slot}")
    );
    let there =
        format!("select slot_name::text from pg_replication_slots where slot_name = '{slot}'");
    assert_eq!(texts(&first, &there).await, [slot.as_str()]);
    for config in [&own, &ours] {
        teardown(config, LockPolicy::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_slot_with_prepared_transactions_is_refused_before_it_is_read() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    let slot = &config.database.slot;
    client
        .batch_execute(&format!(
            "delete from rowhook.progress;
            select pg_drop_replication_slot('{slot}')"
        ))
        .await
        .unwrap();
    client
        .batch_execute(&format!(
            "select pg_create_logical_replication_slot('{slot}', 'pgoutput', false, true)"
        ))
        .await
        .unwrap();

    let told = format!(
        "the slot {slot} has two_phase, and its stream prepared transactions that may never be committed; \
        set [database] slot to a name that is free; or run rowhook teardown and rowhook setup, and send what is missing with rowhook backfill"
    );
    assert_eq!(refused(&config).await, told);
    assert_eq!(
        findings(&config, Level::Fatal).await,
        [format!("Fatal {}", told.replace(slot, "DATABASE"))]
    );
    teardown(&config, LockPolicy::default()).await.unwrap();
}

#[tokio::test]
async fn an_event_on_a_partition_never_happens_where_its_root_has_one() {
    let (client, config) = bookstore().await;
    client
        .batch_execute(
            "create table loan (id int, year int, primary key (id, year)) partition by list (year);
            create table loan_2025 partition of loan for values in (2025)",
        )
        .await
        .unwrap();
    let alone = config
        .clone()
        .event("loan.of_2025", "loan_2025", Action::Created)
        .rules("loan_2025", |_| {});
    let about = |found: &[String]| {
        found
            .iter()
            .filter(|line| line.contains("never happens"))
            .count()
    };
    assert_eq!(about(&findings(&alone, Level::Warn).await), 0);

    let both = alone.event("loan.made", "loan", Action::Created);
    let found = findings(&both, Level::Warn).await;
    assert!(
        found.contains(
            &"Warn 4:1 loan.of_2025 never happens: an event is on loan, and changes of its partition loan_2025 come as those of loan; put loan.of_2025 on loan, with a when that tells its rows from others".to_owned()
        ),
        "{found:#?}"
    );
}
