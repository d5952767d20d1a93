//! A hundred hooks of a hostile owner beside one healthy owner, on the same rows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use harness::{Database, Gate, NameServer, Receiver, Rowhook};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, interval},
};
use tokio_postgres::error::SqlState;

/// The rows of each half, and the pause between two of them. Each row is a hundred deliveries more in the second half,
/// which an unoptimized build has to get done meanwhile.
const ROWS: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);
/// What the healthy owner may wait for longer than twice as long as alone. The filters of one owner may take a million
/// steps at once, which is 50 ms of a core, and as much again within a second; without optimization it is some twenty
/// times as long. Handing on a hundred deliveries of the same row takes tens of milliseconds then. Whoever waits for one of
/// the hostile hooks waits for longer: for a time-out of 3 s, or a filter without bounds.
const ALLOWED: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1200 } else { 100 });

/// All hooks hear the rows of everyone.
const EVENTS: &str = "[events]\n\"book.added\" = \"book.created+\"\n";

/// Macros within each other over lists of ones.
fn nested(name: &str, levels: usize, items: usize, innermost: &str) -> String {
    let list = format!("[{}]", vec!["1"; items].join(","));
    let open = (0..levels).map(|level| format!("{list}.{name}(v{level}, "));
    format!(
        "{}{innermost}{}",
        open.collect::<String>(),
        ")".repeat(levels)
    )
}

/// An endpoint that says this on each connection, and no more, but does not close it.
async fn saying(what: &'static [u8], trickle: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 65536];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(what).await;
                let mut crumbs = interval(Duration::from_millis(200));
                while trickle && stream.write_all(b"x").await.is_ok() {
                    crumbs.tick().await;
                }
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    url
}

/// Times of what one owner gets, by the id of the book.
#[derive(Clone, Default)]
struct Arrivals(Arc<Mutex<HashMap<i64, Instant>>>);

