//! Rates: endpoints, owners and hosts get so many requests in a time. What has to wait for that holds up nobody else.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use harness::{BOOK_EVENTS, Database, Receiver};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    api::{ADMIN, Api, server},
    managing,
};

/// When requests came.
type Times = Arc<Mutex<Vec<Instant>>>;

/// A receiver that remembers when requests came, and answers as `answer` says of the time since the one before.
async fn timed(answer: impl Fn(Duration) -> u16 + Send + Sync + 'static) -> (Receiver, Times) {
    let times = Times::default();
    let seen = Arc::clone(&times);
    let receiver = Receiver::answering(move |_, _| {
        let mut times = seen.lock().unwrap();
        let now = Instant::now();
        let before = times.last().map_or(Duration::MAX, |before| now - *before);
        times.push(now);
        answer(before)
    });
    (receiver.await, times)
}

/// Adds `number` books of this owner in one transaction, from this id on.
async fn add_books(database: &Database, owner: &str, from: u32, number: u32) {
    let to = from + number - 1;
    database
        .sql(&format!(
            "insert into book select id, {owner}, 1, 'Dune', 9 from generate_series({from}, {to}) as id"
        ))
        .await;
}

/// How long it took from the first request to the last.
fn span(times: &Times) -> Duration {
    let times = times.lock().unwrap();
    *times.last().unwrap() - times[0]
}

/// Asserts that a time is not shorter than the expected one, but for a twentieth, and not much longer: a busy machine
/// may be late, and never early. How exact a rate is, the limiter's own tests show, with a clock of theirs.
fn assert_took(took: Duration, expected: Duration) {
    let (least, most) = (expected.mul_f64(0.95), expected * 3);
    assert!(
        (least..=most).contains(&took),
        "{took:?} instead of {expected:?}"
    );
}

fn file_hook(receiver: &Receiver, more: &str) -> String {
    let url = receiver.url();
    format!("{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = \"*\"\ntarget = \"{url}\"\n{more}")
}

