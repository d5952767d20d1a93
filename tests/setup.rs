//! Attaching to a database and detaching from it, against a real Postgres.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of tests for the product"
)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rowhook::{
    config::{
        Action, Columns, Config, Database, Delivery, DisableAfter, EventRule, EventSource,
        HookColumns, HookTable, Location, OnGone, Order, OwnerRule, OwnerStep, PayloadFormat,
        TableRules,
    },
    demo::cluster::Cluster,
    expression::filter::Filter,
    postgres::{
        Lsn, TableName,
        address::{Address, Host},
        replication::Session,
        stream::Stream,
    },
    setup::{
        Patience,
        check::{Level, check},
        print, setup,
        teardown::teardown,
    },
    signature::SignatureScheme,
};
use tokio::time::timeout;
use tokio_postgres::Client;

/// One server for all tests of this file. It is never dropped; its broom sweeps up when the process ends.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let settings = [
        "max_replication_slots=60",
        "max_wal_senders=60",
        "max_prepared_transactions=5",
    ];
    Cluster::start(&settings).unwrap()
});

const BOOKSTORE: &str = "
    create table book (id integer primary key, title text, price numeric, user_id integer);
    create table log (line text);
";

/// A database of its own, with a bookstore in it.
async fn bookstore() -> (Client, Config) {
    let database = new_database(&CLUSTER, "shop").await;
    let client = connect(&CLUSTER.url(&database)).await;
    client.batch_execute(BOOKSTORE).await.unwrap();
    let config = config(&CLUSTER.url(&database), &database)
        .event("book.added", "book", Action::Created)
        .event("book.changed", "book", Action::Updated)
        .event("log.written", "log", Action::Created);
    (client, config)
}

