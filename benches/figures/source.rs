//! The source: a Postgres cluster with the settings of a careful operator, and a database for each chapter.
//!
//! A backlog is written once and read in every round. Each round gets a copy of the slot that was created before it.

use std::{
    path::PathBuf,
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use harness::DEADLINE;
use rowhook::demo::cluster::Cluster;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::sidecar;

/// The table whose rows become events. With a note of 270 bytes, a body has about 500.
pub const BOOK: &str = "
    create table book (
        id bigint generated always as identity primary key,
        user_id bigint not null,
        title text not null default 'The Restaurant at the End of the Universe',
        price numeric(8, 2) not null default 7.99,
        added timestamptz not null default now(),
        in_print boolean not null default true,
        note text not null default repeat('x', 270)
    );
    create table mark (id bigint primary key, user_id bigint);
";

/// The events. A row of `mark` ends a backlog: a reader that has seen it has read everything before it.
pub const EVENTS: &str = r#"
[events]
"book.added" = "book.created"
"mark.made" = "mark.created+"
"#;

/// The settings that differ from Postgres' defaults, and `fsync`, which [`Cluster`] turns off by default.
pub const SETTINGS: [&str; 8] = [
    "fsync=on",
    "shared_buffers=1GB",
    "max_wal_size=16GB",
    "checkpoint_timeout=1h",
    "logical_decoding_work_mem=64MB",
    "max_replication_slots=100",
    "max_wal_senders=100",
    "autovacuum=off",
];

/// A database in the cluster, with a session.
pub struct Source {
    runtime: Runtime,
    pub client: Client,
    pub url: String,
    name: String,
    slots: u32,
}

/// Rows that have been written, for a slot before them to read.
pub struct Backlog {
    pub rows: u64,
    /// The LSN after the last row.
    pub end: String,
}

fn cluster() -> Result<&'static Cluster> {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    if let Some(cluster) = CLUSTER.get() {
        return Ok(cluster);
    }
    let cluster = Cluster::start(&SETTINGS)?;
    Ok(CLUSTER.get_or_init(|| cluster))
}

/// The version of the server, as it prints it.
pub fn version() -> Result<String> {
    let postgres = Command::new(cluster()?.bin().join("postgres"))
        .arg("--version")
        .output();
    let output = postgres.context("run postgres --version")?.stdout;
    Ok(String::from_utf8_lossy(&output).trim().to_owned())
}

impl Source {
    /// Creates a database of this name with these tables, and sets up rowhook in it.
    pub fn new(name: &str, tables: &str, events: &str) -> Result<Self> {
        let cluster = cluster()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let admin = connect(&runtime, &cluster.url("postgres"))?;
        runtime.block_on(admin.batch_execute(&format!("create database {name}")))?;
        let url = cluster.url(name);
        let source = Self {
            client: connect(&runtime, &url)?,
            runtime,
            url,
            name: name.to_owned(),
            slots: 0,
        };
        source.sql(tables)?;
        source.set_up(events)?;
        Ok(source)
    }

    fn set_up(&self, events: &str) -> Result<()> {
        let config = self.config(&self.name, events);
        sidecar::rowhook(&config, &["setup"])?.map_err(anyhow::Error::msg)
    }

    pub fn bin(&self) -> PathBuf {
        // A source exists only if the cluster does.
        cluster()
            .map(|cluster| cluster.bin().to_owned())
            .unwrap_or_default()
    }

    /// A hooks.toml for `slot`. `rest` follows its `[delivery]`.
    pub fn config(&self, slot: &str, rest: &str) -> String {
        format!(
            "[database]\nurl = \"{}\"\nslot = \"{slot}\"\n\n[delivery]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n{rest}",
            self.url
        )
    }

    /// Environment variables that say where the database is: the port on 127.0.0.1, and the name.
    pub fn variables(&self) -> Result<[(&'static str, String); 2]> {
        Ok([
            ("DATABASE_PORT", cluster()?.port().to_string()),
            ("DATABASE", self.name.clone()),
        ])
    }

    /// Waits until a client reads the slot.
    pub fn until_read(&self, slot: &str) -> Result<()> {
        self.until_active(slot, "1")
    }

    fn until_active(&self, slot: &str, count: &str) -> Result<()> {
        let sql = format!(
            "select count(*) from pg_replication_slots where slot_name = '{slot}' and active"
        );
        let started = Instant::now();
        while self.ask(&sql)? != count {
            ensure!(
                started.elapsed() < DEADLINE,
                "{slot}: active is not {count}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn sql(&self, sql: &str) -> Result<()> {
        let done = self.block_on(self.client.batch_execute(sql));
        done.with_context(|| sql.to_owned())
    }

    /// The first column of the first row, as text.
    pub fn ask(&self, sql: &str) -> Result<String> {
        let rows = self.block_on(self.client.simple_query(sql));
        let rows = rows.with_context(|| sql.to_owned())?;
        let row = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        row.with_context(|| format!("{sql}: no row"))
    }

    /// Writes `rows` books, `in_transaction` of them in each transaction, and a mark after them. The owners 0 to
    /// `owners` - 1 take turns.
    pub fn write(&self, rows: u64, in_transaction: u64, owners: u64) -> Result<Backlog> {
        let times = rows / in_transaction;
        self.sql("set synchronous_commit = off")?;
        self.sql(&format!(
            "do $$ begin
                for turn in 0 .. {times} - 1 loop
                    insert into book (user_id)
                    select (turn * {in_transaction} + n) % {owners} from generate_series(0, {in_transaction} - 1) n;
                    commit;
                end loop;
             end $$"
        ))?;
        self.sql("set synchronous_commit = on")?;
        let end = self.ask("select pg_current_wal_insert_lsn()")?;
        self.sql("insert into mark values ((select count(*) from mark), 0)")?;
        Ok(Backlog {
            rows: times * in_transaction,
            end,
        })
    }

    /// Creates a slot at the position of the one that setup created.
    pub fn copy_slot(&mut self) -> Result<String> {
        self.copy_slot_of(&self.name.clone())
    }

    /// Creates a slot at the position of `slot`. Its name is new each time, because rowhook remembers its position by
    /// name.
    pub fn copy_slot_of(&mut self, slot: &str) -> Result<String> {
        self.slots += 1;
        let copy = format!("{}_{}", self.name, self.slots);
        self.sql(&format!(
            "select pg_copy_logical_replication_slot('{slot}', '{copy}')"
        ))?;
        Ok(copy)
    }

    /// Creates a slot at the end of the WAL.
    pub fn new_slot(&mut self) -> Result<String> {
        self.slots += 1;
        let slot = format!("{}_{}", self.name, self.slots);
        self.sql(&format!(
            "select pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        ))?;
        Ok(slot)
    }

    /// Waits until nobody reads the slot, and drops it.
    pub fn drop_slot(&self, slot: &str) -> Result<()> {
        self.until_active(slot, "0")?;
        self.sql(&format!("select pg_drop_replication_slot('{slot}')"))
    }

    /// The bytes of WAL that have ever been written.
    pub fn wal(&self) -> Result<f64> {
        Ok(self
            .ask("select pg_current_wal_insert_lsn() - '0/0'")?
            .parse()?)
    }

    /// Drops the slot that copies were made of, so that Postgres can remove the WAL.
    pub fn finish(self) -> Result<()> {
        self.drop_slot(&self.name)
    }
}

/// Opens a session.
pub async fn open(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // If the connection breaks, the next query fails and reports it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

fn connect(runtime: &Runtime, url: &str) -> Result<Client> {
    runtime.block_on(open(url)).context("connect to the source")
}
