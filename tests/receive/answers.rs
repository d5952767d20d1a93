//! Each bad request gets the right answer, and does no harm.

use harness::DEADLINE;
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::receiving::{NOTE, Place, book, post, signed};

/// Writes `request` to a connection, and reads until it is closed.
async fn raw(place: &Place, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(place.address).await.unwrap();
    connection.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(DEADLINE, connection.read_to_end(&mut answer)).await;
    read.expect("the connection was never closed").unwrap();
    String::from_utf8(answer).unwrap()
}

async fn small() -> Place {
    let config = "secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\npath = \"/hooks\"\nmax_body = \"1KiB\"\ntimeout = \"1s\"\n";
    let task = crate::receiving::task("task", NOTE, "event = \"added\"");
    Place::with(&format!("{config}{task}")).await
}

#[tokio::test]
async fn every_bad_request_gets_its_answer_and_a_good_one_after_them_runs() {
    let place = small().await;
    let mut receiver = place.receive().await;
    let (url, body) = (place.url(), book("added", 1));
    let headers = |id: &str| signed(id, &body, 0);
    let without = |name: &str| {
        let mut headers = headers("msg_bad");
        headers.remove(name);
        headers
    };
    let with = |name: &'static str, value: &str| {
        let mut headers = headers("msg_bad");
        headers.insert(name, value.parse().unwrap());
        headers
    };
    for (headers, sent, status, expected) in [
        (
            headers("msg_bad"),
            "x".repeat(5 << 20),
            413,
            "larger than 1024 bytes",
        ),
        (headers("msg_bad"), book("added", 2), 401, "does not fit"),
        (
            HeaderMap::new(),
            body.clone(),
            401,
            "webhook-signature is missing",
        ),
        (
            without("webhook-id"),
            body.clone(),
            401,
            "webhook-id is missing",
        ),
        (
            without("webhook-timestamp"),
            body.clone(),
            401,
            "webhook-timestamp is missing",
        ),
        (
            with("webhook-id", "msg_other"),
            body.clone(),
            401,
            "does not fit",
        ),
        (
            with("webhook-timestamp", "soon"),
            body.clone(),
            400,
            "seconds since 1970",
        ),
        (
            signed("msg_bad", &body, 301),
            body.clone(),
            401,
            "old, more than the 5m",
        ),
        (
            signed("msg_bad", &body, -400),
            body.clone(),
            401,
            "ahead, more than the 5m",
        ),
        (
            signed("msg_bad", "payload=1", 0),
            "payload=1".into(),
            400,
            "not JSON",
        ),
        (signed("msg_bad", "", 0), String::new(), 400, "not JSON"),
        (
            headers("msg_bad"),
            "x".repeat(1025),
            413,
            "larger than 1024 bytes",
        ),
    ] {
        let (answered, said) = post(&url, headers, sent.clone()).await;
        let sent = sent.get(..100).unwrap_or(&sent);
        assert_eq!(answered, status, "{said} {sent}");
        assert!(said.contains(expected), "{said:?} for {expected:?}");
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for method in [
        reqwest::Method::GET,
        reqwest::Method::PUT,
        reqwest::Method::DELETE,
    ] {
        let answer = client.request(method, &url).send().await.unwrap();
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()["allow"], "POST");
    }
    let elsewhere = format!("http://{}/elsewhere", place.address);
    assert_eq!(
        post(&elsewhere, headers("msg_bad"), body.clone()).await.0,
        404
    );
    assert_eq!(place.send("msg_1", &body).await, 202);
    assert_eq!(place.send("msg_1", &body).await, 200);
    place
        .until_ran("the good one", |ran| ran == ["msg_1 1"])
        .await;
    assert_eq!(place.send("msg_1", &body).await, 200);
    assert_eq!(place.send("msg_2", &book("changed", 1)).await, 202);
    receiver.until_log("no task wants this").await;
    assert_eq!(place.send("msg_3", &body).await, 202);
    place
        .until_ran("the next one", |ran| ran == ["msg_1 1", "msg_3 1"])
        .await;
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn bad_utf_8_that_is_signed_is_malformed() {
    let place = small().await;
    let _receiver = place.receive().await;
    // The libraries of Standard Webhooks sign text only, so this one is signed with our own key.
    let body = b"{\"hook\":{\"event\":\"book.added\"},\"data\":\"\xff\"}";
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    let seconds = now.unwrap().as_secs();
    let secret = rowhook::secret::Secret::new(harness::SECRET);
    let key = rowhook::signature::SigningKey::parse(&secret).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", "msg_1".parse().unwrap());
    headers.insert("webhook-timestamp", seconds.to_string().parse().unwrap());
    headers.insert(
        "webhook-signature",
        key.sign("msg_1", seconds, body).parse().unwrap(),
    );
    let (status, said) = post(&place.url(), headers, body.to_vec()).await;
    assert_eq!(
        (status, said.contains("not UTF-8 at byte")),
        (400, true),
        "{said}"
    );
}

#[tokio::test]
async fn a_body_that_trickles_is_answered_within_the_limit_and_others_are_served_meanwhile() {
    let place = small().await;
    let receiver = place.receive().await;
    let begun = b"POST /hooks HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
    let slow = raw(&place, begun);
    let endless = raw(
        &place,
        b"POST /hooks HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    );
    let good = async {
        for number in 0..20 {
            let id = format!("msg_{number}");
            assert_eq!(place.send(&id, &book("added", number)).await, 202);
        }
    };
    let (slow, endless, ()) = tokio::join!(slow, endless, good);
    for answer in [slow, endless] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("did not come within 1s"), "{answer}");
    }
    place.until_ran("the others", |ran| ran.len() == 20).await;
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn what_is_announced_as_too_large_is_not_even_read() {
    let place = small().await;
    let _receiver = place.receive().await;
    let huge = b"POST /hooks HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\nexpect: 100-continue\r\n\r\n";
    let answer = raw(&place, huge).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let body = vec![b'x'; 2000];
    let chunk = [
        b"POST /hooks HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n".as_slice(),
        &body,
    ]
    .concat();
    let answer = raw(&place, &chunk).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let noise = raw(
        &place,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    )
    .await;
    assert!(noise.starts_with("HTTP/1.1 400 "), "{noise}");
}

#[tokio::test]
async fn it_answers_before_the_task_has_ended() {
    let place = Place::with_task(
        "echo begun >>ran; until [ -e go ]; do sleep 0.01; done; echo ended >>ran",
        "",
    )
    .await;
    let _receiver = place.receive().await;
    let answered = timeout(
        Duration::from_secs(10),
        place.send("msg_1", &book("added", 1)),
    )
    .await;
    assert_eq!(answered.expect("no answer while the task runs"), 202);
    place
        .until_ran("the task runs", |ran| ran == ["begun"])
        .await;
    place.write("go", "");
    place
        .until_ran("the task ends", |ran| ran == ["begun", "ended"])
        .await;
}

#[tokio::test]
async fn health_is_answered_without_a_signature() {
    let place = small().await;
    let _receiver = place.receive().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .get(format!("http://{}/health", place.address))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}
