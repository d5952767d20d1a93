//! Connections: how hosts are found, which of their addresses is used, and which connections are used again.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::Router;
use harness::{Http2, Manners, NameServer};
use rowhook::{
    config::Delivery,
    send::{
        Sender,
        answer::{Answer, Failure},
    },
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::endpoint::{code, delivery, raw, read_request, send, send_within, target};

/// A sender that asks this name server.
fn sender_asking(server: &NameServer) -> Sender {
    let delivery = Delivery {
        resolver: vec![server.address()],
        ..delivery()
    };
    Sender::new(&delivery).unwrap()
}

/// An endpoint that answers 200 on this address of the loopback network.
async fn answering(address: Ipv4Addr, port: u16) -> SocketAddr {
    let listener = TcpListener::bind((address, port)).await.unwrap();
    let bound = listener.local_addr().unwrap();
    let app = Router::new().fallback(async || "");
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    bound
}

/// A listening socket that swallows whoever connects: nobody accepts, and its queue is full.
struct Swallowing {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Swallowing {
    async fn at(address: Ipv4Addr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        // How many fit beyond the backlog differs between systems.
        let patience = Duration::from_millis(500);
        while let Ok(connected) = tokio::time::timeout(patience, TcpStream::connect(address)).await
        {
            queue.push(connected.unwrap());
            assert!(queue.len() < 100, "the queue never filled");
        }
        Self {
            address,
            _listener: listener,
            _queue: queue,
        }
    }
}

#[tokio::test]
async fn a_host_whose_first_address_swallows_everything_is_reached_at_the_next() {
    let dead = [Ipv4Addr::new(127, 0, 0, 71), Ipv4Addr::new(127, 0, 0, 72)];
    let swallowing = Swallowing::at(dead[0]).await;
    let port = swallowing.address.port();
    answering(dead[1], port).await;
    let server = NameServer::of(&[("two.test", &dead)]).await;
    let sender = sender_asking(&server);
    let target = target(&format!("http://two.test:{port}/"));
    let answer = send_within(&sender, &target, Duration::from_secs(15)).await;
    assert_eq!(code(&answer), 200);
}

#[tokio::test]
async fn a_host_whose_first_address_refuses_is_reached_at_the_next() {
    let two = [Ipv4Addr::new(127, 0, 0, 73), Ipv4Addr::new(127, 0, 0, 74)];
    let port = answering(two[1], 0).await.port();
    let server = NameServer::of(&[("refuses_one.test", &two)]).await;
    let target = target(&format!("http://refuses_one.test:{port}/"));
    assert_eq!(code(&send(&sender_asking(&server), &target).await), 200);
}

#[tokio::test]
async fn names_with_silent_servers_keep_no_other_waiting() {
    let here = [Ipv4Addr::LOCALHOST];
    let port = answering(here[0], 0).await.port();
    let server = NameServer::of(&[("good.test", &here)]).await;
    let sender = sender_asking(&server);
    let timeout = Duration::from_secs(5);
    let mut silent = JoinSet::new();
    for number in 0..400 {
        let (sender, url) = (
            sender.clone(),
            format!("http://{number}.silent.test:{port}/"),
        );
        silent.spawn(async move { send_within(&sender, &target(&url), timeout).await });
    }
    // Each of them is being asked for, or waits for that.
    tokio::task::yield_now().await;
    let good = target(&format!("http://good.test:{port}/"));
    assert_eq!(code(&send_within(&sender, &good, timeout).await), 200);
    let ended = silent.join_all().await;
    let unresolved = |answer: &Answer| {
        matches!(
            answer,
            Answer::Failed(Failure::TimedOut(_) | Failure::Resolve(_))
        )
    };
    assert!(ended.iter().all(unresolved));
}

#[tokio::test]
async fn a_name_that_was_silent_is_not_asked_for_again_at_once() {
    let server = NameServer::of(&[]).await;
    let sender = sender_asking(&server);
    let target = target("http://silent.test/");
    let first = send(&sender, &target).await;
    assert!(
        matches!(first, Answer::Failed(Failure::Resolve(_))),
        "{first}"
    );
    let asked = server.questions();
    let second = send(&sender, &target).await;
    assert_eq!(
        second.to_string(),
        "the name cannot be resolved: its name servers do not answer"
    );
    assert_eq!(server.questions(), asked);
}

#[tokio::test]
async fn an_answer_is_kept_for_its_ttl_and_asked_for_once_by_all_who_wait() {
    let here = [Ipv4Addr::LOCALHOST];
    let server = NameServer::of(&[("kept.test", &here)]).await;
    let sender = sender_asking(&server);
    let (url, connections) = raw(|mut stream, _| async move {
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
    })
    .await;
    let target = Arc::new(target(&url.replace("127.0.0.1", "kept.test")));
    let mut sent = JoinSet::new();
    for _ in 0..20 {
        let (sender, target) = (sender.clone(), Arc::clone(&target));
        sent.spawn(async move { send(&sender, &target).await });
    }
    for answer in sent.join_all().await {
        assert_eq!(code(&answer), 200);
    }
    assert_eq!(code(&send(&sender, &target).await), 200);
    assert_eq!(connections.load(Ordering::SeqCst), 21);
    // One question for each version of IP.
    assert_eq!(server.questions(), 2);
}

#[tokio::test]
async fn names_of_the_hosts_file_are_known_whatever_name_servers_say() {
    let server = NameServer::of(&[]).await;
    let port = answering(Ipv4Addr::LOCALHOST, 0).await.port();
    let target = target(&format!("http://localhost:{port}/"));
    assert_eq!(code(&send(&sender_asking(&server), &target).await), 200);
}

#[tokio::test]
async fn a_connection_of_http_1_that_timed_out_is_not_used_again() {
    let (url, connections) = raw(|mut stream, number| async move {
        let mut answered = 0;
        while read_request(&mut stream).await.is_some() {
            // The first connection answers its first request, and none after it.
            if number > 0 || answered == 0 {
                answered += 1;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        }
    })
    .await;
    let (sender, target) = (crate::endpoint::sender(), target(&url));
    assert_eq!(code(&send(&sender, &target).await), 200);
    let short = Duration::from_millis(300);
    let silent = send_within(&sender, &target, short).await;
    assert_eq!(silent, Answer::Failed(Failure::TimedOut(short)));
    assert_eq!(code(&send(&sender, &target).await), 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

/// A sender that trusts this endpoint.
fn sender_to(endpoint: &Http2) -> Sender {
    Sender::trusting(&delivery(), vec![endpoint.authority.clone()]).unwrap()
}

#[tokio::test]
async fn requests_on_a_connection_of_http_2_that_falls_silent_go_out_on_another() {
    let endpoint = Http2::start(|_| Manners::Answers).await;
    let sender = sender_to(&endpoint);
    let target = Arc::new(target(&endpoint.url));
    assert_eq!(code(&send(&sender, &target).await), 200);
    endpoint.fall_silent();
    let begun = Instant::now();
    let mut sent = JoinSet::new();
    for _ in 0..30 {
        let (sender, target) = (sender.clone(), Arc::clone(&target));
        sent.spawn(async move { send_within(&sender, &target, Duration::from_secs(60)).await });
    }
    for answer in sent.join_all().await {
        assert_eq!(code(&answer), 200, "after {:?}", begun.elapsed());
    }
    assert!(endpoint.connections() > 1);
}

#[tokio::test]
async fn a_connection_of_http_2_on_which_a_request_timed_out_gets_no_other() {
    let endpoint = Http2::start(|_| Manners::AnswersOnce).await;
    let (sender, target) = (sender_to(&endpoint), target(&endpoint.url));
    assert_eq!(code(&send(&sender, &target).await), 200);
    let short = Duration::from_millis(300);
    let silent = send_within(&sender, &target, short).await;
    assert_eq!(silent, Answer::Failed(Failure::TimedOut(short)));
    assert_eq!(endpoint.connections(), 1);
    assert_eq!(code(&send(&sender, &target).await), 200);
    assert_eq!(endpoint.connections(), 2);
}
