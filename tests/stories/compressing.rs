//! Bodies that are compressed on their way.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
use harness::{BOOK_EVENTS, Call, Database, Http2, Manners, Receiver, SECRET};

/// A title that can be compressed.
const LONG: &str = "repeat('a long story ', 500)";

fn hook(name: &str, url: &str, keys: &str) -> String {
    format!(
        "[[hooks]]\nname = \"{name}\"\nevents = [\"*\"]\ntarget = \"{url}/{name}\"\nsecret = \"{SECRET}\"\n{keys}\n"
    )
}

fn to<'a>(calls: &'a [Call], name: &str) -> Vec<&'a Call> {
    let calls = calls.iter();
    calls.filter(|call| call.path.ends_with(name)).collect()
}

#[tokio::test]
async fn large_bodies_are_compressed_where_a_hook_asks_for_it_and_what_is_signed_stays() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let hooks = [
        hook("packed", &url, "compress = \"gzip\""),
        hook("plain", &url, ""),
        hook(
            "batch",
            &url,
            "compress = \"gzip\"\nbatch = { max = 2, wait = \"60s\" }",
        ),
        hook("thin", &url, "compress = \"gzip\"\nmax_body = \"2KiB\""),
    ];
    let rowhook = database
        .rowhook(&format!("{BOOK_EVENTS}\n{}", hooks.join("\n")))
        .await;
    database
        .sql(&format!(
            "insert into book values (1, 7, 1, {LONG}, 9), (2, 7, 1, 'short', 9)"
        ))
        .await;
    let calls = receiver.expect(7).await;
    for call in &calls {
        call.verify();
        let is_packed = call.header("content-encoding") == "gzip";
        assert_eq!(is_packed, call.sent < call.body.len() / 4, "{}", call.path);
        assert!(is_packed || call.sent == call.body.len());
    }
    let packed = |name: &str| {
        let calls = to(&calls, name).into_iter();
        let packed = calls.filter(|call| call.header("content-encoding") == "gzip");
        packed.count()
    };
    assert_eq!(packed("/packed"), 1);
    assert_eq!(packed("/plain"), 0);
    assert_eq!(packed("/batch"), 1);
    assert_eq!(packed("/thin"), 0, "what is left out is not sent");
    let lengths = |name: &str| {
        let calls = to(&calls, name).into_iter();
        let mut lengths: Vec<usize> = calls.map(|call| call.body.len()).collect();
        lengths.sort_unstable();
        lengths
    };
    assert_eq!(
        lengths("/packed").len(),
        lengths("/plain").len(),
        "they differ in nothing but names"
    );
    let kept = "select bool_and(convert_from(request_body, 'UTF8') like '{\"hook\"%') from rowhook.attempt";
    database
        .until("history has what was compressed", kept)
        .await;
    assert!(rowhook.stop().success());
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_compressed_gets_it_as_it_is_from_then_on() {
    let database = Database::bookstore().await;
    let receiver =
        Receiver::answering(
            |call, _| match call.headers.contains_key("content-encoding") {
                true => 415,
                false => 200,
            },
        )
        .await;
    let rowhook = database
        .rowhook(&format!(
            "{BOOK_EVENTS}\n{}",
            hook("packed", &receiver.url(), "compress = \"gzip\"")
        ))
        .await;
    for number in 1..=3 {
        database
            .sql(&format!(
                "insert into book values ({number}, 7, 1, {LONG}, 9)"
            ))
            .await;
        receiver.expect(number + 1).await;
    }
    let statuses: Vec<u16> = receiver.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [415, 200, 200, 200]);
    receiver.calls().iter().for_each(Call::verify);
    database.until_all_is_confirmed().await;
    let once = "select count(*) = 3 and bool_and(number = 1 and delivered) from rowhook.attempt";
    database
        .until("none of it was a step of the schedule", once)
        .await;
    assert!(rowhook.stop().success());
}

#[tokio::test]
async fn a_row_decides_for_itself_and_says_what_is_wrong_with_it() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let config = database.config(BOOK_EVENTS).replacen(
        "[delivery]\n",
        "[delivery]\ncompress = \"gzip\"\n",
        1,
    );
    let mut rowhook = harness::Rowhook::start(&config);
    rowhook.until_log("attached slot=").await;
    let url = receiver.url();
    database
        .sql(&format!(
            "insert into rowhook.hook (owner, event, target, compress) values
                ('7', 'book.added', '{url}/usual', null), ('7', 'book.added', '{url}/none', 'none')"
        ))
        .await;
    database
        .sql(&format!("insert into book values (1, 7, 1, {LONG}, 9)"))
        .await;
    let calls = receiver.expect(2).await;
    assert_eq!(to(&calls, "/usual")[0].header("content-encoding"), "gzip");
    assert_eq!(to(&calls, "/none")[0].header("content-encoding"), "");
}

#[tokio::test]
async fn it_is_compressed_over_http_2_too() {
    type Arrived = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;
    let database = Database::bookstore().await;
    let arrived = Arrived::default();
    let kept = Arc::clone(&arrived);
    let app = Router::new().fallback(post(move |headers: HeaderMap, body: Bytes| {
        kept.lock().unwrap().push((headers, body));
        async {}
    }));
    let endpoint = Http2::serving(app, |_| Manners::Answers).await;
    let keys = format!(
        "compress = \"gzip\"\nca = \"{}\"",
        endpoint.authority_file()
    );
    let url = endpoint.url.trim_end_matches('/');
    let _rowhook = database
        .rowhook(&format!("{BOOK_EVENTS}\n{}", hook("packed", url, &keys)))
        .await;
    // More than is compressed at once.
    database
        .sql("insert into book values (1, 7, 1, repeat('a long story ', 50000), 9)")
        .await;
    harness::until_within(harness::DEADLINE, "it arrives", async || {
        !arrived.lock().unwrap().is_empty()
    })
    .await;
    let (headers, body) = arrived.lock().unwrap().remove(0);
    assert_eq!(headers["content-encoding"], "gzip");
    let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(length, body.len());
    let unpacked = rowhook::gzip::unpack(&body, 1 << 20).unwrap();
    assert!(body.len() < unpacked.len() / 10);
    let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
    webhook.verify(&unpacked, &headers).unwrap();
}
