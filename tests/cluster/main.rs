//! A cluster: one rowhook reads, and many send, over NATS. With real servers of NATS and Postgres, and the real binary.

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod failures;
mod handover;
mod hooks;
mod login;
mod seeing;
mod sending;

use harness::{Call, Database, Nats, Rowhook};

/// A database with rows of which every change is an event, and its hooks.toml in a cluster.
pub struct World {
    pub database: Database,
    pub nats: Nats,
    pub config: String,
}

const EVENTS: &str = r#"
[events]
"item.added" = "item.created"
"item.changed" = "item.updated"
"#;

impl World {
    /// One server of NATS.
    pub async fn new() -> Self {
        Self::with(Nats::start().await, "").await
    }

    /// One server of NATS, and a lease that is over soon.
    pub async fn quick() -> Self {
        Self::leased(Nats::start().await, "", "2s").await
    }

    /// These servers of NATS, and more in hooks.toml.
    pub async fn with(nats: Nats, more: &str) -> Self {
        // A machine that is busy with other work is late with everything.
        Self::leased(nats, more, "20s").await
    }

    async fn leased(nats: Nats, more: &str, lease: &str) -> Self {
        let section = nats.section(&format!("lease = \"{lease}\""));
        Self::of(nats, &format!("{section}{more}")).await
    }

    /// These servers of NATS, of which hooks.toml says this.
    pub async fn of(nats: Nats, section: &str) -> Self {
        let database = Database::new().await;
        database
            .sql("create table item (id bigint primary key, number bigint not null)")
            .await;
        let config = database.config(&format!("{EVENTS}{section}"));
        Self {
            database,
            nats,
            config,
        }
    }

    /// A rowhook that reads and sends.
    pub fn rowhook(&self) -> Rowhook {
        Rowhook::start(&self.config)
    }

    /// A rowhook with these arguments.
    pub fn only(&self, only: &str) -> Rowhook {
        Rowhook::start_with_args(&self.config, &["run", "--only", only])
    }

    /// Waits until every partition is with a sender.
    pub async fn until_all_is_with(&self, senders: usize) {
        let sql = format!(
            "select count(*) = 64 and count(distinct sender) = {senders} from rowhook.partition where sender is not null"
        );
        self.database
            .until(&format!("all partitions are with {senders} senders"), &sql)
            .await;
    }

    /// Waits until every partition is with a sender, and each of so many has its fair share.
    pub async fn until_each_has(&self, partitions: u32) {
        let sql = format!(
            "select count(*) * {partitions} = 64 and bool_and(has = {partitions})
             from (select count(*) as has from rowhook.partition where sender is not null group by sender) as shares"
        );
        let fact = format!("each sender has {partitions} partitions");
        self.database.until(&fact, &sql).await;
    }

    /// Changes so many rows of one transaction.
    pub async fn add(&self, from: u64, to: u64) {
        let sql = format!("insert into item select id, 0 from generate_series({from}, {to}) as id");
        self.database.sql(&sql).await;
    }
}

/// The ids of the deliveries of these calls, which are different ones unless something was sent twice.
pub fn sent(calls: &[Call]) -> Vec<String> {
    let id = |call: &Call| call.headers["webhook-id"].to_str().unwrap().to_owned();
    let mut sent: Vec<String> = calls.iter().map(id).collect();
    sent.sort_unstable();
    sent
}

/// Whether each of these was sent once.
pub fn each_once(calls: &[Call]) -> bool {
    let mut sent = sent(calls);
    let all = sent.len();
    sent.dedup();
    sent.len() == all
}
