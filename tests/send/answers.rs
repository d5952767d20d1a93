//! Answers that are late, endless or malformed, or never come.

use std::time::Duration;

use rowhook::send::answer::{Answer, Failure};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::endpoint::{answer_with, raw, read_request, send, send_within, sender, target};

#[tokio::test]
async fn an_endpoint_that_never_answers_or_only_trickles_is_timed_out() {
    let limit = Duration::from_millis(300);
    let (silent, _) = raw(|mut stream, _| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (trickling, _) = raw(|mut stream, _| async move {
        answer_with(
            &mut stream,
            b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n",
        )
        .await;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    })
    .await;
    for url in [silent, trickling] {
        let answer = send_within(&sender(), &target(&url), limit).await;
        assert_eq!(answer, Answer::Failed(Failure::TimedOut(limit)));
        assert_eq!(answer.to_string(), "timed out after 300ms");
    }
}

#[tokio::test]
async fn of_an_endless_answer_four_kilobytes_are_read() {
    let (url, _) = raw(|mut stream, _| async move {
        answer_with(&mut stream, b"HTTP/1.1 500 Oh\r\n\r\n").await;
        while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
    })
    .await;
    let Answer::Status {
        code: 500, body, ..
    } = send(&sender(), &target(&url)).await
    else {
        panic!("the status was said");
    };
    assert_eq!(body.len(), 4096);
}

#[tokio::test]
async fn what_is_not_an_answer_is_a_failure_in_few_words() {
    let (garbage, _) = raw(|mut stream, _| async move {
        answer_with(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n").await
    })
    .await;
    let (closing, _) = raw(|mut stream, _| async move {
        read_request(&mut stream).await;
    })
    .await;
    let (headers, _) = raw(|mut stream, _| async move {
        let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(2 << 20));
        answer_with(&mut stream, huge.as_bytes()).await;
    })
    .await;
    assert!(matches!(
        send(&sender(), &target(&garbage)).await,
        Answer::Failed(Failure::Protocol(_))
    ));
    assert_eq!(
        send(&sender(), &target(&closing)).await,
        Answer::Failed(Failure::Closed)
    );
    assert!(matches!(
        send(&sender(), &target(&headers)).await,
        Answer::Failed(_)
    ));
    // Nobody listens on this port any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://anna:secret@{}/", listener.local_addr().unwrap());
    drop(listener);
    let answer = send(&sender(), &target(&url)).await;
    assert!(
        matches!(answer, Answer::Failed(Failure::Connect(_))),
        "{answer}"
    );
    assert!(
        !answer.to_string().contains("http") && !answer.to_string().contains("secret"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_answer_that_lies_about_its_length_is_its_status() {
    let (url, _) = raw(|mut stream, _| async move {
        answer_with(
            &mut stream,
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nshort",
        )
        .await;
    })
    .await;
    let Answer::Status {
        code: 200, body, ..
    } = send(&sender(), &target(&url)).await
    else {
        panic!("the status was said");
    };
    assert_eq!(body, "short");
}
