//! Nothing lost, nothing out of order, nothing made up: under kill -9, crashes of Postgres, and endpoints of all kinds.
//!
//! Writers commit and roll back changes, each with a sequence number of its row. Receivers answer well, badly, late or
//! not at all. Meanwhile rowhook and Postgres are killed. In the end everyone is well, and an oracle compares what was
//! committed with what arrived. `TORTURE_KILLS`, `TORTURE_CRASHES` and `TORTURE_SEED` make it longer, or the same again.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is a test, and it uses only some of the stories' words"
)]

#[path = "stories/support.rs"]
mod support;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rowhook::demo::cluster::{Cluster, Stop};
use serde_json::Value;
use support::{Database, Rowhook, SECRET, connect};
use tokio::net::TcpListener;
use tokio_postgres::{Client, NoTls};

const HOOKS: usize = 20;
const WRITERS: usize = 2;
const ROWS: i64 = 25;

/// One committed change of a row: its id, and the number of the change of that row.
type Change = (i64, i64);

/// All endpoints, and what they got.
struct Endpoints {
    healthy: AtomicBool,
    random: Mutex<StdRng>,
    heard: Mutex<Vec<Heard>>,
    refused: AtomicUsize,
}

struct Heard {
    hook: usize,
    id: String,
    body: bytes::Bytes,
}

/// What an endpoint does with a request, by chance.
enum Mood {
    Well,
    Status(u16),
    Throttle,
    Late,
    Redirect,
}

impl Endpoints {
    fn chance(&self, chances: u32) -> u32 {
        self.random.lock().unwrap().random_range(0..chances)
    }

    /// The first few are always well, the last one never until the end; the others are so now and then.
    fn mood(&self, hook: usize) -> Mood {
        if self.healthy.load(Ordering::SeqCst) || hook < 4 {
            return Mood::Well;
        }
        if hook == HOOKS - 1 {
            return Mood::Status(500);
        }
        match self.chance(20) {
            0 | 1 => Mood::Status(500),
            2 => Mood::Status(404),
            3 => Mood::Throttle,
            4 if hook.is_multiple_of(3) => Mood::Late,
            5 => Mood::Redirect,
            _ => Mood::Well,
        }
    }
}

async fn receive(State(endpoints): State<Arc<Endpoints>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let hook: usize = parts.uri.path().trim_start_matches("/h").parse().unwrap();
    // A client that is killed in the middle of a request has not made it.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    standardwebhooks::Webhook::new(SECRET)
        .unwrap()
        .verify(&body, &parts.headers)
        .unwrap();
    let well = match endpoints.mood(hook) {
        Mood::Well => true,
        Mood::Status(code) => return StatusCode::from_u16(code).unwrap().into_response(),
        Mood::Throttle => {
            return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "0")]).into_response();
        }
        Mood::Redirect => return (StatusCode::FOUND, [("location", "/h0")]).into_response(),
        Mood::Late => false,
    };
    if !well {
        // Longer than the time-out: whoever asked is gone by then.
        tokio::time::sleep(Duration::from_secs(5)).await;
        return StatusCode::OK.into_response();
    }
    let id = parts.headers["webhook-id"].to_str().unwrap().to_owned();
    endpoints
        .heard
        .lock()
        .unwrap()
        .push(Heard { hook, id, body });
    StatusCode::OK.into_response()
}