async fn dead(database: &Database) -> String {
    let sql = "select count(*) from rowhook.delivery where state = 'dead'";
    database.ask(sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_gets_its_rate_and_what_waits_for_that_keeps_no_slot() {
    let database = Database::bookstore().await;
    let (receiver, times) = timed(|_| 200).await;
    let config = file_hook(&receiver, "rate = \"40/s\"\ntimeout = \"1s\"");
    let _rowhook = database.rowhook(&config).await;

    add_books(&database, "7", 1, 321).await;

    // The slot goes on after the hook's time-out, although most of it still has to go.
    database.until_all_is_confirmed().await;
    assert!(receiver.calls().len() < 321, "{}", receiver.calls().len());
    let calls = receiver.expect(321).await;
    database.until_all_has_arrived().await;
    assert_took(span(&times), Duration::from_secs(8));
    let mut ids: Vec<_> = calls.iter().map(|call| call.id().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), receiver.calls().len()), (321, 321));
    assert_eq!(dead(&database).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_several_deliveries_is_one() {
    let database = Database::bookstore().await;
    let (receiver, times) = timed(|_| 200).await;
    let batch = "rate = \"2/s\"\nbatch = { max = 10, wait = \"50ms\" }";
    let _rowhook = database.rowhook(&file_hook(&receiver, batch)).await;
    add_books(&database, "7", 1, 50).await;
    database.until_all_has_arrived().await;
    let calls = receiver.calls();
    let events: usize = calls
        .iter()
        .map(|call| call.json().as_array().unwrap().len())
        .sum();
    assert_eq!((calls.len(), events), (5, 50));
    assert_took(span(&times), Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_an_owner_share_a_rate_and_hold_up_nobody_else() {
    let database = Database::bookstore().await;
    let (of_anna, times) = timed(|_| 200).await;
    let (of_ben, of_operator) = (Receiver::start().await, Receiver::start().await);
    let limits = format!("{BOOK_EVENTS}\n[limits]\nowner_rate = \"30/s\"");
    let _rowhook = database.rowhook(&limits).await;
    for owner in ["7", "7", "7"] {
        database
            .hook(Some(owner), "book.added", &of_anna.url())
            .await;
    }
    database.hook(Some("8"), "book.added", &of_ben.url()).await;
    database.hook(None, "book.added", &of_operator.url()).await;

    add_books(&database, "7", 1, 40).await;
    add_books(&database, "8", 100, 1).await;

    of_ben.expect(1).await;
    of_operator.expect(41).await;
    assert!(of_anna.calls().len() < 100, "{}", of_anna.calls().len());
    of_anna.expect(120).await;
    database.until_all_has_arrived().await;
    // From the first to the last, 119 of them go.
    assert_took(span(&times), Duration::from_secs(119) / 30);
    assert_eq!(dead(&database).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_gets_its_rate_from_all_hooks_of_users_together_and_each_has_its_part() {
    let database = Database::bookstore().await;
    let (receiver, times) = timed(|_| 200).await;
    let limits = format!("{BOOK_EVENTS}\n[limits]\nhost_rate = \"30/s\"");
    let _rowhook = database.rowhook(&limits).await;
    let url = receiver.url();
    for owner in ["7", "8"] {
        database
            .hook(Some(owner), "book.added", &format!("{url}/{owner}"))
            .await;
    }
    let of = |owner: &'static str| {
        let calls = receiver.calls();
        calls
            .iter()
            .filter(|call| call.path.ends_with(owner))
            .count()
    };

    add_books(&database, "7", 1, 90).await;
    receiver.expect(5).await;
    add_books(&database, "8", 101, 10).await;

    receiver
        .until("the few of the other owner", |calls| {
            calls.iter().filter(|call| call.path.ends_with('8')).count() == 10
        })
        .await;
    assert!(of("7") < 60, "{}", of("7"));
    receiver.expect(100).await;
    database.until_all_has_arrived().await;
    assert_took(span(&times), Duration::from_secs(99) / 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_takes_less_than_its_rate_gets_less_and_nothing_dies() {
    let database = Database::bookstore().await;
    // Whatever comes within 20 ms of another is refused.
    let (receiver, _) = timed(|before| match before < Duration::from_millis(20) {
        true => 429,
        false => 200,
    })
    .await;
    let _rowhook = database
        .rowhook(&file_hook(&receiver, "rate = \"200/s\""))
        .await;
    add_books(&database, "7", 1, 60).await;
    let taken = |calls: &[harness::Call]| calls.iter().filter(|call| call.status == 200).count();
    let calls = receiver
        .until("all are taken", |calls| taken(calls) == 60)
        .await;
    database.until_all_has_arrived().await;
    assert_eq!(dead(&database).await, "0");
    assert!(calls.len() - taken(&calls) < 60, "{}", calls.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_set_by_api_command_and_sql_within_what_the_limits_allow() {
    let database = Database::bookstore().await;
    let limits = "[limits]\nrate = \"10/s\"";
    let config = database.config(&format!("{BOOK_EVENTS}\n{}\n{limits}", server("")));
    let api = Api::start(&config).await;
    let anna = api.token("7", "write").await;
    let hook =
        |rate: &str| json!({"event": "book.added", "target": "http://127.0.0.1:1/", "rate": rate});

    let made = api.post("/api/hooks", &anna, hook("600/m")).await;
    assert_eq!(
        (made.status, &made.json()["rate"]),
        (201, &json!("600/m")),
        "{}",
        made.text
    );
    for (rate, reason) in [
        (
            "11/s",
            "its rate is 11/s, and may be 10/s here; lower it, or raise rate in [limits]",
        ),
        ("fast", "write a number"),
        ("0/s", "write a number"),
    ] {
        let refused = api.post("/api/hooks", &anna, hook(rate)).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        let is_told =
            refused.text.contains(reason) || refused.text.contains("rate_is_a_number_and_its_time");
        assert!(is_told, "{}", refused.text);
    }
    assert_eq!(
        api.post("/api/hooks", ADMIN, hook("11/s")).await.status,
        201
    );
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/hooks/{id}");
    let change = |rate| json!({"rate": rate});
    let changed = api
        .ask(
            reqwest::Method::PATCH,
            &path,
            &anna,
            Some(&change(json!("5/s"))),
        )
        .await;
    assert_eq!(
        (changed.status, &changed.json()["rate"]),
        (200, &json!("5/s"))
    );
    let shown = managing::ask(&config, &["hooks", "show", &id]).await;
    assert_eq!(shown["rate"], json!("5/s"));
    let cleared = api
        .ask(
            reqwest::Method::PATCH,
            &path,
            &anna,
            Some(&change(json!(null))),
        )
        .await;
    assert_eq!(
        (cleared.status, &cleared.json()["rate"]),
        (200, &json!(null))
    );
    let added = [
        "hooks",
        "add",
        "book.added",
        "http://127.0.0.1:1/",
        "--rate",
        "20/m",
    ];
    assert_eq!(managing::ask(&config, &added).await["rate"], json!("20/m"));

    // What SQL writes is checked as it is read, and says why it is invalid until it is changed.
    database
        .sql(&format!(
            "update rowhook.hook set rate = '100/s' where id = {id}"
        ))
        .await;
    let invalid = format!(
        "select coalesce(invalid like 'its rate is 100/s%', false) from rowhook.hook where id = {id}"
    );
    database.until("the rate is refused", &invalid).await;
    database
        .sql(&format!(
            "update rowhook.hook set rate = '1/s' where id = {id}"
        ))
        .await;
    assert_eq!(
        database
            .ask(&format!(
                "select invalid is null from rowhook.hook where id = {id}"
            ))
            .await,
        "t"
    );
    let wrong = database
        .client
        .batch_execute("update rowhook.hook set rate = '1/h'")
        .await
        .unwrap_err();
    assert!(wrong.to_string().contains("db error"), "{wrong}");
}
