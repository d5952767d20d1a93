//! A database for each test.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio_postgres::{Client, NoTls};

use crate::{
    BOOKSTORE, Cluster, DEADLINE, Rowhook, SECRET, schemas::Schemas, shared_cluster,
    waiting::until_within,
};

/// A database of its own for one test, and a session in it.
pub struct Database {
    /// The name of the database, and of rowhook's slot in it.
    pub name: String,
    /// The URL of the database, for the superuser.
    pub url: String,
    /// A session of the superuser.
    pub client: Client,
}

impl Database {
    /// An empty database on the shared cluster.
    pub async fn new() -> Self {
        Self::on(shared_cluster()).await
    }

    /// An empty database on this cluster.
    pub async fn on(cluster: &Cluster) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("story_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&cluster.url("postgres")).await;
        admin
            .batch_execute(&format!("create database {name}"))
            .await
            .unwrap();
        let url = cluster.url(&name);
        Self {
            client: connect(&url).await,
            name,
            url,
        }
    }

    /// The major version of the server, such as 15.
    pub async fn version(&self) -> u32 {
        let version = self.ask("show server_version_num").await;
        version.parse::<u32>().unwrap() / 10_000
    }

    /// A database with the tables of [`BOOKSTORE`] on the shared cluster.
    pub async fn bookstore() -> Self {
        let database = Self::new().await;
        database.sql(BOOKSTORE).await;
        database
    }

    /// Runs these statements.
    ///
    /// # Panics
    /// When one of them fails.
    pub async fn sql(&self, sql: &str) {
        if let Err(error) = self.client.batch_execute(sql).await {
            panic!("{sql}: {error:?}");
        }
    }

    /// The first column of the first row, as text.
    ///
    /// # Panics
    /// When the query fails or there is no row.
    pub async fn ask(&self, sql: &str) -> String {
        let rows = self
            .client
            .simple_query(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let row = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some(row.get(0).unwrap_or("null").to_owned())
            }
            _ => None,
        });
        row.unwrap_or_else(|| panic!("{sql}: no row"))
    }

    /// Waits until the query `sql` returns true.
    ///
    /// # Panics
    /// When it has not within [`DEADLINE`]. The message contains `fact`.
    pub async fn until(&self, fact: &str, sql: &str) {
        self.until_within(DEADLINE, fact, sql).await;
    }

    async fn until_within(&self, deadline: Duration, fact: &str, sql: &str) {
        until_within(deadline, fact, async || self.ask(sql).await == "t").await;
    }

    /// Waits until rowhook has confirmed everything that has been written so far.
    pub async fn until_all_is_confirmed(&self) {
        self.until_all_is_confirmed_within(DEADLINE).await;
    }

    /// Waits until rowhook has confirmed everything that has been written so far, for as long as `deadline`.
    pub async fn until_all_is_confirmed_within(&self, deadline: Duration) {
        let now = self.ask("select pg_current_wal_insert_lsn()").await;
        // rowhook does not confirm a few bytes of WAL without events by themselves; it does confirm this many.
        self.sql("select pg_logical_emit_message(true, 'filler', repeat('-', 20000))")
            .await;
        let sql = format!(
            "select confirmed_flush_lsn >= '{now}' from pg_replication_slots where slot_name = '{}'",
            self.name
        );
        let fact = format!("the slot has confirmed {now}");
        self.until_within(deadline, &fact, &sql).await;
    }

    /// Waits until rowhook has confirmed everything that has been written so far, and nothing is parked.
    pub async fn until_all_has_arrived(&self) {
        self.until_all_is_confirmed().await;
        let sql = "select count(*) = 0 from rowhook.delivery where state = 'parked'";
        self.until("nothing is parked", sql).await;
    }

    /// The smallest hooks.toml for this database, with `rest` after its `[database]` and `[delivery]`.
    pub fn config(&self, rest: &str) -> String {
        format!(
            "[database]\nurl = \"{}\"\nslot = \"{}\"\n\n[delivery]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\nretries = [\"50ms\", \"100ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\"]\n\n{rest}",
            self.url, self.name
        )
    }

    /// Starts rowhook on this database with [`config`](Self::config), and waits until it is attached.
    pub async fn rowhook(&self, rest: &str) -> Rowhook {
        let mut rowhook = Rowhook::start(&self.config(rest));
        rowhook.until_log("attached slot=").await;
        // The test may alter its tables later, so their schemas are read now.
        Schemas::of_test().read(false).await;
        rowhook
    }

    /// Adds a hook as an application does, and returns its id.
    pub async fn hook(&self, owner: Option<&str>, event: &str, target: &str) -> String {
        let owner = owner.map_or("null".into(), |owner| format!("'{owner}'"));
        self.ask(&format!(
            "insert into rowhook.hook (owner, event, target, secret) values ({owner}, '{event}', '{target}', '{SECRET}') returning id"
        ))
        .await
    }
}

/// Opens another session at `url`.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}"));
    tokio::spawn(connection);
    client
}