async fn new_database(cluster: &Cluster, name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let name = format!("{name}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let client = connect(&cluster.url("postgres")).await;
    client
        .batch_execute(&format!("create database {name}"))
        .await
        .unwrap();
    name
}

async fn connect(url: &str) -> Client {
    Address::parse(url).unwrap().connect("test").await.unwrap()
}

/// The address, as psql takes it.
fn conninfo(address: &Address) -> String {
    let Some(Host::Tcp { name, port }) = address.hosts.first() else {
        unreachable!("the cluster listens on TCP: {address:?}");
    };
    let Address { user, database, .. } = address;
    format!("host={name} port={port} user={user} dbname={database}")
}

/// The smallest configuration; the slot is called like the database, as slots belong to the whole server.
fn config(url: &str, slot: &str) -> Config {
    Config {
        path: "hooks.toml".into(),
        database: Database {
            address: Address::parse(url).unwrap(),
            slot: slot.into(),
            publication: "rowhook".into(),
            schema: "rowhook".into(),
        },
        events: Vec::new(),
        tables: Vec::new(),
        models: Vec::new(),
        hooks: Vec::new(),
        hook_table: None,
        owner_exists: None,
        history: Default::default(),
        delivery: Delivery {
            timeout: Duration::from_secs(15),
            retries: Vec::new(),
            order: Order::Row,
            concurrency: 16.try_into().unwrap(),
            max_body: 20 << 20,
            retention: Duration::from_secs(30 * 86400),
            disable_after: DisableAfter::Failures(5),
            payload: PayloadFormat::RestHooks,
            signature: SignatureScheme::Standard,
            batch: None,
            allow_http: false,
            allow_networks: Vec::new(),
            memory: 64 << 20,
            grace: Duration::from_secs(20),
        },
        server: None,
        console: None,
        tracing: None,
    }
}

trait Build: Sized {
    fn event(self, name: &str, table: &str, action: Action) -> Self;
    fn rules(self, table: &str, change: impl FnOnce(&mut TableRules)) -> Self;
    fn full(self, table: &str) -> Self {
        self.rules(table, |rules| rules.identity_full = true)
    }
}

impl Build for Config {
    fn event(mut self, name: &str, table: &str, action: Action) -> Self {
        let line = self.events.len() + 1;
        self.events.push(EventRule {
            name: name.into(),
            source: EventSource::Row {
                table: TableName::public(table),
                action,
                changed: Vec::new(),
                when: None,
            },
            all_owners: false,
            place: Location { line, column: 1 },
        });
        self
    }

    fn rules(mut self, table: &str, change: impl FnOnce(&mut TableRules)) -> Self {
        let mut rules = TableRules {
            table: TableName::public(table),
            owner: None,
            identity_full: false,
            columns: Columns::All,
            rename: Vec::new(),
            enrich: Vec::new(),
            payload: None,
            visible: None,
            place: Location {
                line: 100,
                column: 1,
            },
        };
        change(&mut rules);
        self.tables.push(rules);
        self
    }
}

async fn set_up(config: &Config) -> Vec<String> {
    let steps = setup(config, Patience::default(), &|_| {}).await;
    let reasons = steps.unwrap().into_iter().map(|step| step.reason);
    reasons.collect()
}

/// What setup says when it refuses.
async fn refused(config: &Config) -> String {
    let impatient = Patience {
        lock_timeout: Duration::from_millis(100),
        tries: 2,
        ..Patience::default()
    };
    setup(config, impatient, &|_| {})
        .await
        .unwrap_err()
        .to_string()
}

/// Rows of one text column.
async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Everything that setup could leave behind.
async fn traces(client: &Client) -> Vec<String> {
    let slots =
        "select 'slot ' || slot_name from pg_replication_slots where database = current_database()";
    let sql = format!(
        "select 'relation ' || oid::regclass || ' ' || relreplident::text from pg_class where relnamespace::regnamespace::text not in ('pg_catalog', 'pg_toast', 'information_schema')
        union all select 'publication ' || pubname from pg_publication
        union all {slots}
        union all select 'schema ' || nspname from pg_namespace where nspname not like 'pg_%'
        union all select 'function ' || oid::regprocedure from pg_proc where pronamespace > 16384
        order by 1"
    );
    texts(client, &sql).await
}

async fn published(client: &Client) -> Vec<String> {
    let sql = "select pubname || ' ' || tablename from pg_publication_tables order by 1";
    texts(client, sql).await
}

/// How Postgres refuses a statement: message and hint.
async fn refusal(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    match error.hint() {
        Some(hint) => format!("{}\n{hint}", error.message()),
        None => error.message().to_owned(),
    }
}

// What setup makes.

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
    // Some packages bring the server alone; any psql will do then.
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
            &conninfo(&config.database.address),
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
    // A partition that comes later has the default identity, and no key to go with it.
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
    config.database.address.user = "humble".into();
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
    config.database.address.user = "modest".into();

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

// The hook table.

#[tokio::test]
async fn a_hook_is_refused_where_it_could_never_work() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    let insert = async |values: &str| {
        refusal(
            &client,
            &format!("insert into rowhook.hook (event, target) values ({values})"),
        )
        .await
    };

    assert_eq!(
        insert("'book.aded', 'https://x.example'").await,
        "there is no event book.aded\n\
        The events are book.added, book.changed, hook.disabled, log.written, rowhook.gap. \
        They come from [events] in hooks.toml: after adding one there, run rowhook setup."
    );
    assert!(
        insert("'shelf.*', 'https://x.example'")
            .await
            .starts_with("there is no event shelf.*\n")
    );
    assert!(
        insert("'book.add*', 'https://x.example'")
            .await
            .starts_with(
                "there is no event book.add*
"
            )
    );
    assert!(
        insert("'book.added', 'ftp://x.example'")
            .await
            .contains("target_is_an_http_url")
    );
    assert!(
        insert("'book.added', 'https://'")
            .await
            .contains("target_is_an_http_url")
    );
    for good in ["book.added", "book.*", "*", "hook.disabled", "rowhook.gap"] {
        let sql = format!(
            "insert into rowhook.hook (event, target) values ('{good}', 'https://x.example/a?b')"
        );
        client.batch_execute(&sql).await.unwrap();
    }
}

#[tokio::test]
async fn an_application_needs_only_insert_and_cannot_trick_the_trigger() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute(
            "create role app_of_hooks;
            grant usage on schema rowhook to app_of_hooks;
            grant insert on rowhook.hook to app_of_hooks;
            set role app_of_hooks;
            set search_path to pg_temp;
            create temporary table event (name text);
            insert into event values ('made.up')",
        )
        .await
        .unwrap();

    client.batch_execute("insert into rowhook.hook (owner, event, target) values ('1', 'book.added', 'https://x.example')").await.unwrap();

    let made_up =
        "insert into rowhook.hook (event, target) values ('made.up', 'https://x.example')";
    assert!(
        refusal(&client, made_up)
            .await
            .starts_with("there is no event made.up")
    );
    assert!(
        refusal(&client, "select from rowhook.hook")
            .await
            .starts_with("permission denied")
    );
    client
        .batch_execute("reset role; drop owned by app_of_hooks; drop role app_of_hooks")
        .await
        .unwrap();
}

#[tokio::test]
async fn hooks_stay_when_their_event_leaves_the_file() {
    let (client, mut config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute(
            "insert into rowhook.hook (event, target) values ('log.written', 'https://x.example')",
        )
        .await
        .unwrap();

    config.events.truncate(2);
    set_up(&config).await;

    client
        .batch_execute("update rowhook.hook set active = false")
        .await
        .unwrap();
    assert_eq!(
        texts(&client, "select event from rowhook.hook").await,
        ["log.written"]
    );
}

#[tokio::test]
async fn a_hook_that_is_made_active_again_is_not_disabled_any_more() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute(
            "insert into rowhook.hook (event, target) values ('*', 'https://x.example');
            update rowhook.hook set active = false, disabled_at = now(), disabled_reason = '410', invalid = 'filter'",
        )
        .await
        .unwrap();

    client
        .batch_execute("update rowhook.hook set active = true")
        .await
        .unwrap();
    let sql = "select concat_ws(' ', disabled_at, disabled_reason, invalid) from rowhook.hook";
    assert_eq!(texts(&client, sql).await, ["filter"]);

    client
        .batch_execute("update rowhook.hook set filter = 'true'")
        .await
        .unwrap();
    assert_eq!(texts(&client, sql).await, [""]);
}

