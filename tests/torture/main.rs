//! Nothing is lost, out of order or made up, under kill -9, crashes of Postgres, tables that cannot be reached, and bad
//! endpoints.
//!
//! Writers commit and roll back changes. Two rowhooks run, one attached and one standing by. Meanwhile they and
//! Postgres are killed. In the end all endpoints answer well, and an oracle compares what was committed with what
//! arrived. `TORTURE_KILLS` and `TORTURE_CRASHES` set the length, and `TORTURE_SEED` repeats a run.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod cluster;
mod endpoints;
mod link;
mod oracle;
mod proxy;
mod writers;

use harness::{DEADLINE, Database, Http2, NameServer, Rowhook, SECRET, connect};
use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use rowhook::demo::cluster::{Cluster, Stop};
use tokio::{task::JoinHandle, time::Instant};

use self::{
    endpoints::{Endpoints, Heard},
    oracle::{Change, Truth},
    proxy::Proxy,
};

const HOOKS: usize = 50;
const WRITERS: usize = 2;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Is this one of the hooks of hooks.toml, whose deliveries come in batches? None of their endpoints answers 410, since
/// nobody could enable such a hook again.
fn is_batched(hook: usize) -> bool {
    hook % 3 == 2 && hook % 10 != 5
}

/// Is it one of those whose endpoints speak HTTP/2 and send their visitors away? Only hooks of hooks.toml name whom they
/// trust.
fn is_leaving(hook: usize) -> bool {
    is_batched(hook) && hook % 2 == 1
}

/// The name of the host of some endpoints. Nobody listens at the first of its addresses.
const SPLIT: (&str, [Ipv4Addr; 2]) = (
    "split.test",
    [Ipv4Addr::new(127, 0, 0, 98), Ipv4Addr::LOCALHOST],
);

/// hooks.toml for a database behind a proxy, with enough retries to outlast all failures.
fn config(
    database: &Database,
    proxy: &Proxy,
    port: u16,
    (url, leaving): (&str, &Http2),
    names: &NameServer,
) -> String {
    let retries = vec!["\"200ms\""; 2000].join(", ");
    let events = r#"
[events]
"item.added" = "item.created"
"item.changed" = "item.updated"
"item.removed" = "item.deleted"
"#;
    let mut config = String::new();
    for line in database.config(events).lines() {
        config += &match line {
            "[delivery]" => format!(
                "[delivery]\ntimeout = \"1s\"\nresolver = [\"{}\"]",
                names.address()
            ),
            _ if line.starts_with("retries") => format!("retries = [{retries}]"),
            _ => line.replace(&port.to_string(), &proxy.address.port().to_string()),
        };
        config.push('\n');
    }
    for hook in (0..HOOKS).filter(|hook| is_batched(*hook)) {
        let (max, order) = (hook % 7 + 2, if hook % 2 == 0 { "hook" } else { "row" });
        let target = if is_leaving(hook) {
            let authority = leaving.authority_file();
            format!("{}h{hook}\"\nca = \"{authority}", leaving.url)
        } else {
            format!("{url}/h{hook}")
        };
        config += &format!(
            "[[hooks]]\nname = \"h{hook}\"\nevents = [\"item.*\"]\ntarget = \"{target}\"\nsecret = \"{SECRET}\"\norder = \"{order}\"\nbatch = {{ max = {max}, wait = \"100ms\" }}\n"
        );
    }
    config
}

