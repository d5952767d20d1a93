//! The queue in NATS JetStream, with a real server: several receivers, of which one is killed, and a server that
//! crashes.

use harness::DEADLINE;
use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::{net::TcpStream, time::Instant};

use crate::{
    queue::{dead, done},
    receiving::{
        NOTE_BUT_FAIL_FIRST, Place, SIGNED, assert_in_order, book, send_three_books, task,
    },
};

/// A NATS server with JetStream, and its folder, which survives a crash.
struct Server {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Server {
    async fn start() -> Self {
        Self::with(tempfile::tempdir().unwrap(), &[]).await
    }

    /// A server that speaks only TLS, with a self-signed certificate.
    async fn with_tls() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (key, certificate) = (path("key.pem"), path("certificate.pem"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ])
            .args([
                "-subj",
                "/CN=nats",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-days",
                "2",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &key, "-out", &certificate])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        Self::with(
            folder,
            &["--tls", "--tlscert", &certificate, "--tlskey", &key],
        )
        .await
    }

    async fn with(folder: TempDir, more: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = launch(&folder, port, more);
        let server = Self {
            child,
            folder,
            port,
        };
        server.until_it_listens().await;
        server
    }

    /// Kills the server with kill -9, and starts a new one on the same folder.
    async fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = launch(&self.folder, self.port, &[]);
        self.until_it_listens().await;
    }

    async fn until_it_listens(&self) {
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(Instant::now() < deadline, "nats-server never listened");
            tokio::task::yield_now().await;
        }
    }

    /// The beginning of a receive.toml whose queue is on this server.
    fn queue(&self) -> String {
        format!("queue = \"nats://127.0.0.1:{}\"\n{SIGNED}", self.port)
    }
}

