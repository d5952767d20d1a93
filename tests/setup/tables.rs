//! Which tables are published, and with which replica identity.

use rowhook::config::Action;

use crate::{
    bookstore::{Build, bookstore, set_up},
    queries::published,
};

#[tokio::test]
async fn the_application_can_still_update_a_table_without_identity() {
    let (client, config) = bookstore().await;
    client
        .batch_execute("insert into log values ('a')")
        .await
        .unwrap();

    set_up(&config).await;

    client
        .batch_execute("update log set line = 'b'; delete from log; truncate log")
        .await
        .unwrap();
}

#[tokio::test]
async fn tables_follow_their_identity_and_the_file() {
    let (client, config) = bookstore().await;
    set_up(&config).await;

    client
        .batch_execute("alter table log add id bigint generated always as identity primary key")
        .await
        .unwrap();
    assert_eq!(
        set_up(&config).await,
        ["changes of log are heard from here on"]
    );
    assert_eq!(
        published(&client).await,
        ["rowhook book", "rowhook hook", "rowhook log"]
    );

    client
        .batch_execute("alter table log replica identity nothing")
        .await
        .unwrap();
    set_up(&config).await;
    assert_eq!(
        published(&client).await,
        ["rowhook book", "rowhook hook", "rowhook_inserts log"]
    );

    let mut config = config;
    config.events.truncate(1);
    let reasons = set_up(&config).await;
    assert_eq!(
        reasons,
        [
            "the events that hooks may name",
            "no event is on log any more"
        ]
    );
    assert_eq!(published(&client).await, ["rowhook book", "rowhook hook"]);
}

#[tokio::test]
async fn a_deferrable_key_or_a_dropped_index_is_no_identity() {
    let (client, config) = bookstore().await;
    client
        .batch_execute(
            "create table late (id integer primary key deferrable);
            create table lost (id integer not null);
            create unique index lost_id on lost (id);
            alter table lost replica identity using index lost_id;
            drop index lost_id;
            insert into late values (1);
            insert into lost values (1)",
        )
        .await
        .unwrap();
    let config = config.event("late.added", "late", Action::Created).event(
        "lost.added",
        "lost",
        Action::Created,
    );

    set_up(&config).await;

    client
        .batch_execute("update late set id = 2; update lost set id = 2")
        .await
        .unwrap();
}

#[tokio::test]
async fn identity_full_is_set_once_and_lets_updates_be_heard() {
    let (client, config) = bookstore().await;
    let config = config.full("log");

    let reasons = set_up(&config).await;

    assert!(reasons.contains(
        &"log has identity = \"full\": its old rows are written to the WAL from here on".to_owned()
    ));
    assert_eq!(
        published(&client).await,
        ["rowhook book", "rowhook hook", "rowhook log"]
    );
    assert!(set_up(&config).await.is_empty());
}

#[tokio::test]
async fn partitions_are_heard_as_their_table_and_one_without_key_is_never_in_danger() {
    let (client, config) = bookstore().await;
    client
        .batch_execute(
            "create table sale (id integer primary key, day date) partition by range (id);
            create table sale_1 partition of sale for values from (1) to (10);
            create table visit (id integer) partition by range (id);
            create table visit_1 partition of visit for values from (1) to (10)",
        )
        .await
        .unwrap();
    let config = config
        .event("sale.added", "sale", Action::Created)
        .event("visit.added", "visit", Action::Created)
        .full("visit");

    set_up(&config).await;

    assert_eq!(
        published(&client).await,
        [
            "rowhook book",
            "rowhook hook",
            "rowhook sale",
            "rowhook_inserts log",
            "rowhook_inserts visit"
        ]
    );
    // A later partition has the default replica identity, and no key for it.
    client
        .batch_execute(
            "create table visit_2 partition of visit for values from (10) to (20);
            insert into visit values (15), (5);
            update visit set id = id + 1",
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn children_of_a_table_do_not_come_along() {
    let (client, config) = bookstore().await;
    client
        .batch_execute(
            "create table ebook (size integer) inherits (book); insert into ebook (id) values (1)",
        )
        .await
        .unwrap();

    set_up(&config).await;

    assert_eq!(
        published(&client).await,
        ["rowhook book", "rowhook hook", "rowhook_inserts log"]
    );
    client
        .batch_execute("update ebook set size = 2")
        .await
        .unwrap();
}
