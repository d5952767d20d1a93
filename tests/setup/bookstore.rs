//! The database and the configuration of these tests.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rowhook::{
    config::{
        Action, Columns, Config, Database, Delivery, DisableAfter, EventRule, EventSource,
        Location, TableRules,
    },
    demo::cluster::Cluster,
    postgres::{
        TableName,
        address::{Address, Host},
        connect::session,
    },
    setup::{
        LockPolicy,
        check::{Level, check},
        setup,
    },
};
use tokio_postgres::Client;

/// One server for all of these tests. A static is never dropped; the cluster removes itself when the process ends.
pub static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let settings = [
        "max_replication_slots=60",
        "max_wal_senders=60",
        "max_prepared_transactions=5",
    ];
    Cluster::start(&settings).unwrap()
});

pub const BOOKSTORE: &str = "
    create table book (id integer primary key, title text, price numeric, user_id integer);
    create table log (line text);
";

/// A new database with a bookstore in it, and the configuration of its events.
pub async fn bookstore() -> (Client, Config) {
    let database = new_database(&CLUSTER, "shop").await;
    let client = connect(&CLUSTER.url(&database)).await;
    client.batch_execute(BOOKSTORE).await.unwrap();
    let config = config(&CLUSTER.url(&database), &database)
        .event("book.added", "book", Action::Created)
        .event("book.changed", "book", Action::Updated)
        .event("log.written", "log", Action::Created);
    (client, config)
}

pub async fn new_database(cluster: &Cluster, name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let name = format!("{name}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let client = connect(&cluster.url("postgres")).await;
    client
        .batch_execute(&format!("create database {name}"))
        .await
        .unwrap();
    name
}

pub async fn connect(url: &str) -> Client {
    let client = Address::parse(url).unwrap().connect("test").await.unwrap();
    // As an application, which does not name the schema of its tables.
    session::search_as_role(&client).await.unwrap();
    client
}

/// The address, as psql takes it.
pub fn conninfo(address: &Address) -> String {
    let Some(Host::Tcp { name, port }) = address.hosts.first() else {
        unreachable!("the cluster listens on TCP: {address:?}");
    };
    let Address { user, database, .. } = address;
    format!("host={name} port={port} user={user} dbname={database}")
}

/// The smallest configuration. The slot has the name of the database, because slots belong to the whole server.
pub fn config(url: &str, slot: &str) -> Config {
    Config {
        path: "hooks.toml".into(),
        name: None,
        database: Database {
            standby: None,
            address: Address::parse(url).unwrap(),
            slot: slot.into(),
            publication: "rowhook".into(),
            schema: "rowhook".into(),
            unsigned_messages: false,
            failover: true,
        },
        events: Vec::new(),
        tables: Vec::new(),
        before: Vec::new(),
        models: Vec::new(),
        hooks: Vec::new(),
        hook_table: None,
        owner_exists: None,
        certificates: Vec::new(),
        secrets: Default::default(),
        limits: Default::default(),
        history: Default::default(),
        audit: Default::default(),
        delivery: Delivery {
            retries: Vec::new(),
            disable_after: DisableAfter::Failures(5),
            ..Delivery::default()
        },
        server: None,
        portal: None,
        console: None,
        tracing: None,
        cluster: None,
    }
}

pub trait Build: Sized {
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
            description: None,
            example: None,
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
            fields: None,
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

/// Runs setup, and returns the reason of each step.
pub async fn set_up(config: &Config) -> Vec<String> {
    let steps = setup(config, LockPolicy::default(), &|_| {}).await;
    let reasons = steps.unwrap().into_iter().map(|step| step.reason);
    reasons.collect()
}

/// The message with which setup refuses.
pub async fn refused(config: &Config) -> String {
    let impatient = LockPolicy {
        lock_timeout: Duration::from_millis(100),
        tries: 2,
        ..LockPolicy::default()
    };
    setup(config, impatient, &|_| {})
        .await
        .unwrap_err()
        .to_string()
}

/// What check finds at this level and above, a line each: `Level place what; remedy`.
pub async fn findings(config: &Config, from: Level) -> Vec<String> {
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
            let remedy = finding
                .remedy
                .map(|remedy| format!("; {remedy}"))
                .unwrap_or_default();
            format!("{:?} {place}{}{remedy}", finding.level, finding.what)
        });
    let database = &config.database.slot;
    shown
        .map(|line| line.replace(database.as_str(), "DATABASE"))
        .collect()
}
