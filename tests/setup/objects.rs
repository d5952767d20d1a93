//! What setup creates, and that it creates it once.

use std::process::{Command, Stdio};

use rowhook::{
    config::{Action, Config},
    secret::Secret,
    setup::{Patience, check::Level, print, teardown::teardown},
};

use crate::{
    bookstore::{Build, CLUSTER, bookstore, findings, refused, set_up},
    queries::{published, traces},
};

#[tokio::test]
async fn setup_makes_what_is_missing_and_then_finds_nothing_to_do() {
    let (client, config) = bookstore().await;

    let reasons = set_up(&config).await;

    assert_eq!(
        reasons,
        [
            "rowhook's own tables, in the schema rowhook",
            "the events that hooks may name",
            "the publication rowhook",
            "the publication rowhook_inserts",
            "changes of book are heard from here on",
            "hooks are read from rowhook.hook",
            "log has no replica identity: only its inserts are heard, from here on, since publishing its updates would make them fail",
            &format!(
                "the slot {}: changes are kept from here on until rowhook has read them",
                config.database.slot
            ),
        ]
    );
    assert_eq!(
        published(&client).await,
        ["rowhook book", "rowhook hook", "rowhook_inserts log"]
    );
    assert!(set_up(&config).await.is_empty());
}

#[tokio::test]
async fn two_setups_at_once_take_turns() {
    let (client, config) = bookstore().await;

    let (one, other) = tokio::join!(set_up(&config), set_up(&config));

    assert!(one.is_empty() != other.is_empty());
    assert_eq!(published(&client).await.len(), 3);
}

#[tokio::test]
async fn what_print_prints_does_the_same_in_psql() {
    let (by_setup, config) = bookstore().await;
    let (by_psql, printed_config) = bookstore().await;
    let printed_config = printed_config.full("book");
    let config = config.full("book");
    set_up(&config).await;

    let script = print(&printed_config).await.unwrap();
    psql(&printed_config, &script);

    let (slot, printed_slot) = (&config.database.slot, &printed_config.database.slot);
    let traces_of_psql: Vec<_> = traces(&by_psql)
        .await
        .into_iter()
        .map(|trace| trace.replace(printed_slot, slot))
        .collect();
    assert_eq!(traces(&by_setup).await, traces_of_psql);
    assert_eq!(published(&by_setup).await, published(&by_psql).await);
    assert!(set_up(&printed_config).await.is_empty());
    assert!(
        print(&printed_config)
            .await
            .unwrap()
            .ends_with("-- Nothing is missing.\n")
    );
}

fn psql(config: &Config, script: &str) {
    use std::io::Write;
    // Some packages have only the server. Any psql will do then.
    let beside = CLUSTER.bin().join("psql");
    let psql = if beside.exists() {
        beside
    } else {
        "psql".into()
    };
    let mut psql = Command::new(psql)
        .args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            config.database.url.expose(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    psql.stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(psql.wait().unwrap().success(), "psql refused:\n{script}");
}

#[tokio::test]
async fn a_role_that_is_no_superuser_attaches_to_its_own_tables_and_detaches() {
    let (client, mut config) = bookstore().await;
    let database = config.database.slot.clone();
    client
        .batch_execute(&format!(
            "create role humble login replication;
            grant create on database {database} to humble;
            alter table book owner to humble;
            alter table log owner to humble"
        ))
        .await
        .unwrap();
    let before = traces(&client).await;
    config.database.url = Secret::new(config.database.url.expose().replace("postgres@", "humble@"));
    let config = config.full("log");

    set_up(&config).await;

    assert!(set_up(&config).await.is_empty());
    assert!(
        findings(&config, Level::Warn)
            .await
            .iter()
            .all(|found| found.contains("rows of log have no owner"))
    );
    teardown(&config, Patience::default()).await.unwrap();
    assert_eq!(traces(&client).await, before);
    client
        .batch_execute("drop owned by humble; drop role humble")
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_dba_set_up_from_the_print_can_be_used_by_the_role_that_printed_it() {
    let (client, mut config) = bookstore().await;
    client
        .batch_execute("create role modest login replication")
        .await
        .unwrap();
    let dba = config.clone();
    config.database.url = Secret::new(config.database.url.expose().replace("postgres@", "modest@"));

    psql(&dba, &print(&config).await.unwrap());

    assert!(set_up(&config).await.is_empty());
    config.events.truncate(2);
    assert_eq!(
        refused(&config).await,
        "the publication rowhook_inserts belongs to someone else than modest; make modest its owner, or let someone who may run the output of rowhook setup --print"
    );
    client
        .batch_execute("revoke usage on schema rowhook from modest")
        .await
        .unwrap();
    assert!(
        refused(&config)
            .await
            .starts_with("modest may not read the tables in the schema rowhook; run: grant usage")
    );
    client
        .batch_execute("drop owned by modest; drop role modest")
        .await
        .unwrap();
}

#[tokio::test]
async fn names_may_hold_anything_that_postgres_allows() {
    let (client, mut config) = bookstore().await;
    client
        .batch_execute(r#"create table "Odd ""name'" ("Id" integer primary key)"#)
        .await
        .unwrap();
    config.database.schema = r#"Row "hook's"#.into();
    config.database.publication = r#"it's "ours""#.into();
    let config = config
        .event("it's.odd", r#"Odd "name'"#, Action::Created)
        .full(r#"Odd "name'"#);
    let before = traces(&client).await;

    psql(&config, &print(&config).await.unwrap());

    assert!(set_up(&config).await.is_empty());
    assert_eq!(published(&client).await.len(), 4);
    teardown(&config, Patience::default()).await.unwrap();
    assert_eq!(traces(&client).await, before);
}
