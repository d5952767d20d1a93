//! Answers that are late, endless or malformed, or never come.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rowhook::send::answer::{Answer, Failure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::endpoint::{
    answer_with, code, raw, read_request, send, send_body, send_within, sender, target,
};

#[tokio::test]
async fn an_endpoint_that_never_answers_is_timed_out_and_one_that_trickles_has_said_its_status() {
    let limit = Duration::from_millis(300);
    let (silent, _) = raw(|mut stream, _| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (trickling, _) = raw(|mut stream, _| async move {
        answer_with(
            &mut stream,
            b"HTTP/1.1 410 Gone\r\ncontent-length: 100000\r\n\r\n",
        )
        .await;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    })
    .await;
    let answer = send_within(&sender(), &target(&silent), limit).await;
    assert_eq!(answer, Answer::Failed(Failure::TimedOut(limit)));
    assert_eq!(answer.to_string(), "timed out after 300ms");
    let begun = Instant::now();
    let answer = send_within(&sender(), &target(&trickling), limit).await;
    assert_eq!(code(&answer), 410);
    assert!(begun.elapsed() < 10 * limit, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn answers_are_taken_as_browsers_and_curl_take_them() {
    let many: String = (0..400).map(|n| format!("x-{n}: {n}\r\n")).collect();
    for (name, head) in [
        ("many headers", many.as_str()),
        ("a control character", "x-odd: a\u{1}b\r\n"),
        ("a folded line", "x-folded: one\r\n two\r\n"),
        ("a line without a colon", "nonsense\r\n"),
        ("a space before the colon", "x-spaced : 1\r\n"),
        ("a name that is none", "x y@: 1\r\n"),
        ("not ASCII", "x-latin: caf\u{e9}\r\n"),
        ("an empty name", ": 1\r\n"),
        (
            "large headers",
            &format!("x-large: {}\r\n", "x".repeat(100 << 10)),
        ),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}content-length: 2\r\nx-last: 1\r\n\r\nok");
        let (url, _) = raw(move |mut stream, _| {
            let answer = answer.clone();
            async move { answer_with(&mut stream, answer.as_bytes()).await }
        })
        .await;
        match send(&sender(), &target(&url)).await {
            Answer::Status {
                code: 200,
                headers,
                body,
                ..
            } => {
                assert_eq!(
                    (&headers["x-last"], &body[..]),
                    (&"1".parse().unwrap(), &b"ok"[..]),
                    "{name}"
                );
            }
            other => panic!("{name}: {other}"),
        }
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
async fn a_body_that_is_refused_before_it_was_sent_is_refused_and_its_connection_is_not_used_again()
{
    let (url, connections) = raw(|mut stream, _| async move {
        let mut first = [0; 64];
        let _ = stream.read(&mut first).await;
        let answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
        // Whoever wants to send more waits without end.
        std::future::pending::<()>().await;
    })
    .await;
    let (sender, target) = (sender(), target(&url));
    let large = Bytes::from(vec![b'x'; 64 << 20]);
    for sent in 1..3 {
        let answer = send_body(&sender, &target, large.clone(), Duration::from_secs(20)).await;
        assert_eq!(code(&answer), 413);
        assert_eq!(connections.load(Ordering::SeqCst), sent);
    }
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
