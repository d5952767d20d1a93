//! Strangers at the other end of connections: those who connect to rowhook and say nothing, or nonsense, and hosts and
//! name servers that swallow what they are sent.

use std::{net::Ipv4Addr, process::Command, time::Duration};

use axum::http::Method;
use harness::{BOOK_EVENTS, DEADLINE, Database, Gate, NameServer, Receiver, Rowhook, until_within};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{interval, timeout},
};

use crate::api::{ADMIN, Api, server};

const PASSWORD: &str = "correct horse";

fn console() -> String {
    format!("\n[console]\nlisten = \"127.0.0.1:0\"\npassword = \"{PASSWORD}\"\n")
}

/// The address that the log says after `name`.
fn address(rowhook: &Rowhook, name: &str) -> String {
    let log = rowhook.log();
    let told = log.split(&format!("{name}=")).nth(1).unwrap();
    told.split_whitespace().next().unwrap().to_owned()
}

/// Connects so often, and says nothing.
async fn silent(address: &str, connections: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let connected = timeout(DEADLINE, TcpStream::connect(address)).await;
        open.push(connected.unwrap().unwrap());
    }
    open
}

/// What psql prints, when it ends well within the deadline.
async fn psql(address: &str, sql: &str) -> String {
    let (host, port) = address.split_once(':').unwrap();
    let mut psql = Command::new("psql");
    psql.args([
        "-h", host, "-p", port, "-U", "anyone", "-X", "-A", "-t", "-c", sql, "rowhook",
    ])
    .env("PGCONNECT_TIMEOUT", "60")
    .env("PGPASSWORD", PASSWORD);
    let ended = tokio::task::spawn_blocking(move || psql.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    assert!(ended.status.success(), "{said}");
    said
}

/// Waits until the other side has closed the connection.
async fn until_closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let ended = timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
    // A reset is an end too.
    assert!(ended.is_ok(), "the connection was never closed");
}

#[tokio::test]
async fn silent_connections_take_no_files_from_deliveries_parking_and_visitors() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let failing = Receiver::answering(|_, _| 500).await;
    let config = database
        .config(&format!("{BOOK_EVENTS}\n{}{}", server(""), console()))
        .replace("retries = [\"50ms\"", "retries = [\"1h\"");
    let rowhook = Rowhook::start_with_files(&config, 200);
    let api = Api::of(rowhook).await;
    assert!(api.rowhook.log().contains("few files may be open"));
    let (pages, psql_at) = (
        api.base.strip_prefix("http://").unwrap().to_owned(),
        address(&api.rowhook, "console"),
    );

    let _pages = silent(&pages, 250).await;
    let _consoles = silent(&psql_at, 60).await;

    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database.hook(Some("7"), "book.added", &failing.url()).await;
    let books = "insert into book select n, 7, 1, 'Dune', 9 from generate_series(1, 50) n";
    database.sql(books).await;
    receiver.expect(50).await;
    let parked = "select count(*) = 50 from rowhook.delivery where state = 'parked'";
    database.until("what fails is parked", parked).await;
    assert_eq!(api.get("/api/hooks", ADMIN).await.status, 200);
    assert!(psql(&psql_at, "SHOW LAG").await.contains("state|attached"));
    let log = api.rowhook.log();
    assert!(!log.contains("could not be accepted"), "{log}");
}

#[tokio::test]
async fn idle_strangers_do_not_keep_psql_out_and_those_who_logged_in_stay() {
    let database = Database::bookstore().await;
    let mut rowhook = Rowhook::start(&database.config(&format!("{BOOK_EVENTS}{}", console())));
    rowhook.until_log("attached slot=").await;
    let at = address(&rowhook, "console");
    let (host, port) = at.split_once(':').unwrap();
    let url = format!("postgres://anyone:correct%20horse@{host}:{port}/rowhook");
    let operator = harness::connect(&url).await;
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.extend(silent(&at, 25).await);
        assert!(psql(&at, "SHOW LAG").await.contains("state|attached"));
    }
    assert!(!operator.simple_query("SHOW LAG").await.unwrap().is_empty());
    // And strangers do not stay for ever, however few they are.
    for stranger in strangers {
        until_closed(stranger).await;
    }
}

#[tokio::test]
async fn nonsense_before_the_login_ends_its_own_session_alone() {
    let database = Database::bookstore().await;
    let mut rowhook = Rowhook::start(&database.config(&format!("{BOOK_EVENTS}{}", console())));
    rowhook.until_log("attached slot=").await;
    let at = address(&rowhook, "console");
    let startup = b"\0\0\0\x14\0\x03\0\0user\0anyone\0\0".as_slice();
    let after_startup: [&[u8]; 8] = [
        b"p\0\0\0\0",
        b"p\xff\xff\xff\xff",
        b"p\0\0\0\x04",
        b"p\0\0\0\x08SCRA",
        b"P\0\0\0\x05\0",
        b"B\0\0\0\x06\0\0",
        b"Q\0\0\0\x0eSHOW LAG;\0",
        b"E\0\0\0\x05\0S\0\0\0\x04Q\0\0\0\x0eSHOW LAG;\0",
    ];
    let first: [&[u8]; 4] = [
        b"\0\0\0\0\0\0\0\0",
        b"\0\0\0\x04\x04\xd2\x16\x2e",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    let nonsense = after_startup.map(|message| [startup, message].concat());
    let nonsense = nonsense.into_iter().chain(first.map(<[u8]>::to_vec));
    for message in nonsense {
        let mut stream = TcpStream::connect(&at).await.unwrap();
        stream.write_all(&message).await.unwrap();
        let mut said = Vec::new();
        let ended = timeout(DEADLINE, stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "{message:?} was never answered");
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains("attached"), "{message:?}: {said:?}");
    }
    // A password of a gigabyte is not waited for.
    let mut stream = TcpStream::connect(&at).await.unwrap();
    stream.write_all(startup).await.unwrap();
    stream.write_all(b"p\x3f\0\0\0").await.unwrap();
    let flood = async { while stream.write_all(&[0; 65536]).await.is_ok() {} };
    timeout(DEADLINE, flood).await.unwrap();
    assert!(psql(&at, "SHOW LAG").await.contains("state|attached"));
}

