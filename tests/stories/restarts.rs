//! Nothing is lost when a process dies, and repetitions can be recognized.

use harness::{BOOK_EVENTS, BOOKSTORE, Call, Database, Gate, Receiver, Rowhook, connect};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::http::StatusCode;
use nix::sys::signal::Signal;
use rowhook::demo::cluster::{Cluster, Stop};
use serde_json::Value;
use tokio::sync::Semaphore;

/// Checks that all of `ids` have arrived, and that no webhook-id came with two bodies.
fn nothing_is_lost(calls: &[Call], ids: impl Iterator<Item = i64>) {
    let told: HashSet<i64> = calls
        .iter()
        .map(|call| call.data()["id"].as_i64().unwrap())
        .collect();
    let lost: Vec<i64> = ids.filter(|id| !told.contains(id)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let mut bodies = HashMap::new();
    for call in calls {
        let body = bodies
            .entry(call.id().to_owned())
            .or_insert_with(|| call.body.clone());
        assert_eq!(*body, call.body);
    }
    assert_eq!(bodies.len(), told.len(), "a repetition must keep its id");
}

#[tokio::test]
async fn what_was_committed_while_rowhook_was_away_arrives() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    database.until_all_has_arrived().await;
    assert!(rowhook.stop().success());
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    receiver.expect(2).await;
    database.until_all_has_arrived().await;
    assert_eq!(
        receiver.calls().len(),
        2,
        "what was settled is not sent again"
    );
}

