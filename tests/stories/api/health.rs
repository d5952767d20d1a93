//! Metrics, health, and a new file while it runs.

use harness::{BOOK_EVENTS, Database, Receiver, Rowhook, SECRET};
use reqwest::Client;
use serde_json::json;

use super::client::{ADMIN, Api, server};

#[tokio::test]
async fn what_happens_is_counted_and_health_is_told() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| if before == 0 { 500 } else { 200 }).await;
    let config = database.config(&format!("{BOOK_EVENTS}\n{}", server("")));
    let api = Api::start(&config).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(2).await;
    database.until_all_has_arrived().await;
    let metrics = api.get("/metrics", "").await;
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        "rowhook_attached 1",
        "rowhook_standby 0",
        "rowhook_events_total 1",
        "rowhook_attempts_total{outcome=\"delivered\"} 1",
        "rowhook_attempts_total{outcome=\"failed\"} 1",
        "rowhook_parked_total 1",
        "rowhook_dead_total 0",
        "rowhook_attempt_duration_seconds_count 2",
        "rowhook_attempt_duration_seconds_bucket{le=\"+Inf\"} 2",
        "rowhook_deliveries{state=\"parked\"} 0",
        "rowhook_hooks{state=\"active\"} 1",
        "rowhook_requests_in_flight 0",
        "rowhook_breakers_open 0",
        "rowhook_unsettled_deliveries 0",
    ] {
        assert!(
            metrics.text.lines().any(|told| told == line),
            "{line}\n{}",
            metrics.text
        );
    }
    // Each metric has one TYPE line.
    let types: Vec<&str> = metrics
        .text
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    let mut once = types.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(types.len(), once.len());
    let ready = api.get("/health/ready", "").await;
    assert_eq!(
        (ready.status, &ready.json()["state"]),
        (200, &json!("attached"))
    );
    // A second rowhook stands by, and counts as ready too.
    let mut second = Rowhook::start(&config);
    second.until_log("standing by").await;
    let log = second.log();
    let address = log
        .split("listening address=")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let ready = client
        .get(format!("http://{address}/health/ready"))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status().as_u16(), 200);
    assert!(ready.text().await.unwrap().contains("standby"));
}

#[tokio::test]
async fn a_new_file_is_taken_up_without_losing_a_place_and_a_broken_one_is_not() {
    let database = Database::bookstore().await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let hook = |target: String, more: &str| {
        database.config(&format!(
            "{BOOK_EVENTS}{more}\n[[hooks]]\nname = \"mine\"\nevents = [\"*\"]\nsecret = \"{SECRET}\"\ntarget = \"{target}\"\n{}",
            server("")
        ))
    };
    let mut api = Api::start(&hook(old.url(), "")).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    old.expect(1).await;
    api.rowhook.write_config("[database]\nurl = 1");
    api.rowhook.signal(nix::sys::signal::Signal::SIGHUP);
    api.rowhook.until_log("the old one stays").await;
    assert_eq!(api.get("/health/ready", "").await.status, 200);
    let more = "\"shelf.added\" = \"shelf.created\"\n";
    api.rowhook.write_config(&hook(new.url(), more));
    // Rows are written all the while.
    let writing = async {
        for id in 2..=200 {
            database
                .sql(&format!("insert into book values ({id}, 7, 1, 'book', 9)"))
                .await;
        }
    };
    let signal = async {
        old.expect(20).await;
        api.rowhook.signal(nix::sys::signal::Signal::SIGHUP);
    };
    tokio::join!(writing, signal);
    api.rowhook.until_log("INFO reloaded").await;
    api.until_ready().await;
    database.sql("insert into shelf values (3, 7)").await;
    let calls = new
        .until("the new event", |calls| {
            calls.iter().any(|call| call.event() == "shelf.added")
        })
        .await;
    assert!(
        api.get("/api/events", ADMIN)
            .await
            .text
            .contains("shelf.added")
    );
    let mut ids: Vec<i64> = old
        .calls()
        .iter()
        .chain(&calls)
        .filter(|call| call.event() == "book.added")
        .map(|call| call.data()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        (1..=200).collect::<Vec<_>>(),
        "each of them, and none twice"
    );
}
