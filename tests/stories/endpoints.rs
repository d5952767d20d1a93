//! Endpoints that ask for time, say less or more than they should, or refuse what comes together.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{
        StatusCode,
        header::{HeaderMap, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use harness::{BOOK_EVENTS, Call, Database, Http2, Manners, Receiver, Rowhook, SECRET};
use tokio::net::TcpListener;

/// Serves `app`, and returns its URL.
async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

/// An endpoint that answers with what `answer` says for the number of requests before. Returns its URL and the count
/// of requests.
async fn answering(
    answer: impl Fn(usize) -> Response + Clone + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let app = Router::new().fallback(move || {
        let response = answer(count.fetch_add(1, Ordering::SeqCst));
        async move { response }
    });
    (serve(app).await, asked)
}

fn come_back(code: StatusCode, seconds: &'static str) -> Response {
    (code, [(RETRY_AFTER, seconds)]).into_response()
}

/// A hook of the file on all events, with these additional keys.
fn hook(url: &str, keys: &str) -> String {
    format!(
        "{BOOK_EVENTS}\n[[hooks]]\nname = \"all\"\nevents = [\"*\"]\ntarget = \"{url}\"\nsecret = \"{SECRET}\"\n{keys}\n"
    )
}

const ONE_BOOK: &str = "insert into book values (1, 7, 1, 'Dune', 9)";
const NOTHING_IS_DEAD: &str = "select count(*) = 0 from rowhook.delivery where state = 'dead'";

#[tokio::test]
async fn being_asked_to_wait_is_no_step_towards_death() {
    let database = Database::bookstore().await;
    // With two pauses, the third attempt would be the last.
    let (url, asked) = answering(|before| match before {
        0 => come_back(StatusCode::TOO_MANY_REQUESTS, "0"),
        1..6 => come_back(StatusCode::SERVICE_UNAVAILABLE, "1"),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let _rowhook = database
        .rowhook(&hook(&url, "retries = [\"30s\", \"30s\"]"))
        .await;
    database.sql(ONE_BOOK).await;
    database.until_all_has_arrived().await;
    assert_eq!(asked.load(Ordering::SeqCst), 7);
    assert_eq!(database.ask(NOTHING_IS_DEAD).await, "t");
}

#[tokio::test]
async fn a_delivery_is_dead_when_the_time_of_its_schedule_is_over_and_not_before() {
    let database = Database::bookstore().await;
    let (url, _) = answering(|_| come_back(StatusCode::SERVICE_UNAVAILABLE, "1")).await;
    let _rowhook = database
        .rowhook(&hook(&url, "retries = [\"1s\", \"2s\"]"))
        .await;
    database.sql(ONE_BOOK).await;
    let dead = "select count(*) = 1 from rowhook.delivery where state = 'dead' and reason = 'the last of ' || attempts || ' attempts failed: 503'";
    database.until("it is dead", dead).await;
    let in_time = "select attempts >= 4 and updated_at - commit_time >= '3 s' and waited_ms >= 3000 from rowhook.delivery";
    assert_eq!(database.ask(in_time).await, "t");
}

#[tokio::test]
async fn an_endpoint_that_lets_few_in_gets_everything_and_fewer_at_a_time() {
    let database = Database::bookstore().await;
    // It takes one request at a time, and asks the others to come back.
    let (inside, most, refused) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (doors, crowd, sent_away) = (inside, Arc::clone(&most), Arc::clone(&refused));
    let app = Router::new().fallback(move || {
        let (doors, crowd, sent_away) = (
            Arc::clone(&doors),
            Arc::clone(&crowd),
            Arc::clone(&sent_away),
        );
        async move {
            let before = doors.fetch_add(1, Ordering::SeqCst);
            crowd.fetch_max(before + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
            doors.fetch_sub(1, Ordering::SeqCst);
            match before {
                0 => StatusCode::OK.into_response(),
                _ => {
                    sent_away.fetch_add(1, Ordering::SeqCst);
                    come_back(StatusCode::TOO_MANY_REQUESTS, "0")
                }
            }
        }
    });
    let url = serve(app).await;
    let _rowhook = database
        .rowhook(&hook(&url, "retries = [\"60s\", \"60s\"]"))
        .await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 60) n")
        .await;
    database.until_all_has_arrived().await;
    assert_eq!(database.ask(NOTHING_IS_DEAD).await, "t");
    let (most, refused) = (most.load(Ordering::SeqCst), refused.load(Ordering::SeqCst));
    assert!(
        most > 1 && refused < 60,
        "{most} at once, {refused} refused"
    );
}

#[tokio::test]
async fn failures_beside_each_other_are_one_for_disable_after() {
    let database = Database::bookstore().await;
    // Eight requests are let in together, and all of them fail. What comes after them is taken.
    let gathered = Arc::new(tokio::sync::Barrier::new(8));
    let asked = Arc::new(AtomicUsize::new(0));
    let app = Router::new().fallback(move || {
        let (gathered, before) = (Arc::clone(&gathered), asked.fetch_add(1, Ordering::SeqCst));
        async move {
            if before < 8 {
                gathered.wait().await;
                return StatusCode::INTERNAL_SERVER_ERROR;
            }
            StatusCode::OK
        }
    });
    let url = serve(app).await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    let of_file = hook(&url, "disable_after = 2\nconcurrency = 8");
    drop(_rowhook);
    let _rowhook = database.rowhook(&of_file).await;
    database
        .sql("insert into book select n, 7, 1, 'book', 1 from generate_series(1, 8) n")
        .await;
    database.until_all_has_arrived().await;
}

#[tokio::test]
async fn what_a_status_says_counts_whatever_becomes_of_the_body() {
    let database = Database::bookstore().await;
    let endless = |code: StatusCode| {
        let body = Body::from_stream(futures_util::stream::pending::<
            Result<axum::body::Bytes, std::convert::Infallible>,
        >());
        (code, body).into_response()
    };
    let (taking, _) = answering(move |_| endless(StatusCode::OK)).await;
    let (gone, _) = answering(move |_| endless(StatusCode::GONE)).await;
    let mut config = database.config(BOOK_EVENTS);
    config = config.replace("[delivery]", "[delivery]\ntimeout = \"1s\"");
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    database.hook(Some("7"), "book.added", &taking).await;
    let hook = database.hook(Some("7"), "book.added", &gone).await;
    database.sql(ONE_BOOK).await;
    let disabled = format!("select not active from rowhook.hook where id = {hook}");
    database.until("a 410 was said", &disabled).await;
    let taken = "select count(*) = 1 from rowhook.attempt where delivered and status = 200";
    database.until("a 200 was said", taken).await;
}

#[tokio::test]
async fn a_request_that_was_not_looked_at_goes_out_again_and_is_one_attempt() {
    let database = Database::bookstore().await;
    for rude in [Manners::GoesAway, Manners::Refuses] {
        let endpoint = Http2::start(move |connection| match connection {
            0 => rude,
            _ => Manners::Answers,
        })
        .await;
        let keys = format!("retries = false\nca = \"{}\"", endpoint.authority_file());
        let rowhook = database.rowhook(&hook(&endpoint.url, &keys)).await;
        database
            .sql("delete from rowhook.attempt; delete from book")
            .await;
        database.sql(ONE_BOOK).await;
        let one = "select count(*) = 1 from rowhook.attempt where event = 'book.added' and delivered and number = 1";
        database
            .until(&format!("it arrived in one attempt: {rude:?}"), one)
            .await;
        assert!(rowhook.stop().success());
    }
}

/// The rows of the books in a request.
fn books(call: &Call) -> Vec<i64> {
    let body = call.json();
    let all = body.as_array().unwrap().iter();
    all.map(|body| body["data"]["id"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_batch_that_is_refused_goes_in_halves_and_then_alone() {
    let database = Database::bookstore().await;
    for (refusal, together) in [(400, true), (413, false), (422, true)] {
        // It refuses whatever holds the third book; or, as too large, what holds more than one.
        let receiver = Receiver::answering(move |call, _| {
            let books = books(call);
            let is_refused = if together {
                books.contains(&3)
            } else {
                books.len() > 1
            };
            if is_refused { refusal } else { 200 }
        })
        .await;
        let keys = "retries = false\nbatch = { max = 6, wait = \"5s\" }";
        let rowhook = database.rowhook(&hook(&receiver.url(), keys)).await;
        database
            .sql("truncate book; delete from rowhook.delivery; insert into book select n, 7, 1, 'book', 1 from generate_series(1, 6) n")
            .await;
        let arrived = |calls: &[Call]| -> HashSet<i64> {
            let taken = calls.iter().filter(|call| call.status == 200);
            taken.flat_map(books).collect()
        };
        let expected: HashSet<i64> = (1..=6).filter(|book| !together || *book != 3).collect();
        receiver
            .until("all but the one that is refused alone", |calls| {
                arrived(calls) == expected
            })
            .await;
        database.until_all_is_confirmed().await;
        let dead = "select coalesce(string_agg(convert_from(body, 'UTF8')::jsonb -> 'data' ->> 'id', ','), '') from rowhook.delivery where state = 'dead'";
        assert_eq!(database.ask(dead).await, if together { "3" } else { "" });
        assert!(receiver.calls().len() <= 11, "{}", receiver.calls().len());
        assert!(rowhook.stop().success());
    }
}

#[tokio::test]
async fn an_array_has_a_mebibyte_at_most_unless_it_may_have_more() {
    let database = Database::bookstore().await;
    for (keys, requests) in [
        ("", 2),
        (", max_bytes = \"10MiB\"", 1),
        (", max_bytes = \"1KiB\"", 3),
    ] {
        let receiver = Receiver::start().await;
        let keys = format!("batch = {{ max = 3, wait = \"2s\"{keys} }}");
        let rowhook = database.rowhook(&hook(&receiver.url(), &keys)).await;
        database
            .sql("truncate book; insert into book select n, 7, 1, repeat('x', 450000), 1 from generate_series(1, 3) n")
            .await;
        let all = |calls: &[Call]| calls.iter().map(|call| books(call).len()).sum::<usize>() == 3;
        let calls = receiver.until("three books", all).await;
        assert_eq!(calls.len(), requests, "{keys}");
        assert!(rowhook.stop().success());
    }
}

#[tokio::test]
async fn a_name_of_which_one_address_swallows_everything_costs_no_attempt() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let port: u16 = receiver
        .url()
        .rsplit(':')
        .next()
        .unwrap()
        .trim_end_matches("/hook")
        .parse()
        .unwrap();
    // Nobody listens at the first address, and the receiver does at the second.
    let split = [
        std::net::Ipv4Addr::new(127, 0, 0, 99),
        std::net::Ipv4Addr::LOCALHOST,
    ];
    let server = harness::NameServer::of(&[("split.test", &split)]).await;
    let config = database.config(&hook(
        &format!("http://split.test:{port}/hook"),
        "retries = false",
    ));
    let config = config.replace(
        "[delivery]",
        &format!("[delivery]\nresolver = [\"{}\"]", server.address()),
    );
    let mut rowhook = Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let begun = Instant::now();
    database.sql(ONE_BOOK).await;
    receiver.expect(1).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// Bodies that are not UTF-8 are shown, too.
#[tokio::test]
async fn the_query_of_the_book_shows_answers_of_any_bytes() {
    let database = Database::bookstore().await;
    let said = Arc::new(Mutex::new(HeaderMap::new()));
    let (url, _) = answering(move |_| {
        let headers = said.lock().unwrap().clone();
        (StatusCode::BAD_REQUEST, headers, b"caf\xe9\0".to_vec()).into_response()
    })
    .await;
    let _rowhook = database.rowhook(&hook(&url, "retries = false")).await;
    database.sql(ONE_BOOK).await;
    let failed = "select count(*) = 1 from rowhook.attempt where not delivered";
    database.until("it is on record", failed).await;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/book/deliveries.md");
    let page = std::fs::read_to_string(page).unwrap();
    let query = page
        .split("```sql\n")
        .find(|block| block.starts_with("select started_at"))
        .unwrap();
    let query = query
        .split("```")
        .next()
        .unwrap()
        .replace("hook = '1'", "hook = 'all'");
    let answer = format!(
        "select answer from ({}) as shown",
        query.trim().trim_end_matches(';')
    );
    assert_eq!(database.ask(&answer).await, "caf\\351\\000");
}