fn rest_hooks() -> HookTable {
    HookTable {
        columns: HookColumns::usual(TableName::public("rest_hooks_hook")),
        on_gone: OnGone::Delete,
        place: Location {
            line: 30,
            column: 1,
        },
    }
}

#[tokio::test]
async fn hooks_may_live_in_a_table_of_the_application() {
    let (client, mut config) = bookstore().await;
    client
        .batch_execute(
            "create table rest_hooks_hook (id serial, user_id integer, event text, target text)",
        )
        .await
        .unwrap();
    config.hook_table = Some(rest_hooks());
    assert_eq!(
        refused(&config).await,
        "30:1: the hook table rest_hooks_hook has no replica identity, so that hooks which are removed would go unheard; \
        give it a primary key, or identity = \"full\""
    );

    client
        .batch_execute("alter table rest_hooks_hook add primary key (id)")
        .await
        .unwrap();
    set_up(&config).await;

    assert_eq!(
        published(&client).await,
        [
            "rowhook book",
            "rowhook rest_hooks_hook",
            "rowhook_inserts log"
        ]
    );
}

// What stands in the way.

#[tokio::test]
async fn a_mistyped_table_is_told_with_the_one_that_was_meant() {
    let (client, config) = bookstore().await;
    client.batch_execute("create schema clinic; create table clinic.pet (id integer); create view shelf as select 1").await.unwrap();
    let config = config
        .event("book.read", "bok", Action::Created)
        .event("pet.added", "pet", Action::Created)
        .event("shelf.added", "shelf", Action::Created);

    let database = &config.database.slot;
    assert_eq!(
        refused(&config).await,
        format!(
            "4:1: there is no table bok in {database}; did you mean book?\n\
            5:1: there is no table pet in {database}; did you mean clinic.pet?\n\
            6:1: shelf is a view, and its changes are not in the WAL; name a table that holds the rows"
        )
    );
}

#[tokio::test]
async fn a_connection_that_fails_says_why_in_one_line() {
    let at = format!("127.0.0.1:{}", CLUSTER.port());
    let told = async |url: String| {
        let error = Address::parse(&url)
            .unwrap()
            .connect("test")
            .await
            .unwrap_err();
        (error.to_string().replace(&at, "HOST"), error.is_transient())
    };

    assert_eq!(
        told(CLUSTER.url("nope")).await,
        (
            "HOST has no database nope; correct it in [database] url".into(),
            false
        )
    );
    assert_eq!(
        told(format!("postgres://nobody@{at}/postgres")).await,
        (
            "HOST has no role nobody; correct it in [database] url, or create it".into(),
            false
        )
    );
    assert_eq!(
        told(format!("postgres://postgres@{at}/postgres?sslmode=require")).await,
        ("no TLS with HOST: server does not support TLS; see sslmode and sslrootcert in [database] url".into(), false)
    );
    assert_eq!(
        told("postgres://postgres@127.0.0.1:1/postgres".into()).await,
        (
            "cannot reach Postgres at 127.0.0.1:1: Connection refused (os error 111); is it running, and is the address in [database] url right?".into(),
            true
        )
    );
}

#[tokio::test]
async fn without_logical_wal_setup_names_the_setting() {
    let cluster = Cluster::start(&["wal_level=replica"]).unwrap();
    let config = config(&cluster.url("postgres"), "rowhook");

    assert_eq!(
        refused(&config).await,
        "wal_level is replica, and must be logical; run: alter system set wal_level = logical; and restart Postgres \
        (RDS and Aurora: rds.logical_replication = 1, Cloud SQL: cloudsql.logical_decoding = on)"
    );
    let script = print(&config).await.unwrap();
    assert!(script.contains("-- First: wal_level is replica"));
}