/// Waits until nothing is parked. There is no deadline while the number of parked deliveries falls.
async fn until_nothing_is_parked(database: &Database) {
    let (mut least, mut since) = (u64::MAX, Instant::now());
    let sql = "select count(*) from rowhook.delivery where state = 'parked'";
    while least > 0 {
        let parked: u64 = database.ask(sql).await.parse().unwrap();
        if parked < least {
            (least, since) = (parked, Instant::now());
        } else if since.elapsed() > DEADLINE {
            let rest = "select json_agg(d) from (select hook, lane, other_lane, state, reason, attempts, next_attempt, claimed, now() from rowhook.delivery limit 20) as d";
            let hooks = "select json_agg(h) from (select id, active, disabled_at, disabled_reason, updated_at, (select count(*) from rowhook.delivery where hook = id::text) as kept from rowhook.hook where id::text in (select hook from rowhook.delivery)) as h";
            let shares = "select coalesce(json_agg(p)::text, '') from rowhook.partition as p";
            panic!(
                "{parked} deliveries stay parked: {}\n{}\n{}",
                database.ask(rest).await,
                database.ask(hooks).await,
                database.ask(shares).await
            );
        }
        // Counting takes time on a busy server, so not too often.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Prints what the endpoint got for the row of a delivery that was overtaken.
fn tell_overtaken(heard: &[Heard], hook: usize, overtaken: &str) {
    let row = |heard: &Heard| {
        let body: serde_json::Value = serde_json::from_slice(&heard.body).unwrap();
        (
            body["data"]["id"].clone(),
            body["data"]["number"].clone(),
            body["hook"]["event"].clone(),
        )
    };
    let of_hook: Vec<&Heard> = heard.iter().filter(|heard| heard.hook == hook).collect();
    let late = of_hook.iter().find(|heard| heard.id == overtaken).unwrap();
    let of_row: Vec<&&Heard> = of_hook
        .iter()
        .filter(|heard| row(heard).0 == row(late).0)
        .collect();
    let place = of_row
        .iter()
        .position(|heard| heard.id == overtaken)
        .unwrap();
    for heard in &of_row[place.saturating_sub(6)..(place + 6).min(of_row.len())] {
        let (id, number, event) = row(heard);
        println!(
            "h{hook} row {id} number {number} {event} {} at {:?}",
            heard.id, heard.at
        );
    }
    println!();
}

/// Makes the tables, and the slot of the oracle.
async fn prepare(database: &Database) {
    database
        .sql("create table mark (n bigint primary key); create table item (id bigint primary key, number bigint, mark bigint); alter table item replica identity full")
        .await;
    oracle::begin(database).await;
}

/// Writers that commit, and hooks that hear them, while something else happens.
struct Story {
    database: Database,
    endpoints: Arc<Endpoints>,
    hooks: Vec<String>,
    stop: Arc<AtomicBool>,
    stop_enabling: Arc<AtomicBool>,
    enabler: JoinHandle<u64>,
    writers: Vec<JoinHandle<Vec<Change>>>,
}

impl Story {
    /// Makes the hooks, and begins to write.
    async fn begin(database: Database, url: &str, endpoints: Arc<Endpoints>, seed: u64) -> Self {
        let (host, _) = SPLIT;
        let mut hooks = Vec::new();
        for hook in 0..HOOKS {
            let target = match hook % 10 {
                4 => format!("{}/h{hook}", url.replace("127.0.0.1", host)),
                _ => format!("{url}/h{hook}"),
            };
            hooks.push(if is_batched(hook) {
                format!("h{hook}")
            } else {
                database.hook(None, "item.*", &target).await
            });
        }
        let (stop, stop_enabling) = (Arc::default(), Arc::<AtomicBool>::default());
        let enabler = tokio::spawn(writers::enable(
            database.url.clone(),
            Arc::clone(&stop_enabling),
        ));
        let writers = (1..=WRITERS as u64).map(|number| {
            let (url, stop) = (database.url.clone(), Arc::clone(&stop));
            tokio::spawn(writers::write(
                url,
                number.cast_signed(),
                seed ^ number,
                stop,
            ))
        });
        Self {
            endpoints,
            hooks,
            writers: writers.collect(),
            stop,
            stop_enabling,
            enabler,
            database,
        }
    }

    /// Stops writing, has all endpoints answer well, and compares what was committed with what arrived.
    async fn end(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let mut committed: Vec<Change> = Vec::new();
        for writer in self.writers {
            committed.extend(writer.await.unwrap());
        }
        self.database.client = connect(&self.database.url).await;
        let database = &self.database;
        let written = "select pg_size_pretty(pg_current_wal_lsn() - '0/0')";
        let (end, written) = (Instant::now(), database.ask(written).await);
        self.endpoints.healthy.store(true, Ordering::SeqCst);
        let behind = format!(
            "select pg_size_pretty(pg_current_wal_lsn() - confirmed_flush_lsn) from pg_replication_slots where slot_name = '{}'",
            database.name
        );
        let behind = database.ask(&behind).await;
        let lag = format!(
            "select pg_current_wal_lsn() - confirmed_flush_lsn < 16 * 1024 * 1024 from pg_replication_slots where slot_name = '{}'",
            database.name
        );
        database
            .until("the slot is less than 16 MiB behind", &lag)
            .await;
        let caught_up = end.elapsed();
        self.endpoints.all_healthy.store(true, Ordering::SeqCst);
        database.until_all_is_confirmed().await;
        until_nothing_is_parked(database).await;
        self.stop_enabling.store(true, Ordering::SeqCst);
        let enabled = self.enabler.await.unwrap();

        let truth = Truth::read(database, &self.hooks).await;
        let figures = truth.judge(&self.endpoints.heard.lock().unwrap());
        println!(
            "{} events for {HOOKS} hooks in {written} of WAL; {enabled} hooks disabled and enabled again",
            truth.committed.len(),
        );
        println!(
            "{} deliveries: lost {}, out of order {}, made up {}, two bodies under one id {}, repeated {}",
            figures.deliveries,
            figures.lost,
            figures.out_of_order,
            figures.made_up,
            figures.two_bodies,
            figures.repeated
        );
        println!(
            "the slot was {behind} behind at the end of it, and less than 16 MiB after {caught_up:.1?}, with one endpoint dead"
        );
        for (hook, overtaken) in &figures.overtaken {
            tell_overtaken(&self.endpoints.heard.lock().unwrap(), *hook, overtaken);
        }
        assert_eq!(
            oracle::events(&committed),
            truth.committed,
            "the writers and the oracle must agree"
        );
        assert!(committed.len() > 100, "the writers have hardly written");
        assert!(caught_up < DEADLINE, "{caught_up:?}");
        assert_eq!(
            (
                figures.lost,
                figures.out_of_order,
                figures.made_up,
                figures.two_bodies
            ),
            (0, 0, 0, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_reordered_or_made_up_under_fire() {
    let seed = from_env("TORTURE_SEED", rand::random());
    let (kills, crashes) = (from_env("TORTURE_KILLS", 8), from_env("TORTURE_CRASHES", 2));
    println!("TORTURE_SEED={seed} TORTURE_KILLS={kills} TORTURE_CRASHES={crashes}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(&[]).unwrap();
    let database = Database::on(&cluster).await;
    prepare(&database).await;
    let (url, leaving, endpoints) = endpoints::open(seed).await;
    let proxy = Arc::new(Proxy::before(cluster.port()).await);
    let (host, addresses) = SPLIT;
    let names = NameServer::of(&[(host, &addresses)]).await;
    let config = config(&database, &proxy, cluster.port(), (&url, &leaving), &names);
    let mut pair = [Rowhook::start(&config), Rowhook::start(&config)];
    database
        .until(
            "one of the two has set up and is attached",
            "select count(*) = 1 from pg_replication_slots where active",
        )
        .await;
    let story = Story::begin(database, &url, endpoints, seed).await;
    let (mut cuts, mut crashed) = (0, 0);
    for strike in 1..=kills {
        let longest = if random.random_ratio(1, 2) {
            1500
        } else {
            6000
        };
        tokio::time::sleep(Duration::from_millis(random.random_range(20..longest))).await;
        let one = &mut pair[random.random_range(0..2)];
        *one = Rowhook::start(&config);
        if crashed * kills < strike * crashes {
            crashed += 1;
            cluster.stop(Stop::Immediate).unwrap();
            cluster.start_again().unwrap();
        }
        if random.random_ratio(1, 4) {
            cuts += 1;
            let (proxy, pause) = (Arc::clone(&proxy), random.random_range(50..1500));
            tokio::spawn(async move {
                proxy.cut(true);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                proxy.cut(false);
            });
        }
    }
    println!("{kills} kills, {crashed} crashes, {cuts} cuts");
    story.end().await;
    println!(
        "{} requests of HTTP/2 were answered on {} connections, most of which went away",
        leaving.answered(),
        leaving.connections()
    );
    assert!(leaving.connections() > 10, "hardly a connection went away");
}