/// Inserts books one after the other, and returns the 99th percentile of the time until the healthy owner had them.
async fn p99(database: &Database, first: usize, arrivals: &Arrivals) -> Duration {
    let mut written = HashMap::new();
    let mut ticks = interval(PAUSE);
    for id in first..first + ROWS {
        ticks.tick().await;
        written.insert(i64::try_from(id).unwrap(), Instant::now());
        let title = "ab".repeat(20);
        let sql = format!("insert into book values ({id}, 7, 1, '{title}', 9)");
        database.sql(&sql).await;
    }
    let all = || {
        let arrived = arrivals.0.lock().unwrap();
        written.keys().all(|id| arrived.contains_key(id))
    };
    harness::until_within(harness::DEADLINE, "all has arrived", async || all()).await;
    let arrived = arrivals.0.lock().unwrap();
    let mut took: Vec<Duration> = written.iter().map(|(id, at)| arrived[id] - *at).collect();
    took.sort();
    took[took.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_hostile_hooks_of_every_kind_do_not_slow_their_neighbour() {
    let database = Database::bookstore().await;
    let names = NameServer::of(&[]).await;
    let config = database.config(&format!("{EVENTS}[limits]\ntemplate = true\n"));
    let config = config.replace(
        "[delivery]\n",
        &format!(
            "[delivery]\ntimeout = \"3s\"\nresolver = [\"{}\"]\n",
            names.address()
        ),
    );
    let arrivals = Arrivals::default();
    let times = arrivals.clone();
    let healthy = Receiver::answering(move |call, _| {
        let id = call.data()["id"].as_i64().unwrap();
        times
            .0
            .lock()
            .unwrap()
            .entry(id)
            .or_insert_with(Instant::now);
        200
    })
    .await;
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let good = database.hook(Some("7"), "book.added", &healthy.url()).await;
    let alone = p99(&database, 1, &arrivals).await;

    let gate = Gate::closed().await;
    let silent = saying(b"", false).await;
    let trickle = saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", true).await;
    let garbage = saying(b"\0\xffno HTTP at all\r\n\r\n", false).await;
    let endless = saying(b"HTTP/1.1 200 OK\r\nx-header: ", true).await;
    let gone = Receiver::answering(|_, _| 410).await;
    let busy = Receiver::answering(|_, _| 429).await;
    let failing = Receiver::answering(|_, _| 500).await;
    let fine = Receiver::start().await;
    // What each hostile hook is made of: event, target, filter, headers, template.
    let headers = "(select jsonb_object_agg('x-' || n, 'v') from generate_series(1, 24577) as n)";
    let many =
        "(select jsonb_object_agg('x-' || n, repeat('v', 200)) from generate_series(1, 100) as n)";
    let filters = [
        nested("all", 8, 100, "true"),
        nested("all", 10, 190, "true"),
        format!("{} == []", nested("map", 5, 100, "[1, 2, 3]")),
        nested(
            "all",
            4,
            100,
            "!new.title.matches(\"(?:[ab]*a){9}[ab]{9}c\")",
        ),
        "new.title.matches(\"(((a*)*b)*)*c\")".to_owned(),
        "((((((((((".to_owned(),
    ];
    let plain = "null".to_owned();
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut kinds: Vec<[String; 5]> = Vec::new();
    for filter in &filters {
        kinds.push([
            "*".into(),
            fine.url(),
            quoted(filter),
            plain.clone(),
            plain.clone(),
        ]);
    }
    for target in [
        gate.url(),
        silent,
        trickle,
        garbage,
        endless,
        gone.url(),
        busy.url(),
        failing.url(),
        "http://127.0.0.1:1/".into(),
        "http://{n}.silent.test/".into(),
        "http://10.0.0.1/".into(),
        "not a target".into(),
        format!("http://127.0.0.1:1/{}", "x".repeat(66_000)),
    ] {
        kinds.push([
            "book.*".into(),
            target,
            plain.clone(),
            plain.clone(),
            plain.clone(),
        ]);
    }
    for all in [headers, many] {
        kinds.push([
            "book.added".into(),
            fine.url(),
            plain.clone(),
            all.into(),
            plain.clone(),
        ]);
    }
    for template in [
        "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
        "{% macro again() %}{{ again() }}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ data.nothing.at.all }}",
        "{% for a in range(9999) %}{{ data }}{% endfor %}",
    ] {
        kinds.push([
            "*".into(),
            fine.url(),
            plain.clone(),
            plain.clone(),
            quoted(template),
        ]);
    }
    for event in ["*", "book.*"] {
        kinds.push([
            event.into(),
            fine.url(),
            plain.clone(),
            plain.clone(),
            plain.clone(),
        ]);
    }
    let mut hooks: Vec<(usize, &[String; 5])> =
        kinds.iter().cycle().take(100).enumerate().collect();
    hooks.shuffle(&mut StdRng::seed_from_u64(7));
    for (n, [event, target, filter, headers, template]) in hooks {
        let target = target.replace("{n}", &n.to_string());
        let sql = format!(
            "insert into rowhook.hook (owner, event, target, filter, headers, template) values ('8', '{event}', '{target}', {filter}, {headers}, {template})"
        );
        // What the table refuses harms nobody either.
        if let Err(error) = database.client.batch_execute(&sql).await {
            assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{error:?}");
        }
    }
    let beside = p99(&database, 1001, &arrivals).await;
    println!("p99 alone {alone:?}, beside a hundred hostile hooks {beside:?}");
    assert!(
        beside <= 2 * alone + ALLOWED,
        "alone {alone:?}, beside a hundred hostile hooks {beside:?}"
    );
    database.until_all_is_confirmed().await;

    // Everything, once each; each row is a lane of its own.
    let calls = healthy.calls();
    let mut ids: Vec<i64> = calls
        .iter()
        .map(|call| call.data()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    let expected: Vec<i64> = [1, 1001]
        .into_iter()
        .flat_map(|first| first..first + i64::try_from(ROWS).unwrap())
        .collect();
    assert_eq!(ids, expected);
    let parked = format!("select count(*) = 0 from rowhook.delivery where hook = '{good}'");
    assert_eq!(database.ask(&parked).await, "t");
    // What they share a row with goes on in order: each change of one book.
    for n in 0..20 {
        let sql =
            format!("delete from book where id = 1; insert into book values (1, 7, 1, '{n}', 9)");
        database.sql(&sql).await;
    }
    let calls = healthy.expect(expected.len() + 20).await;
    let titles: Vec<String> = calls[expected.len()..]
        .iter()
        .map(|call| call.data()["title"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(titles, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    database.until_all_is_confirmed().await;
}