#[tokio::test]
async fn headers_that_never_end_end_their_connection() {
    let database = Database::bookstore().await;
    let api = Api::start(&database.config(&format!("{BOOK_EVENTS}\n{}", server("")))).await;
    let at = api.base.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(at).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let endless = async {
        let mut ticks = interval(Duration::from_millis(100));
        let mut written = writing.write_all(b"GET / HTTP/1.1\r\n").await;
        while written.is_ok() {
            ticks.tick().await;
            written = writing.write_all(b"x-more: yes\r\n").await;
        }
    };
    let closed = async {
        let mut rest = Vec::new();
        let _ = reading.read_to_end(&mut rest).await;
    };
    let ended = async {
        tokio::select! {
            () = endless => {}
            () = closed => {}
        }
    };
    timeout(DEADLINE, ended).await.unwrap();
}

#[tokio::test]
async fn hooks_at_names_whose_servers_are_silent_do_not_delay_those_of_others() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let names = NameServer::of(&[("good.test", &[Ipv4Addr::LOCALHOST])]).await;
    let resolver = format!("timeout = \"5s\"\nresolver = [\"{}\"]\n", names.address());
    let config = database
        .config(BOOK_EVENTS)
        .replace("[delivery]\n", &format!("[delivery]\n{resolver}"));
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let silent = "insert into rowhook.hook (owner, event, target)
                  select '7', 'book.added', 'http://' || n || '.silent.test/' from generate_series(1, 120) n";
    database.sql(silent).await;
    let good = receiver.url().replace("127.0.0.1", "good.test");
    let good = database.hook(Some("8"), "book.added", &good).await;
    for first in [1, 17] {
        let last = first + 15;
        database
            .sql(&format!(
                "insert into book select n, 7, 1, 'Dune', 9 from generate_series({first}, {last}) n;
                 insert into book select n + 100, 8, 2, 'Emma', 9 from generate_series({first}, {last}) n"
            ))
            .await;
        receiver.expect(usize::try_from(last).unwrap()).await;
    }
    let heard = format!(
        "select count(*) = 32 and bool_and(delivered) from rowhook.attempt where hook = '{good}'"
    );
    database.until("every first attempt arrived", &heard).await;
    let parked = "select count(*) = 120 * 32 from rowhook.delivery where state <> 'delivered'";
    database.until("what went nowhere is parked", parked).await;
    database.until_all_is_confirmed().await;
}

#[tokio::test]
async fn tests_of_silent_targets_keep_no_visitor_waiting() {
    let database = Database::bookstore().await;
    let gate = Gate::closed().await;
    let config = database
        .config(&format!("{BOOK_EVENTS}\n{}", server("verify = \"ping\"")))
        .replace("[delivery]\n", "[delivery]\ntimeout = \"60s\"\n");
    let api = Api::start(&config).await;
    let hook = database.hook(Some("7"), "book.added", &gate.url()).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut tests = JoinSet::new();
    for _ in 0..12 {
        let request = client
            .post(format!("{}/api/hooks/{hook}/test", api.base))
            .header("authorization", format!("Bearer {ADMIN}"));
        tests.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    until_within(DEADLINE, "all tests are on their way", async || {
        gate.waiting() == 12
    })
    .await;
    let answer = timeout(DEADLINE, api.get("/api/hooks", ADMIN))
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert!(tests.try_join_next().is_none());
    gate.open();
    assert_eq!(tests.join_all().await, [200; 12]);
    let change = json!({"target": gate.url()});
    let changed = api
        .ask(
            Method::PATCH,
            &format!("/api/hooks/{hook}"),
            ADMIN,
            Some(&change),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
}

#[tokio::test]
async fn many_slow_requests_leave_files_for_the_sessions_with_postgres() {
    let database = Database::bookstore().await;
    let (receiver, gate) = (Receiver::start().await, Gate::closed().await);
    let config = database
        .config(BOOK_EVENTS)
        .replace("[delivery]\n", "[delivery]\ntimeout = \"4s\"\n");
    let mut rowhook = Rowhook::start_with_files(&config, 200);
    rowhook.until_log("attached slot=").await;
    for _ in 0..20 {
        database.hook(Some("7"), "book.added", &gate.url()).await;
    }
    let books = "insert into book select n, 7, 1, 'Dune', 9 from generate_series(1, 16) n";
    database.sql(books).await;
    until_within(DEADLINE, "all places are taken", async || {
        gate.waiting() >= 100
    })
    .await;
    database
        .sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'rowhook%' and datname = current_database()")
        .await;
    database
        .hook(Some("8"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (100, 8, 2, 'Emma', 9)")
        .await;
    receiver.expect(1).await;
    let parked = "select count(*) = 320 from rowhook.delivery where state <> 'delivered'";
    database.until("what waits is parked", parked).await;
    assert!(!rowhook.log().contains("Too many open files"));
}