/// Opens the endpoints. One connection in thirty is cut without a word.
async fn open_endpoints(seed: u64) -> (String, Arc<Endpoints>) {
    let endpoints = Arc::new(Endpoints {
        healthy: AtomicBool::new(false),
        random: Mutex::new(StdRng::seed_from_u64(seed)),
        heard: Mutex::default(),
        refused: AtomicUsize::new(0),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new()
        .fallback(receive)
        .with_state(Arc::clone(&endpoints));
    let doors = Arc::clone(&endpoints);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if !doors.healthy.load(Ordering::SeqCst) && doors.chance(30) == 0 {
                doors.refused.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let service = TowerToHyperService::new(app.clone());
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (url, endpoints)
}

/// Writes transactions until it is told to stop, and returns what was committed, in order. Each transaction leaves a mark,
/// by which it is known after a crash whether it was committed.
async fn write(url: String, writer: i64, seed: u64, stop: Arc<AtomicBool>) -> Vec<Change> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut client: Option<Client> = None;
    let mut rows: HashMap<i64, i64> = HashMap::new();
    let mut committed = Vec::new();
    let mut transaction = 0;
    while !stop.load(Ordering::SeqCst) {
        transaction += 1;
        let mark = writer * 1_000_000 + transaction;
        let mut sql = format!("begin; insert into mark values ({mark});");
        let mut after = rows.clone();
        let mut changes = Vec::new();
        for _ in 0..random.random_range(1..8) {
            let id = writer * 1000 + random.random_range(0..ROWS);
            // A row that is gone goes on counting when it comes again.
            let number = after.get(&id).copied().unwrap_or(0) + 1;
            sql += &match (number.rem_euclid(7), number) {
                (1, _) => format!("insert into item values ({id}, {number}, {mark});"),
                (0, _) => format!(
                    "update item set number = {number}, mark = {mark} where id = {id}; delete from item where id = {id};"
                ),
                _ => format!("update item set number = {number}, mark = {mark} where id = {id};"),
            };
            after.insert(id, number);
            changes.push((id, number));
        }
        let commit = random.random_ratio(9, 10);
        sql += if commit { "commit" } else { "rollback" };
        let done = execute(&url, &mut client, &sql, mark).await;
        if commit && done {
            rows = after;
            committed.extend(changes);
        }
        // A breath, so that all of the time is written in and not only its beginning.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
    }
    committed
}

/// Runs a transaction, and says whether it was committed. Postgres may die at any point of it.
async fn execute(url: &str, slot: &mut Option<Client>, sql: &str, mark: i64) -> bool {
    if let Some(client) = slot
        && client.batch_execute(sql).await.is_ok()
    {
        return sql.ends_with("commit");
    }
    // Either there was no session yet, or it died over the transaction.
    let first = slot.is_none();
    loop {
        let Ok((client, connection)) = tokio_postgres::connect(url, NoTls).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(connection);
        if first {
            client.batch_execute("select 1").await.unwrap();
            *slot = Some(client);
            return Box::pin(execute(url, slot, sql, mark)).await;
        }
        let marked = client
            .query(&format!("select from mark where n = {mark}"), &[])
            .await;
        *slot = Some(client);
        if let Ok(rows) = marked {
            return !rows.is_empty();
        }
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_reordered_or_made_up_under_fire() {
    let seed = from_env("TORTURE_SEED", rand::random());
    let (kills, crashes) = (from_env("TORTURE_KILLS", 8), from_env("TORTURE_CRASHES", 2));
    println!("TORTURE_SEED={seed} TORTURE_KILLS={kills} TORTURE_CRASHES={crashes}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(&[]).unwrap();
    let mut database = Database::on(&cluster).await;
    database
        .sql("create table mark (n bigint primary key); create table item (id bigint primary key, number bigint, mark bigint); alter table item replica identity full")
        .await;
    let (url, endpoints) = open_endpoints(seed).await;
    // Enough attempts to outlast the bad days, each within a moment.
    let retries: Vec<&str> = std::iter::repeat_n("\"200ms\"", 500).collect();
    let config = database
        .config("[events]\n\"item.added\" = \"item.created\"\n\"item.changed\" = \"item.updated\"\n\"item.removed\" = \"item.deleted\"\n")
        .replace("[delivery]", "[delivery]\ntimeout = \"1s\"")
        .lines()
        .map(|line| if line.starts_with("retries") { format!("retries = [{}]", retries.join(", ")) } else { line.to_owned() })
        .collect::<Vec<_>>()
        .join("\n");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached").await;
    for hook in 0..HOOKS {
        database
            .hook(None, "item.*", &format!("{url}/h{hook}"))
            .await;
    }

    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let number = i64::try_from(writer).unwrap() + 1;
            tokio::spawn(write(
                database.url.clone(),
                number,
                seed ^ number.unsigned_abs(),
                Arc::clone(&stop),
            ))
        })
        .collect();
    for strike in 1..=kills {
        tokio::time::sleep(Duration::from_millis(random.random_range(20..1500))).await;
        if strike % (kills / crashes.max(1)).max(1) == 0 && crashes > 0 {
            cluster.stop(Stop::Immediate).unwrap();
            cluster.start_again().unwrap();
        } else {
            rowhook.kill();
            rowhook = Rowhook::start(&config);
            // Now and then two of them: one stands by, and takes over when the other is killed.
            if random.random_ratio(1, 4) {
                let second = Rowhook::start(&config);
                rowhook.kill();
                rowhook = second;
            }
        }
    }
    stop.store(true, Ordering::SeqCst);
    let mut committed: Vec<Change> = Vec::new();
    for writer in writers {
        committed.extend(writer.await.unwrap());
    }
    endpoints.healthy.store(true, Ordering::SeqCst);
    rowhook.kill();
    let _rowhook = Rowhook::start(&config);
    database.client = connect(&database.url).await;
    database.until_all_has_arrived().await;

    let figures = judge(&committed, &endpoints.heard.lock().unwrap());
    println!(
        "{} committed changes for {HOOKS} hooks: {} deliveries, lost {}, out of order {}, made up {}, two bodies under one id {}, repeated {}",
        committed.len(),
        figures.deliveries,
        figures.lost,
        figures.out_of_order,
        figures.made_up,
        figures.two_bodies,
        figures.repeated
    );
    assert!(committed.len() > 100, "the writers have hardly written");
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

#[derive(Default)]
struct Figures {
    deliveries: usize,
    lost: usize,
    out_of_order: usize,
    made_up: usize,
    two_bodies: usize,
    repeated: usize,
}

/// Compares what was committed with what each hook got.
fn judge(committed: &[Change], heard: &[Heard]) -> Figures {
    let mut figures = Figures {
        deliveries: heard.len(),
        ..Figures::default()
    };
    // Every seventh change of a row is an update and a deletion in one, and so two events.
    let events = |&(id, number): &Change| {
        let removed = (number % 7 == 0).then_some((id, number, "item.removed"));
        let name = if number % 7 == 1 {
            "item.added"
        } else {
            "item.changed"
        };
        [Some((id, number, name)), removed].into_iter().flatten()
    };
    let expected: HashSet<(i64, i64, &str)> = committed.iter().flat_map(events).collect();
    let mut bodies: HashMap<&str, &[u8]> = HashMap::new();
    for Heard { id, body, .. } in heard {
        if *bodies.entry(id).or_insert(body) != *body {
            figures.two_bodies += 1;
        }
    }
    for hook in 0..HOOKS {
        let mut seen: HashSet<(i64, i64, String)> = HashSet::new();
        let mut newest: HashMap<i64, (i64, bool)> = HashMap::new();
        for Heard { body, .. } in heard.iter().filter(|heard| heard.hook == hook) {
            let body: Value = serde_json::from_slice(body).unwrap();
            let event = body["hook"]["event"].as_str().unwrap().to_owned();
            let (id, number) = (
                body["data"]["id"].as_i64().unwrap(),
                body["data"]["number"].as_i64().unwrap(),
            );
            if !expected.contains(&(id, number, event.as_str())) {
                figures.made_up += 1;
            }
            let at = (number, event == "item.removed");
            if !seen.insert((id, number, event)) {
                figures.repeated += 1;
            } else if newest.insert(id, at).is_some_and(|before| before > at) {
                figures.out_of_order += 1;
            }
        }
        figures.lost += expected.len() - seen.len().min(expected.len());
    }
    figures
}
