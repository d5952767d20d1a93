//! Connections: how hosts are found, which of their addresses is used, and which connections are used again.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::Request as Received};
use harness::NameServer;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rowhook::{
    config::Delivery,
    send::{
        Sender,
        answer::{Answer, Failure},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor, rustls,
    rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
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

/// An endpoint that speaks HTTP/2 over TLS, behind a relay that can fall silent without closing a connection.
struct Relayed {
    url: String,
    authority: CertificateDer<'static>,
    /// The connections up to this number are silent.
    silent: watch::Sender<usize>,
    connections: Arc<AtomicUsize>,
}

impl Relayed {
    async fn start(app: Router) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let openssl = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
                       -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
                       -keyout key.pem -out certificate.pem";
        let made = Command::new("openssl")
            .args(openssl.split_whitespace())
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success());
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        let authority = CertificateDer::from_pem_slice(&read("certificate.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![authority.clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let (silent, connections) = (watch::Sender::new(0), Arc::new(AtomicUsize::new(0)));
        let (falls, count) = (silent.clone(), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let (mut near, far) = tokio::io::duplex(64 << 10);
                let (acceptor, app) = (acceptor.clone(), app.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(far).await else {
                        return;
                    };
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
                        .await;
                });
                let mut falls = falls.subscribe();
                tokio::spawn(async move {
                    let silenced = async { falls.wait_for(|last| *last >= number).await.is_ok() };
                    let relaying = copy_bidirectional(&mut stream, &mut near);
                    let is_silenced = tokio::select! {
                        _ = relaying => false,
                        silenced = silenced => silenced,
                    };
                    // TCP goes on: what comes is taken, and nothing is said.
                    let mut taken = [0; 4096];
                    while is_silenced
                        && stream.read(&mut taken).await.is_ok_and(|length| length > 0)
                    {
                    }
                });
            }
        });
        Self {
            url,
            authority,
            silent,
            connections,
        }
    }

    fn sender(&self) -> Sender {
        Sender::trusting(&delivery(), vec![self.authority.clone()]).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn requests_on_a_connection_of_http_2_that_falls_silent_go_out_on_another() {
    let relayed = Relayed::start(Router::new().fallback(async || "")).await;
    let sender = relayed.sender();
    let target = Arc::new(target(&relayed.url));
    assert_eq!(code(&send(&sender, &target).await), 200);
    relayed.silent.send_replace(1);
    let begun = Instant::now();
    let mut sent = JoinSet::new();
    for _ in 0..30 {
        let (sender, target) = (sender.clone(), Arc::clone(&target));
        sent.spawn(async move { send_within(&sender, &target, Duration::from_secs(60)).await });
    }
    for answer in sent.join_all().await {
        assert_eq!(code(&answer), 200, "after {:?}", begun.elapsed());
    }
    assert!(relayed.connections() > 1);
}

#[tokio::test]
async fn a_connection_of_http_2_on_which_a_request_timed_out_gets_no_other() {
    // The first request is answered, the second is not, and pings are.
    let count = Arc::new(AtomicUsize::new(0));
    let app = Router::new().fallback(move |_: Received| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            if number == 1 {
                std::future::pending::<()>().await;
            }
        }
    });
    let relayed = Relayed::start(app).await;
    let (sender, target) = (relayed.sender(), target(&relayed.url));
    assert_eq!(code(&send(&sender, &target).await), 200);
    let short = Duration::from_millis(300);
    let silent = send_within(&sender, &target, short).await;
    assert_eq!(silent, Answer::Failed(Failure::TimedOut(short)));
    assert_eq!(relayed.connections(), 1);
    assert_eq!(code(&send(&sender, &target).await), 200);
    assert_eq!(relayed.connections(), 2);
}