#[tokio::test]
async fn killed_in_the_middle_it_loses_nothing() {
    let database = Database::bookstore().await;
    let receiver = Receiver::answering(|_, before| if before % 7 == 3 { 500 } else { 200 }).await;
    database.rowhook(BOOK_EVENTS).await.stop();
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    for round in 0..5 {
        let rowhook = database.rowhook(BOOK_EVENTS).await;
        let first = round * 300 + 1;
        database
            .sql(&format!(
                "insert into book select n, 7, 1, 'book', 1 from generate_series({first}, {}) n",
                first + 299
            ))
            .await;
        receiver
            .expect(usize::try_from(round * 200 + 100).unwrap())
            .await;
        rowhook.kill();
    }
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.until_all_has_arrived().await;
    let delivered: Vec<Call> = receiver
        .calls()
        .into_iter()
        .filter(|call| call.status == 200)
        .collect();
    nothing_is_lost(&delivered, 1..=1500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_crashes_in_the_middle_and_nothing_is_lost() {
    let mut cluster = Cluster::start(&[]).unwrap();
    let mut database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let receiver = Receiver::start().await;
    let mut rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    for (round, how) in [Stop::Immediate, Stop::Fast, Stop::Immediate]
        .into_iter()
        .enumerate()
    {
        let first = round * 1000 + 1;
        database
            .sql(&format!(
                "insert into book select n, 7, 1, 'book', 1 from generate_series({first}, {}) n",
                first + 999
            ))
            .await;
        receiver.expect(first + 100).await;
        cluster.stop(how).unwrap();
        rowhook.until_log("not attached; trying again").await;
        cluster.start_again().unwrap();
        database.client = connect(&database.url).await;
    }
    database.until_all_has_arrived().await;
    nothing_is_lost(&receiver.calls(), 1..=3000);
    assert_eq!(
        receiver.calls().len(),
        3000,
        "a lost connection repeats nothing"
    );
}

#[tokio::test]
async fn a_second_rowhook_stands_by_and_takes_over() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let first = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    let mut second = Rowhook::start(&database.config(BOOK_EVENTS));
    second.until_log("standing by").await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    first.kill();
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    second.until_log("attached slot=").await;
    let calls = receiver
        .until("the second book", |calls| {
            calls.iter().any(|call| call.data()["id"] == 2)
        })
        .await;
    nothing_is_lost(&calls, 1..=2);
}

/// Suspends the first rowhook, as a pause of its machine does, until SIGCONT. Its session is lost, and the second takes
/// over.
async fn pass_the_slot(database: &Database, first: &Rowhook, second: &mut Rowhook) {
    first.signal(Signal::SIGSTOP);
    let slot = format!(
        "from pg_replication_slots where slot_name = '{}'",
        database.name
    );
    database
        .sql(&format!("select pg_terminate_backend(active_pid) {slot}"))
        .await;
    second.until_log("attached slot=").await;
}

#[tokio::test]
async fn one_that_lost_the_slot_to_another_begins_anew_and_knows_the_hooks_made_meanwhile() {
    let database = Database::bookstore().await;
    let [early, late] = [Receiver::start().await, Receiver::start().await];
    let mut first = database.rowhook(BOOK_EVENTS).await;
    database.hook(Some("7"), "book.added", &early.url()).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    early.expect(1).await;
    database.until_all_has_arrived().await;
    let mut second = Rowhook::start(&database.config(BOOK_EVENTS));
    second.until_log("standing by").await;

    pass_the_slot(&database, &first, &mut second).await;
    database.hook(Some("7"), "book.added", &late.url()).await;
    first.signal(Signal::SIGCONT);
    first
        .until_log("another rowhook has had the slot meanwhile")
        .await;
    first.until_log("standing by").await;
    second.kill();
    first.until_log("attached slot=").await;
    database
        .sql("insert into book values (2, 7, 1, 'Emma', 9)")
        .await;
    for receiver in [early, late] {
        receiver
            .until("the second book", |calls| {
                calls.iter().any(|call| call.data()["id"] == 2)
            })
            .await;
    }
}

#[tokio::test]
async fn one_that_lost_the_slot_parks_nothing_that_its_successor_has_in_hand() {
    let database = Database::bookstore().await;
    // Two requests are held until the test lets them fail; all others succeed.
    let gates: [Arc<Semaphore>; 2] = std::array::from_fn(|_| Arc::new(Semaphore::new(0)));
    let (requests, arrived) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::<Mutex<Vec<Value>>>::default(),
    );
    let app = {
        let (gates, requests, arrived) =
            (gates.clone(), Arc::clone(&requests), Arc::clone(&arrived));
        axum::Router::new().fallback(move |body: axum::body::Bytes| async move {
            if let Some(gate) = gates.get(requests.fetch_add(1, Ordering::SeqCst)) {
                gate.acquire().await.unwrap().forget();
                return StatusCode::INTERNAL_SERVER_ERROR;
            }
            let body: Value = serde_json::from_slice(&body).unwrap();
            arrived.lock().unwrap().push(body["hook"]["event"].clone());
            StatusCode::OK
        })
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let until_requests = async |number| {
        while requests.load(Ordering::SeqCst) < number {
            tokio::task::yield_now().await;
        }
    };

    let mut first = database.rowhook(BOOK_EVENTS).await;
    database.hook(Some("7"), "book.*", &url).await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    until_requests(1).await;
    let mut second = Rowhook::start(&database.config(BOOK_EVENTS));
    second.until_log("standing by").await;
    pass_the_slot(&database, &first, &mut second).await;
    until_requests(2).await;
    first.signal(Signal::SIGCONT);
    gates[0].add_permits(1);
    first
        .until_log("another rowhook holds the slot now; nothing more is parked")
        .await;
    assert_eq!(
        database.ask("select count(*) from rowhook.delivery").await,
        "0"
    );
    // If the first had parked the delivery, the second would not know, and send the update before it.
    database.sql("update book set price = 1").await;
    gates[1].add_permits(1);
    database.until_all_has_arrived().await;
    assert_eq!(*arrived.lock().unwrap(), ["book.added", "book.changed"]);
    server.abort();
}

#[tokio::test]
async fn on_an_idle_database_the_confirmed_lsn_goes_on_with_the_wal_of_others() {
    let database = Database::bookstore().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .sql("create table other (n int); insert into other select generate_series(1, 10000)")
        .await;
    database.until_all_has_arrived().await;
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight_and_confirms_it() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 2000) n")
        .await;
    receiver.expect(1).await;
    assert!(rowhook.stop().success());
    let before = receiver.calls();
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database.until_all_has_arrived().await;
    nothing_is_lost(&receiver.calls(), 1..=2000);
    assert!(before.len() <= receiver.calls().len());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let database = Database::bookstore().await;
    // An endpoint that accepts and never answers keeps the first SIGTERM waiting for its grace period.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(
            Some("7"),
            "book.added",
            &format!("http://{}/", listener.local_addr().unwrap()),
        )
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    let _connection = listener.accept().await.unwrap();
    rowhook.signal(Signal::SIGTERM);
    rowhook.until_log("stopping").await;
    rowhook.signal(Signal::SIGTERM);
    let (status, log) = rowhook.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("at once"), "{log}");
}