#[tokio::test]
async fn without_privileges_setup_names_each_that_is_missing() {
    let (client, mut config) = bookstore().await;
    client
        .batch_execute("create role weak login")
        .await
        .unwrap();
    let database = &config.database.slot;
    config.database.address.user = "weak".into();

    assert_eq!(
        refused(&config).await,
        format!(
            "weak may not create replication slots; run: alter role \"weak\" replication (on RDS: grant rds_replication to it); it is needed to read the slot too\n\
            weak may not create schemas and publications in {database}; run: grant create on database \"{database}\" to \"weak\", or let someone who may run the output of rowhook setup --print\n\
            book belongs to postgres, and only its owner can publish it; run: grant \"postgres\" to \"weak\", or let someone who may run the output of rowhook setup --print\n\
            log belongs to postgres, and only its owner can publish it; run: grant \"postgres\" to \"weak\", or let someone who may run the output of rowhook setup --print"
        )
    );
    client.batch_execute("drop role weak").await.unwrap();
}

#[tokio::test]
async fn a_slot_of_someone_else_is_refused() {
    let (client, config) = bookstore().await;
    let slot = &config.database.slot;
    client
        .batch_execute(&format!(
            "select pg_create_physical_replication_slot('{slot}')"
        ))
        .await
        .unwrap();

    assert!(refused(&config).await.ends_with(&format!(
        "the slot {slot} is a physical one; set [database] slot to a name that is free"
    )));
    client
        .batch_execute(&format!("select pg_drop_replication_slot('{slot}')"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_slot_older_than_its_publication_is_refused() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute("drop publication rowhook_inserts")
        .await
        .unwrap();

    assert_eq!(
        refused(&config).await,
        format!(
            "the slot {} is there but the publication rowhook_inserts is not, and a slot that is older than its publication can never be read; \
            run rowhook teardown, then rowhook setup",
            config.database.slot
        )
    );
}

#[tokio::test]
async fn a_slot_that_lost_wal_is_not_passed_over() {
    let cluster = Cluster::start(&[
        "max_slot_wal_keep_size=1",
        "min_wal_size=32MB",
        "max_wal_size=32MB",
    ])
    .unwrap();
    let config = config(&cluster.url("postgres"), "lossy");
    set_up(&config).await;
    let client = connect(&cluster.url("postgres")).await;

    let lost = async {
        while texts(&client, "select wal_status from pg_replication_slots").await != ["lost"] {
            for sql in [
                "create table x ()",
                "drop table x",
                "select pg_switch_wal()",
                "checkpoint",
            ] {
                client.batch_execute(sql).await.unwrap();
            }
        }
    };
    timeout(Duration::from_secs(60), lost)
        .await
        .expect("the slot never lost its WAL");

    let told = "the slot lossy has lost WAL, and the changes in there cannot be read any more; \
        run rowhook teardown and rowhook setup, then send what is missing with rowhook backfill";
    assert_eq!(refused(&config).await, told);
    assert_eq!(
        findings(&config, Level::Warn).await,
        [format!("Fatal {}", told.replace("lossy", "DATABASE"))]
    );
    teardown(&config, Patience::default()).await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_not_to_be_had_names_its_holder() {
    let (client, config) = bookstore().await;
    let config = config.full("book");
    let pid = &texts(&client, "select pg_backend_pid()::text").await[0];
    client
        .batch_execute("begin; lock table book in row exclusive mode")
        .await
        .unwrap();

    assert_eq!(
        refused(&config).await,
        format!(
            "book has identity = \"full\": its old rows are written to the WAL from here on: gave up waiting for a lock that \
            pid {pid} (test, postgres, idle in transaction) holds; end that, or try again at a quieter time"
        )
    );

    client.batch_execute("commit").await.unwrap();
    assert!(!set_up(&config).await.is_empty());
}

#[tokio::test]
async fn a_slot_that_must_wait_says_for_whom() {
    let (client, config) = bookstore().await;
    let pid = &texts(&client, "select pg_backend_pid()::text").await[0];
    client
        .batch_execute("begin; insert into log values ('a')")
        .await
        .unwrap();
    let heard = tokio::sync::Notify::new();
    let waits = Mutex::new(Vec::new());
    let patience = Patience {
        quiet: Duration::from_millis(50),
        ..Patience::default()
    };
    let note = |told: &str| {
        waits.lock().unwrap().push(told.to_owned());
        heard.notify_one();
    };

    let (steps, ()) = tokio::join!(setup(&config, patience, &note), async {
        timeout(Duration::from_secs(30), heard.notified())
            .await
            .expect("setup never said that it waits");
        client.batch_execute("commit").await.unwrap();
    });

    steps.unwrap();
    let told = waits.lock().unwrap()[0].clone();
    assert!(
        told.contains(&format!("pid {pid} (test, postgres, idle in transaction)")),
        "{told}"
    );
}

// The doctor.

/// What check finds that is worse than a note, or all of it: `Level what; mend`.
async fn findings(config: &Config, from: Level) -> Vec<String> {
    let refuses =
        |target: &url::Url| (target.scheme() == "http").then(|| "it has no TLS".to_owned());
    let findings = check(config, &refuses).await.into_iter();
    let shown = findings
        .filter(|finding| finding.level >= from)
        .map(|finding| {
            let place = finding
                .place
                .map(|place| format!("{place} "))
                .unwrap_or_default();
            let mend = finding
                .mend
                .map(|mend| format!("; {mend}"))
                .unwrap_or_default();
            format!("{:?} {place}{}{mend}", finding.level, finding.what)
        });
    let database = &config.database.slot;
    shown
        .map(|line| line.replace(database.as_str(), "DATABASE"))
        .collect()
}

#[tokio::test]
async fn check_finds_nothing_wrong_after_setup() {
    let (client, config) = bookstore().await;
    client.batch_execute("alter table log add user_id text, add upper text generated always as (upper(line)) stored").await.unwrap();
    set_up(&config).await;
    client
        .batch_execute(
            "insert into rowhook.hook (event, target) values ('book.*', 'https://x.example')",
        )
        .await
        .unwrap();

    let found = findings(&config, Level::Ok).await;

    let version = texts(&client, "select current_setting('server_version')")
        .await
        .remove(0);
    let (slot, found): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|line| line.contains("the slot DATABASE"));
    assert!(
        slot[0].starts_with("Ok the slot DATABASE is read by nobody now, "),
        "{slot:?}"
    );
    let found = found.join("\n").replace(&version, "VERSION");
    insta::assert_snapshot!(found, @r#"
    Ok connected to DATABASE as postgres, without TLS
    Ok a replication session can be opened
    Ok Postgres VERSION
    Ok wal_level is logical
    Note max_slot_wal_keep_size has no limit: while rowhook does not run, WAL piles up until the disk is full; watch the slot's lag, or set a limit, and lose the slot's events when it is passed
    Ok postgres may replicate
    Ok everything is set up
    Ok 1:1 rows of book are known by id
    Note 3:1 log has no replica identity: only its inserts are heard; give log a primary key, or identity = "full" under [tables.log]
    Note upper of log is computed, and not in the stream: it is read from the table when an event needs it
    Ok 1 active hook in the table
    "#);
}

#[tokio::test]
async fn check_says_what_each_table_cannot_do_and_how_to_mend_it() {
    let (client, config) = bookstore().await;
    client
        .batch_execute(
            "create table shelf (room integer, place integer, user_id integer, primary key (room, place));
            create table note (id integer primary key, shelf_id integer)",
        )
        .await
        .unwrap();
    let mut config = config
        .event("log.changed", "log", Action::Updated)
        .event("book.discounted", "book", Action::Updated)
        .event("book.removed", "book", Action::Deleted)
        .event("note.added", "note", Action::Created)
        .rules("note", |rules| {
            let step = |table: &str, column: &str| OwnerStep {
                table: TableName::public(table),
                column: column.into(),
            };
            rules.owner = Some(OwnerRule {
                column: "shelf_di".into(),
                steps: vec![step("shelf", "user_id")],
            });
        })
        .rules("book", |rules| {
            rules.columns = Columns::Except(vec!["tilte".into()])
        });
    if let EventSource::Row { changed, when, .. } = &mut config.events[4].source {
        *changed = vec!["price".into(), "prize".into()];
        *when = Some(Arc::new(Filter::compile("new.price < old.price").unwrap()));
    }

    let found = findings(&config, Level::Warn).await;

    insta::assert_snapshot!(found.join("\n"), @r#"
    Fatal 100:1 note has no column shelf_di; did you mean shelf_id?
    Fatal 100:1 the owner of note is looked up in shelf by its primary key, which must be one column; give another owner to [tables.note]
    Fatal 100:1 book has no column tilte; did you mean title?
    Warn 3:1 rows of log have no owner, so log.written reaches only hooks without an owner; set owner under [tables.log], or write the event with a + for hooks of all owners
    Warn 4:1 log.changed never happens: log has no replica identity, so its updates and deletes are not heard; give log a primary key, or identity = "full" under [tables.log]
    Fatal 5:1 book has no column prize; did you mean price?
    Warn 5:1 book.discounted asks whether price changed, but the stream does not carry the old price of book; set identity = "full" under [tables.book]
    Warn 5:1 book.discounted looks at the old row, of which the stream carries only the key of book; set identity = "full" under [tables.book]
    Warn 6:1 the owner is unknown when book.removed happens: of a deleted row of book, the stream does not carry user_id; set identity = "full" under [tables.book]
    "#);
}

#[tokio::test]
async fn check_says_which_columns_the_hook_table_lacks() {
    let (client, mut config) = bookstore().await;
    client
        .batch_execute(
            "create table rest_hooks_hook (id serial primary key, user_id integer, event text, target text, headers_json text)",
        )
        .await
        .unwrap();
    let column = |name: &str| Some(name.to_owned());
    let mut hooks = rest_hooks();
    hooks.columns = HookColumns {
        owner: "usr_id".into(),
        secret: column("shared_secret"),
        signature: column("signature"),
        headers: column("header_json"),
        created: column("created"),
        ..hooks.columns
    };
    config.hook_table = Some(hooks);

    let found = findings(&config, Level::Fatal).await;

    insta::assert_snapshot!(found.join("\n"), @r#"
    Fatal 30:1 the hook table rest_hooks_hook has no column usr_id, which hook_table.owner names; did you mean user_id?
    Fatal 30:1 the hook table rest_hooks_hook has no column shared_secret, which hook_table.secret names
    Fatal 30:1 the hook table rest_hooks_hook has no column signature, which hook_table.signature names
    Fatal 30:1 the hook table rest_hooks_hook has no column header_json, which hook_table.headers names; did you mean headers_json?
    Fatal 30:1 the hook table rest_hooks_hook has no column created, which hook_table.created names
    "#);
}

#[tokio::test]
async fn check_says_which_hooks_never_work() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute(
            "insert into rowhook.hook (event, target) values ('log.*', 'https://x.example'), ('book.added', 'http://x.example');
            update rowhook.hook set invalid = 'the filter has no end' where id = 2",
        )
        .await
        .unwrap();
    let mut config = config;
    config.events.truncate(2);
    set_up(&config).await;

    let found = findings(&config, Level::Warn).await;

    insta::assert_snapshot!(found.join("\n"), @r#"
    Warn hook 1 waits for log.*, which never happens; add it to [events], or correct the hook
    Warn the target of hook 2 is not called: it has no TLS; correct it, or allow it with allow_http or allow_networks under [delivery]
    Warn hook 2 cannot be used: the filter has no end; correct it, and it is looked at again
    "#);
}

#[tokio::test]
async fn check_names_what_a_weak_role_lacks() {
    let (client, mut config) = bookstore().await;
    client.batch_execute("create role feeble login; alter table log enable row level security; grant select on log to feeble").await.unwrap();
    config.database.address.user = "feeble".into();

    let found = findings(&config, Level::Warn).await;

    client
        .batch_execute("drop owned by feeble; drop role feeble")
        .await
        .unwrap();
    insta::assert_snapshot!(found.join("\n"), @r#"
    Fatal feeble may not create replication slots; run: alter role "feeble" replication (on RDS: grant rds_replication to it); it is needed to read the slot too
    Fatal feeble may not create schemas and publications in DATABASE; run: grant create on database "DATABASE" to "feeble", or let someone who may run the output of rowhook setup --print
    Fatal book belongs to postgres, and only its owner can publish it; run: grant "postgres" to "feeble", or let someone who may run the output of rowhook setup --print
    Fatal log belongs to postgres, and only its owner can publish it; run: grant "postgres" to "feeble", or let someone who may run the output of rowhook setup --print
    Warn 1:1 feeble may not read book: large values that an update left alone will be missing; run: grant select on "public"."book" to "feeble"
    Warn 3:1 row security hides rows of log from feeble: large values that an update left alone can be missing; run: alter role "feeble" bypassrls
    Warn 3:1 rows of log have no owner, so log.written reaches only hooks without an owner; set owner under [tables.log], or write the event with a + for hooks of all owners
    "#);
}

#[tokio::test]
async fn check_recognizes_a_pooler() {
    let pooler = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = pooler.local_addr().unwrap();
    let server = format!("127.0.0.1:{}", CLUSTER.port());
    tokio::spawn(async move {
        while let Ok((client, _)) = pooler.accept().await {
            let server = server.clone();
            tokio::spawn(async move { pool(client, &server).await });
        }
    });
    let (_client, mut config) = bookstore().await;
    let name = at.ip().to_string();
    let port = at.port();
    config.database.address.hosts = vec![Host::Tcp { name, port }];

    let found = findings(&config, Level::Warn).await;

    assert_eq!(
        found[0].replace(&at.to_string(), "HOST"),
        "Fatal HOST is a pooler, which cannot carry a replication session; give the server's own port in [database] url"
    );
}

/// As PgBouncer does: passes on ordinary sessions, and refuses the start-up parameter of the other kind.
async fn pool(mut client: tokio::net::TcpStream, server: &str) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
    let length = client.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    client.read_exact(&mut startup).await?;
    if startup.windows(11).any(|word| word == b"replication") {
        let fields = b"SFATAL\0C08P01\0Munsupported startup parameter: replication\0\0";
        client.write_u8(b'E').await?;
        client.write_u32(fields.len() as u32 + 4).await?;
        return client.write_all(fields).await;
    }
    let mut server = tokio::net::TcpStream::connect(server).await?;
    server.write_u32(length).await?;
    server.write_all(&startup).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

// Teardown.

#[tokio::test]
async fn teardown_leaves_no_trace() {
    let (client, config) = bookstore().await;
    client
        .batch_execute(
            "create unique index book_title on book (title);
            alter table book alter title set not null, replica identity using index book_title",
        )
        .await
        .unwrap();
    let config = config.full("book").full("log");
    let before = traces(&client).await;
    set_up(&config).await;
    assert_ne!(traces(&client).await, before);

    let done = teardown(&config, Patience::default()).await.unwrap();

    assert_eq!(traces(&client).await, before);
    assert_eq!(
        done,
        [
            &format!("dropped the slot {}", config.database.slot),
            "dropped the publication rowhook",
            "dropped the publication rowhook_inserts",
            "set the replica identity of book back to using index book_title",
            "set the replica identity of log back to default",
            "dropped the schema rowhook",
        ]
    );
    assert!(
        teardown(&config, Patience::default())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn teardown_keeps_a_schema_that_was_there_before() {
    let (client, config) = bookstore().await;
    client.batch_execute("create schema rowhook").await.unwrap();
    let before = traces(&client).await;
    set_up(&config).await;
    client
        .batch_execute("drop publication rowhook")
        .await
        .unwrap();

    teardown(&config, Patience::default()).await.unwrap();

    assert_eq!(traces(&client).await, before);
}

#[tokio::test]
async fn teardown_does_not_take_what_others_put_into_the_schema() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    client
        .batch_execute("create table rowhook.diary (day date)")
        .await
        .unwrap();
    let before = traces(&client).await;

    let error = teardown(&config, Patience::default()).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "the schema rowhook also holds diary, which rowhook did not make; move or drop that first"
    );
    assert_eq!(traces(&client).await, before);
}

#[tokio::test]
async fn teardown_ends_our_own_reader_and_no_other() {
    let (client, config) = bookstore().await;
    set_up(&config).await;
    let address = config.database.address.clone();
    let read_as = async |name: &str| {
        let stream = Stream::open(&address, &config.database, name, Lsn::ZERO).await;
        stream.unwrap().0
    };

    let reader = read_as("other").await;
    let told = teardown(&config, Patience::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        told.ends_with("(other), which is not rowhook; stop it first"),
        "{told}"
    );
    reader.close(Lsn::ZERO).await;

    let slot = format!(
        "select coalesce(active_pid, 0)::text from pg_replication_slots where slot_name = '{}'",
        config.database.slot
    );
    let free = async {
        while texts(&client, &slot).await != ["0"] {
            tokio::task::yield_now().await
        }
    };
    timeout(Duration::from_secs(10), free)
        .await
        .expect("the other reader never left");
    let _reader = read_as(address.stream_name()).await;
    teardown(&config, Patience::default()).await.unwrap();
    assert!(texts(&client, &slot).await.is_empty());
}

// Ways to connect.

#[tokio::test]
async fn a_unix_socket_does() {
    let folder = CLUSTER.socket_folder().display();
    let url = format!(
        "postgres://postgres@/postgres?host={folder}&port={}&sslmode=require",
        CLUSTER.port()
    );

    let client = connect(&url).await;

    assert_eq!(
        texts(
            &client,
            "select coalesce(inet_client_addr()::text, 'socket')"
        )
        .await,
        ["socket"]
    );
    replicate(&url).await.unwrap();
}

#[tokio::test]
async fn a_password_is_asked_for_and_checked() {
    let cluster = Cluster::start(&[]).unwrap();
    let client = connect(&cluster.url("postgres")).await;
    client
        .batch_execute("create role ada login replication password 's3 cret/@'")
        .await
        .unwrap();
    let hba =
        "host postgres ada 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n";
    fs::write(cluster.data().join("pg_hba.conf"), hba).unwrap();
    client
        .batch_execute("select pg_reload_conf()")
        .await
        .unwrap();
    let at = format!("127.0.0.1:{}", cluster.port());
    let url = |password: &str| format!("postgres://ada{password}@{at}/postgres");
    let told = async |url: String| match Address::parse(&url).unwrap().connect("test").await {
        Ok(_) => "in".into(),
        Err(error) => error.to_string().replace(&at, "HOST"),
    };

    // The server reads its file a moment after the reload was asked for.
    let asked = async {
        while told(url("")).await == "in" {
            tokio::task::yield_now().await
        }
    };
    timeout(Duration::from_secs(10), asked)
        .await
        .expect("pg_hba.conf was never read");
    assert_eq!(
        told(url("")).await,
        "HOST wants a password for ada; give it in [database] url or PGPASSWORD"
    );
    assert_eq!(
        told(url(":wrong")).await,
        "HOST refuses the password of ada; correct it in [database] url or PGPASSWORD"
    );
    assert_eq!(told(url(":s3%20cret%2F%40")).await, "in");
    assert_eq!(
        told(format!("postgres://ada:x@{at}/template1")).await,
        "HOST lets ada not into template1 from here without TLS; add a line to pg_hba.conf, or use sslmode=require"
    );
    replicate(&url(":s3%20cret%2F%40")).await.unwrap();
    let refused = replicate(&url(":wrong")).await.unwrap_err();
    assert_eq!(
        refused.replace(&at, "HOST"),
        "HOST refuses the password of ada; correct it in [database] url or PGPASSWORD"
    );
}

#[tokio::test]
async fn tls_is_verified_as_far_as_the_mode_says() {
    let cluster = Cluster::start(&[]).unwrap();
    let certificates = tempfile::tempdir().unwrap();
    let authority = certificates.path().join("ca.pem");
    serve_tls(&cluster, certificates.path(), "localhost").await;
    let stranger = certificates.path().join("stranger.pem");
    certify(certificates.path(), "stranger", "someone", None);
    let url = |host: &str, query: &str| {
        format!(
            "postgres://postgres@{host}:{}/postgres?{query}",
            cluster.port()
        )
    };
    let roots = |mode: &str, file: &Path| format!("sslmode={mode}&sslrootcert={}", file.display());
    let both = async |url: String| {
        let session = Address::parse(&url).unwrap().connect("test").await;
        let replication = replicate(&url).await;
        assert_eq!(
            session.is_ok(),
            replication.is_ok(),
            "{url}: {replication:?}"
        );
        match session {
            Ok(client) => texts(
                &client,
                "select version from pg_stat_ssl where pid = pg_backend_pid()",
            )
            .await
            .remove(0),
            Err(error) => error
                .to_string()
                .replace(&cluster.port().to_string(), "PORT"),
        }
    };

    assert_eq!(both(url("127.0.0.1", "sslmode=require")).await, "TLSv1.3");
    assert_eq!(
        both(url("localhost", &roots("verify-full", &authority))).await,
        "TLSv1.3"
    );
    assert_eq!(
        both(url("127.0.0.1", &roots("verify-ca", &authority))).await,
        "TLSv1.3"
    );
    assert!(both(url("127.0.0.1", &roots("verify-full", &authority))).await.starts_with("no TLS with 127.0.0.1:PORT: invalid peer certificate: certificate not valid for name"));
    assert!(
        both(url("localhost", &roots("verify-ca", &stranger)))
            .await
            .starts_with("no TLS with localhost:PORT: invalid peer certificate")
    );
    assert_eq!(
        both(url("localhost", "sslmode=verify-full")).await,
        "no TLS with localhost:PORT: invalid peer certificate: UnknownIssuer; see sslmode and sslrootcert in [database] url"
    );
}

/// Opens a replication session and asks it who it is.
async fn replicate(url: &str) -> Result<(), String> {
    let address = Address::parse(url).unwrap();
    let session = Session::open(&address, "test", &[]).await;
    let mut session = session.map_err(|error| error.to_string())?;
    session.identify().await.unwrap();
    Ok(())
}

/// Gives the server a certificate for `host`, signed by `ca.pem` in `folder`.
async fn serve_tls(cluster: &Cluster, folder: &Path, host: &str) {
    use std::os::unix::fs::MetadataExt;
    certify(folder, "ca", "authority", None);
    certify(folder, "server", host, Some("ca"));
    let owner = fs::metadata(cluster.data()).unwrap();
    for file in ["server.pem", "server.key"] {
        let copy = cluster.data().join(file);
        fs::copy(folder.join(file), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&copy, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let client = connect(&cluster.url("postgres")).await;
    for setting in [
        "ssl_cert_file = 'server.pem'",
        "ssl_key_file = 'server.key'",
        "ssl = on",
    ] {
        client
            .batch_execute(&format!("alter system set {setting}"))
            .await
            .unwrap();
    }
    client
        .batch_execute("select pg_reload_conf()")
        .await
        .unwrap();
    let on = async {
        while texts(
            &connect(&cluster.url("postgres")).await,
            "select current_setting('ssl')",
        )
        .await
            != ["on"]
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), on)
        .await
        .expect("the server never turned TLS on");
}

/// Makes `name.pem` and `name.key` for `subject`: an authority, or signed by one.
fn certify(folder: &Path, name: &str, subject: &str, authority: Option<&str>) {
    let mut openssl = Command::new("openssl");
    openssl
        .current_dir(folder)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", &format!("/CN={subject}")])
        .args([
            "-out",
            &format!("{name}.pem"),
            "-keyout",
            &format!("{name}.key"),
        ]);
    match authority {
        None => openssl.args(["-addext", "keyUsage=keyCertSign"]),
        Some(authority) => openssl
            .args([
                "-CA",
                &format!("{authority}.pem"),
                "-CAkey",
                &format!("{authority}.key"),
            ])
            .args(["-addext", "basicConstraints=critical,CA:false"])
            .args(["-addext", &format!("subjectAltName=DNS:{subject}")]),
    };
    let made = openssl.output().expect("run openssl");
    assert!(
        made.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}