fn launch(folder: &TempDir, port: u16, more: &[&str]) -> Child {
    // Debian installs it into a folder that is not in every PATH.
    let debian = PathBuf::from("/usr/sbin/nats-server");
    let program = if debian.exists() {
        debian
    } else {
        "nats-server".into()
    };
    Command::new(program)
        .args([
            "--jetstream",
            "--addr",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--store_dir",
        ])
        .arg(folder.path())
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server is not installed; run: make peers")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two places whose tasks write into the same file, that of the first.
async fn two(server: &Server, script: &str, more: &str) -> (Place, Place) {
    let first = Place::with("").await;
    let ran = first.path("ran");
    let config =
        server.queue() + &task("task", &script.replace("RAN", ran.to_str().unwrap()), more);
    first.configure(&config);
    let second = Place::with(&config).await;
    (first, second)
}

#[tokio::test]
async fn two_receivers_share_the_work_and_know_each_others_ids() {
    let server = Server::start().await;
    let (first, second) = two(&server, "echo $ROWHOOK_ID >>RAN", "").await;
    let (one, other) = (first.receive().await, second.receive().await);
    for number in 0..40 {
        let (place, again) = if number % 2 == 0 {
            (&first, &second)
        } else {
            (&second, &first)
        };
        let id = format!("msg_{number}");
        assert_eq!(place.send(&id, &book("added", number)).await, 202);
        assert_eq!(again.send(&id, &book("added", number)).await, 200);
    }
    let ran = first.until_ran("all have run", |ran| ran.len() >= 40).await;
    let distinct: std::collections::BTreeSet<&String> = ran.iter().collect();
    assert_eq!((ran.len(), distinct.len()), (40, 40));
    assert!(one.stop().success() && other.stop().success());
}

#[tokio::test]
async fn what_a_killed_receiver_had_in_hand_runs_at_the_other_and_what_is_done_never_again() {
    let server = Server::start().await;
    let script = "echo begun $ROWHOOK_ID >>RAN; sleep 0.05; echo ended $ROWHOOK_ID >>RAN";
    let (first, second) = two(&server, script, "").await;
    let mut one = first.receive().await;
    for number in 0..30 {
        assert_eq!(
            first
                .send(&format!("msg_{number}"), &book("added", number))
                .await,
            202
        );
    }
    one.until_log(" done ").await;
    let recorded = done(&one.kill_and_log());
    let begun = |id: &String| {
        let line = format!("begun {id}");
        first.ran().iter().filter(|ran| **ran == line).count()
    };
    assert!(!recorded.is_empty() && recorded.iter().all(|id| begun(id) == 1));
    let other = second.receive().await;
    let ended = |ran: &[String]| (0..30).all(|number| ran.contains(&format!("ended msg_{number}")));
    first.until_ran("all have ended", ended).await;
    assert!(recorded.iter().all(|id| begun(id) == 1));
    assert!(other.stop().success());
}

#[tokio::test]
async fn a_crash_of_the_server_loses_nothing_that_was_accepted() {
    let mut server = Server::start().await;
    let (place, _) = two(
        &server,
        "until [ -e go ]; do sleep 0.05; done; echo $ROWHOOK_ID >>RAN",
        "",
    )
    .await;
    let receiver = place.receive().await;
    for number in 0..10 {
        assert_eq!(
            place
                .send(&format!("msg_{number}"), &book("added", number))
                .await,
            202
        );
    }
    server.crash().await;
    place.write("go", "");
    let all = |ran: &[String]| (0..10).all(|number| ran.contains(&format!("msg_{number}")));
    place.until_ran("all have run", all).await;
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn what_has_an_order_runs_in_it_over_two_receivers() {
    let server = Server::start().await;
    let (first, second) = two(&server, NOTE_BUT_FAIL_FIRST, "order_by = \"data.id\"").await;
    let (one, other) = (first.receive().await, second.receive().await);
    let sent = send_three_books(&first).await;
    let ran = first.until_ran("all have run", |ran| ran.len() == 15).await;
    assert_in_order(&ran, &sent);
    assert!(one.stop().success() && other.stop().success());
}

#[tokio::test]
async fn the_dead_are_listed_and_retried() {
    let server = Server::start().await;
    let (place, _) = two(
        &server,
        "echo no >&2; [ -e go ] && echo $ROWHOOK_ID >>RAN",
        "",
    )
    .await;
    let missing = place.ask(&["dead", "list"]);
    assert!(
        missing.err.contains("no receiver has worked there yet"),
        "{}",
        missing.err
    );
    let mut receiver = place.receive().await;
    assert_eq!(place.send("msg_1", &book("added", 1)).await, 202);
    receiver.until_log("a task is given up").await;
    crate::queue::until_dead(&place, 1).await;
    let list = place.ask(&["dead", "list"]);
    assert!(
        list.out.contains("task  book added  msg_1  4 attempts"),
        "{}{}",
        list.out,
        list.err
    );
    place.write("go", "");
    let number = dead(&place)[0]["number"].to_string();
    assert_eq!(
        place.ask(&["dead", "retry", &number]).out,
        "1 will begin anew\n"
    );
    place.until_ran("it has run", |ran| ran == ["msg_1"]).await;
    crate::queue::until_dead(&place, 0).await;
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn a_full_stream_and_a_body_that_no_message_can_carry_have_their_answers() {
    let server = Server::start().await;
    let (place, _) = two(
        &server,
        "until [ -e go ]; do sleep 0.05; done; echo $ROWHOOK_ID >>RAN",
        "",
    )
    .await;
    let config = std::fs::read_to_string(place.path("receive.toml")).unwrap();
    let config = config.split_once('\n').unwrap().1;
    place.configure(&format!(
        "queue_size = \"1MiB\"\nmax_body = \"5MiB\"\n{config}"
    ));
    let receiver = place.receive().await;
    let large =
        |size: usize| book("added", 1).replace("\"x\"", &format!("\"{}\"", "x".repeat(size)));
    assert_eq!(place.send("msg_1", &large(700_000)).await, 202);
    assert_eq!(place.send("msg_2", &large(700_000)).await, 503);
    assert_eq!(place.send("msg_3", &large(2_000_000)).await, 413);
    place.write("go", "");
    place.until_ran("the first", |ran| ran == ["msg_1"]).await;
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let place = Place::with(&format!(
        "queue = \"nats://me:hunter2@127.0.0.1:1\"\n{SIGNED}{}",
        task("t", "true", "")
    ))
    .await;
    let ended = place.ask(&[]);
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .err
            .contains("the queue nats://127.0.0.1:1: cannot be connected to"),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("hunter2"));
}

#[tokio::test]
async fn a_server_with_tls_is_spoken_to_when_its_certificate_is_trusted_and_refused_otherwise() {
    let server = Server::with_tls().await;
    let queue = server.queue().replace("nats://", "tls://");
    let place = Place::with(&(queue + &task("task", "true", ""))).await;
    let refused = place.ask(&[]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("cannot be connected to"),
        "{}",
        refused.err
    );
    let trusted = server.folder.path().join("certificate.pem");
    let list = Command::new(env!("CARGO_BIN_EXE_rowhook"))
        .args(["receive", "dead", "list", "--config"])
        .arg(place.path("receive.toml"))
        .env("SSL_CERT_FILE", trusted)
        .output()
        .unwrap();
    let stderr = String::from_utf8(list.stderr).unwrap();
    assert!(
        stderr.contains("no receiver has worked there yet"),
        "{stderr}"
    );
}