#[tokio::test]
async fn keepalives_are_answered_while_every_endpoint_is_stuck() {
    let cluster = Cluster::start(&["wal_sender_timeout=5s"]).unwrap();
    let database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let gate = Gate::closed().await;
    let url = gate.url();
    let config = format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"stuck\"\nevents = [\"*\"]\ntarget = \"{url}\"\ntimeout = \"60s\"\n"
    );
    let config = database
        .config(&config)
        .replace("[delivery]", "[delivery]\nmemory = \"1MiB\"");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let pid = "select pid from pg_stat_replication";
    let first = database.ask(pid).await;
    // This is far more than the memory budget, so the reader is stuck too.
    database.sql("insert into book select n, 7, 1, repeat('x', 1000), 1 from generate_series(1, 20000) n").await;
    // Without answers, the server would have ended the session by now.
    database
        .until(
            "two wal_sender_timeouts have passed",
            "select backend_start < clock_timestamp() - interval '12 s' from pg_stat_replication",
        )
        .await;
    assert_eq!(database.ask(pid).await, first);
    gate.open();
    database.until_all_has_arrived().await;
    assert_eq!(database.ask(pid).await, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_shuts_down_does_not_wait_for_a_stuck_endpoint() {
    let mut cluster = Cluster::start(&[]).unwrap();
    let mut database = Database::on(&cluster).await;
    database.sql(BOOKSTORE).await;
    let receiver = Receiver::answering(|_, _| 500).await;
    let mut rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Dune', 9)")
        .await;
    receiver.expect(1).await;
    // pg_ctl gives up after a minute. A server that waited for rowhook would never end.
    cluster.stop(Stop::Fast).unwrap();
    rowhook.until_log("not attached; trying again").await;
    cluster.start_again().unwrap();
    receiver.answer(|_, _| 200);
    database.client = connect(&database.url).await;
    database.until_all_has_arrived().await;
}

#[tokio::test]
async fn killed_in_a_large_transaction_it_repeats_a_little_and_not_all() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 60000) n")
        .await;
    database
        .until(
            "some of it is noted",
            "select coalesce(max(events), 0) >= 10240 from rowhook.progress",
        )
        .await;
    let noted: usize = database
        .ask("select events from rowhook.progress")
        .await
        .parse()
        .unwrap();
    rowhook.kill();
    // A recorded position behind the slot's would look as if somebody had advanced the slot.
    let sound = format!(
        "select confirmed >= confirmed_flush_lsn from rowhook.progress, pg_replication_slots where slot_name = '{}'",
        database.name
    );
    assert_eq!(database.ask(&sound).await, "t");
    let before = receiver.calls().len();
    // On a busy machine, some of what is confirmed is not delivered but parked.
    let parked = "select count(*) from rowhook.delivery";
    let parked: usize = database.ask(parked).await.parse().unwrap();
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let so_many = |calls: &[Call]| calls.len() >= 60_000;
    receiver.until("60,000 calls", so_many).await;
    database.until_all_has_arrived().await;
    let calls = receiver.calls();
    nothing_is_lost(&calls, 1..=60_000);
    assert!(
        calls.len() - 60_000 <= (before + parked).saturating_sub(noted) + 32,
        "{} calls, of which {before} before the kill, and {parked} were parked",
        calls.len()
    );
}
