//! The same in a cluster: one rowhook reads, one stands by, and three send, over three servers of NATS. At random, any
//! of these is killed, frozen for longer than the lease, or cut off from NATS or from its tables, and Postgres crashes.
//! `TORTURE_EVENTS` is the number of such events.

use std::{sync::Arc, time::Duration};

use harness::{Database, NameServer, Nats, Rowhook};
use nix::sys::signal::Signal;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rowhook::demo::cluster::{Cluster, Stop};
use tokio::time::Instant;

use crate::{SPLIT, Story, endpoints, from_env, link::Link, proxy::Proxy};

/// How many read, and how many send.
const READERS: usize = 2;
const SENDERS: usize = 3;

/// What may happen.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A rowhook is killed, and another one starts in its place.
    Kill,
    /// A rowhook is stopped for longer than the lease.
    Freeze,
    /// A rowhook is cut off from NATS.
    CutOff,
    /// A rowhook hears nothing of NATS, and nobody says so.
    Silence,
    /// A server of NATS is killed, and starts again with nothing.
    LoseServer,
    /// All servers of NATS are.
    LoseAll,
    /// All rowhooks are cut off from their tables.
    CutTables,
    /// Postgres crashes.
    Crash,
}

impl Event {
    fn random(random: &mut StdRng) -> Self {
        match random.random_range(0..20) {
            0..=4 => Self::Kill,
            5..=8 => Self::Freeze,
            9..=11 => Self::CutOff,
            12..=13 => Self::Silence,
            14..=15 => Self::LoseServer,
            16 => Self::LoseAll,
            17..=18 => Self::CutTables,
            _ => Self::Crash,
        }
    }
}

/// A rowhook of the cluster, and its way to NATS.
struct Member {
    config: String,
    only: &'static str,
    links: Vec<Arc<Link>>,
    rowhook: Rowhook,
}

impl Member {
    async fn start(config: &str, only: &'static str, nats: &Nats) -> Self {
        let mut links = Vec::new();
        for number in 0..nats.count() {
            links.push(Arc::new(Link::before(nats.port(number)).await));
        }
        let urls = links
            .iter()
            .map(|link| format!("nats://{}", link.address))
            .collect::<Vec<_>>()
            .join(",");
        let config =
            format!("{config}\n[cluster]\nnats = \"{urls}\"\npartitions = 16\nlease = \"1s\"\n");
        let rowhook = Rowhook::start_with_args(&config, &["run", "--only", only]);
        Self {
            config,
            only,
            links,
            rowhook,
        }
    }

    fn start_again(&mut self) {
        self.rowhook = Rowhook::start_with_args(&self.config, &["run", "--only", self.only]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_loses_reorders_and_makes_up_nothing_under_fire() {
    let seed = from_env("TORTURE_SEED", rand::random());
    let events = from_env("TORTURE_EVENTS", 30);
    println!("TORTURE_SEED={seed} TORTURE_EVENTS={events}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(&[]).unwrap();
    let database = Database::on(&cluster).await;
    let (url, leaving, endpoints) = endpoints::open(seed).await;
    let proxy = Arc::new(Proxy::before(cluster.port()).await);
    let (host, addresses) = SPLIT;
    let names = NameServer::of(&[(host, &addresses)]).await;
    let config = crate::config(&database, &proxy, cluster.port(), (&url, &leaving), &names);
    let mut nats = Nats::three().await;
    crate::prepare(&database).await;
    let mut members = Vec::new();
    for number in 0..READERS + SENDERS {
        let only = if number < READERS { "read" } else { "send" };
        members.push(Member::start(&config, only, &nats).await);
    }
    database
        .until(
            "one of the two has set up and is attached",
            "select count(*) = 1 from pg_replication_slots where active",
        )
        .await;
    let story = Story::begin(database, &url, endpoints, seed).await;
    let began = Instant::now();
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..events {
        let pause = random.random_range(20..2500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let event = Event::random(&mut random);
        *seen.entry(format!("{event:?}")).or_default() += 1;
        let one = random.random_range(0..members.len());
        let lasts = Duration::from_millis(random.random_range(100..4000));
        match event {
            Event::Kill => members[one].start_again(),
            Event::Freeze => {
                members[one].rowhook.signal(Signal::SIGSTOP);
                tokio::time::sleep(lasts).await;
                members[one].rowhook.signal(Signal::SIGCONT);
            }
            Event::CutOff | Event::Silence => {
                for link in &members[one].links {
                    let (link, is_cut) = (Arc::clone(link), matches!(event, Event::CutOff));
                    tokio::spawn(async move {
                        link.break_for(lasts, is_cut).await;
                    });
                }
            }
            Event::LoseServer => {
                let number = random.random_range(0..nats.count());
                nats.kill(number);
                tokio::time::sleep(lasts / 2).await;
                nats.start_again(number).await;
            }
            Event::LoseAll => {
                (0..nats.count()).for_each(|number| nats.kill(number));
                tokio::time::sleep(lasts / 2).await;
                for number in 0..nats.count() {
                    nats.start_again(number).await;
                }
            }
            Event::CutTables => {
                let proxy = Arc::clone(&proxy);
                tokio::spawn(async move {
                    proxy.cut(true);
                    tokio::time::sleep(lasts / 2).await;
                    proxy.cut(false);
                });
            }
            Event::Crash => {
                cluster.stop(Stop::Immediate).unwrap();
                cluster.start_again().unwrap();
            }
        }
    }
    println!("{seen:?} in {:.0?}", began.elapsed());
    story.end().await;
}
