//! Whatever is done to tables and rows, each event tells its own moment.
//!
//! Random sequences of changes run in several worlds at once: rows are written in transactions with savepoints and
//! rollbacks, tables are altered, truncated, swapped, renamed and created again, and lose and get replica identities.
//! Meanwhile rowhook is stopped and killed. Triggers note what each statement did, and what was delivered is compared
//! with that. `SEQUENCES` sets how many there are and `SEQUENCES_SEED` which ones; without it they are always the same.
//! `SEQUENCE` runs only those that begin with the one of this number, in every world. `SEQUENCES_LOG` names a file for
//! rowhook's log.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, its helpers too"
)]

mod judge;
mod undecodable;
mod world;

use std::{
    fs::OpenOptions,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use harness::{Cluster, Database, Receiver, Rowhook, connect};
use nix::sys::signal::Signal;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{sync::RwLock, task::JoinSet, time::Instant};

use self::{
    undecodable::Undecodable,
    world::{ON_SAME_TABLES, Sequence, World},
};

/// How many sequences are run, and from which seed, where nothing else is asked for. They take more than a minute, and
/// a few on a machine that does much else.
const COUNT: u64 = 1000;
const SEED: u64 = 1;
/// How many run on one server before they are judged. The seed of the next ones is the next number.
const ROUND: usize = 2500;
/// How many of these may be given up because the server cannot read its own WAL. Others are run in their place.
const GIVEN_UP: usize = 3;
/// The owners 1 to this one have a hook each.
const OWNERS: u32 = 3;
/// How many sequences run at once.
const WORLDS: usize = 16;
/// How long rowhook has to publish tables, its stops and starts included.
const WAIT: Duration = Duration::from_secs(300);

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Have the shelves of this world the replica identity FULL?
fn is_full(world: usize) -> bool {
    world.is_multiple_of(2)
}

fn config(database: &Database, url: &str) -> String {
    let mut rest = "[events]\n".to_owned();
    for world in 1..=WORLDS {
        for table in ["shelf", "book", "part"] {
            for action in ["created", "updated", "deleted", "truncated"] {
                rest += &format!("\"w{world}.{table}.{action}\" = \"w{world}.{table}.{action}\"\n");
            }
        }
    }
    for world in 1..=WORLDS {
        rest += &format!(
            "[tables.\"w{world}.book\"]\nowner = \"shelf_id -> w{world}.shelf.user_id\"\n"
        );
        if is_full(world) {
            rest += &format!("[tables.\"w{world}.shelf\"]\nidentity = \"full\"\n");
        }
    }
    rest += &format!("[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{url}/all\"\n");
    let payload = "[delivery]\npayload = \"standard\"";
    database.config(&rest).replace("[delivery]", payload)
}

/// Adds rowhook's log to the file that `SEQUENCES_LOG` names.
fn keep(log: &str) {
    let Ok(path) = std::env::var("SEQUENCES_LOG") else {
        return;
    };
    let file = OpenOptions::new().create(true).append(true).open(path);
    writeln!(file.unwrap(), "{log}\n").unwrap();
}

/// Stops and kills rowhook again and again until the sequences have run, and returns one that runs.
///
/// It confirms nothing before it has read up to the present, because it asks whose rows are by then. Where all
/// processors are busy, that can take longer than it lives, for ever. So after one that was stopped too early, the next
/// lives until it has confirmed what was there when it began.
async fn restart(
    url: String,
    config: String,
    mut rowhook: Rowhook,
    starts: Arc<RwLock<()>>,
    done: Arc<AtomicBool>,
    seed: u64,
) -> (Rowhook, usize) {
    let client = connect(&url).await;
    let position = async || {
        let sql = "select pg_current_wal_insert_lsn()::text";
        let row = client.query_one(sql, &[]).await.unwrap();
        row.get::<_, String>(0)
    };
    let is_confirmed = async |position: &str| {
        // A few bytes alone are not confirmed.
        let sql = format!(
            "select confirmed_flush_lsn >= '{position}'::pg_lsn - 20000::numeric from pg_replication_slots"
        );
        let row = client.query_one(&sql, &[]).await.unwrap();
        row.get::<_, bool>(0)
    };
    let mut random = StdRng::seed_from_u64(seed);
    let (mut restarts, mut may_be_early) = (0, true);
    while !done.load(Ordering::SeqCst) {
        let pause = Duration::from_millis;
        let begun = position().await;
        tokio::time::sleep(pause(random.random_range(3000..12000))).await;
        while !may_be_early && !is_confirmed(&begun).await && !done.load(Ordering::SeqCst) {
            tokio::time::sleep(pause(200)).await;
        }
        may_be_early = is_confirmed(&begun).await;
        match random.random_ratio(1, 2) {
            true => keep(&rowhook.kill_and_log()),
            false => {
                rowhook.signal(Signal::SIGTERM);
                let (status, log) = rowhook.wait();
                keep(&log);
                assert!(status.success(), "{status} after SIGTERM:\n{log}");
            }
        }
        tokio::time::sleep(pause(random.random_range(0..1500))).await;
        let names = starts.write().await;
        rowhook = Rowhook::start(&config);
        rowhook.until_log("attached slot=").await;
        drop(names);
        restarts += 1;
    }
    (rowhook, restarts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_a_random_sequence_tells_its_own_moment() {
    let seed = from_env("SEQUENCES_SEED", SEED);
    let count = from_env("SEQUENCES", COUNT);
    let only = std::env::var("SEQUENCE")
        .ok()
        .map(|number| number.parse().unwrap());
    let (mut faults, mut judged, mut given_up) = (0, 0, 0);
    for seed in seed.. {
        let round = (count - judged).min(ROUND as u64);
        println!("SEQUENCES_SEED={seed} SEQUENCES={round}");
        let cluster = Cluster::start(&["synchronous_commit=off"]).unwrap();
        let database = Database::on(&cluster).await;
        tokio::select! {
            found = run(&database, seed, round, only) => {
                faults += found;
                judged += round;
            }
            Undecodable(message) = undecodable::found(&cluster, &database) => {
                given_up += 1;
                println!("given up: the server cannot read its own WAL: {message}");
                assert!(given_up <= GIVEN_UP, "rounds were given up again and again");
            }
        }
        if judged == count {
            break;
        }
    }
    println!("{judged} sequences judged, {given_up} rounds given up");
    assert_eq!(faults, 0);
}

/// Runs so many sequences on a server of their own, and returns how many faults there were.
async fn run(database: &Database, seed: u64, count: u64, only: Option<u64>) -> usize {
    let begun = Instant::now();
    database.sql(include_str!("oracle.sql")).await;
    let starts = Arc::new(RwLock::new(()));
    let mut worlds = Vec::new();
    for number in 1..=WORLDS {
        worlds.push(World::new(number, &database.url, &starts).await);
    }
    let receiver = Receiver::start().await;
    let config = config(database, &receiver.url());
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    for owner in 1..=OWNERS {
        let (owner, target) = (owner.to_string(), format!("{}/{owner}", receiver.url()));
        database.hook(Some(&owner), "*", &target).await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let mut restarter = JoinSet::new();
    restarter.spawn(restart(
        database.url.clone(),
        config,
        rowhook,
        Arc::clone(&starts),
        Arc::clone(&done),
        seed,
    ));
    let next = Arc::new(AtomicU64::new(1));
    let mut runners = JoinSet::new();
    for mut world in worlds {
        let next = Arc::clone(&next);
        runners.spawn(async move {
            let mut sequences: Vec<Sequence> = Vec::new();
            loop {
                let number = next.fetch_add(ON_SAME_TABLES, Ordering::SeqCst);
                if number > count {
                    return sequences;
                }
                sequences.push(world.run(only.unwrap_or(number), seed).await);
            }
        });
    }
    let mut sequences = Vec::new();
    while let Some(of_world) = runners.join_next().await {
        sequences.extend(of_world.unwrap());
    }
    let ran = begun.elapsed();
    done.store(true, Ordering::SeqCst);
    let (mut rowhook, restarts) = restarter.join_next().await.unwrap().unwrap();
    rowhook.until_log("attached slot=").await;
    database.until_all_has_arrived().await;
    println!(
        "{} sequences in {ran:.1?}, {restarts} restarts; all has arrived after {:.1?}",
        sequences.len() as u64 * ON_SAME_TABLES,
        begun.elapsed()
    );
    let verdict = judge::judge(database, &sequences, &receiver.calls()).await;
    println!("{verdict}");
    verdict.faults
}
