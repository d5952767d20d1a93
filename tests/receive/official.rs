//! The official Standard Webhooks libraries of PyPI and npm sign what we receive, and verify what we send.

use harness::{BOOK_EVENTS, DEADLINE, Database, Receiver, SECRET};
use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::{
    go,
    receiving::{NOTE, Place, book, post, signed},
};

const DOCUMENTATION: &str = include_str!("../../docs/book/receiving.md");
const VERIFYING: &str = include_str!("../../docs/book/recipes/verifying.md");

/// A library, wrapped in a program that signs and verifies.
struct Peer {
    name: &'static str,
    program: PathBuf,
    script: &'static str,
}

fn peers() -> [Peer; 2] {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    assert!(
        installed.join("python").exists() && installed.join("node").exists(),
        "the official libraries are not installed; run: make peers"
    );
    [
        Peer {
            name: "PyPI",
            program: installed.join("python/bin/python"),
            script: "peer.py",
        },
        Peer {
            name: "npm",
            program: "node".into(),
            script: "peer.cjs",
        },
    ]
}

impl Peer {
    /// The command that runs the program, with its library on the path.
    fn command(&self) -> Command {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(&self.program);
        command
            .env("NODE_PATH", here.join("target/peers/node/node_modules"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn ask(&self, word: &str, question: &Value) -> Result<String, String> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = self
            .command()
            .arg(here.join("tests/receive/official").join(self.script))
            .arg(word)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let question = question.to_string();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(question.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

#[tokio::test]
async fn what_the_official_libraries_sign_is_believed() {
    let place = Place::with_task(NOTE, "").await;
    let receiver = place.receive().await;
    let body = book("added", 1).replace("\"x\"", "\"größer\"");
    for peer in peers() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let timestamp = now.unwrap().as_secs();
        let id = format!("msg_{}", peer.name);
        let signature = peer.ask(
            "sign",
            &json!({"secret": SECRET, "id": id, "timestamp": timestamp, "body": body}),
        );
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", timestamp.to_string().parse().unwrap());
        headers.insert("webhook-signature", signature.unwrap().parse().unwrap());
        assert_eq!(
            post(
                &place.url(),
                headers.clone(),
                body.replace("added", "moved")
            )
            .await
            .0,
            401
        );
        assert_eq!(
            post(&place.url(), headers, body.clone()).await.0,
            202,
            "{}",
            peer.name
        );
    }
    place.until_ran("both", |ran| ran.len() == 2).await;
    assert!(receiver.stop().success());
}

#[tokio::test]
async fn what_rowhook_sends_is_verified_by_the_official_libraries() {
    let database = Database::bookstore().await;
    let receiver = Receiver::start().await;
    let _rowhook = database.rowhook(BOOK_EVENTS).await;
    database
        .hook(Some("7"), "book.added", &receiver.url())
        .await;
    database
        .sql("insert into book values (1, 7, 1, 'Die Größe', 9)")
        .await;
    let call = receiver.expect(1).await.remove(0);
    let body = String::from_utf8(call.body.to_vec()).unwrap();
    let headers = |id: &str| {
        json!({
            "webhook-id": id,
            "webhook-timestamp": call.header("webhook-timestamp"),
            "webhook-signature": call.header("webhook-signature"),
        })
    };
    for peer in peers() {
        let verify = |id: &str| {
            peer.ask(
                "verify",
                &json!({"secret": SECRET, "headers": headers(id), "body": body}),
            )
        };
        let verified: Value = serde_json::from_str(&verify(call.id()).unwrap()).unwrap();
        assert_eq!(verified["data"]["title"], "Die Größe", "{}", peer.name);
        assert!(verify("msg_another").is_err(), "{}", peer.name);
    }
}

/// The example in the documentation for this language.
fn example(language: &str) -> &'static str {
    let begin = format!("```{language}\n");
    let after = DOCUMENTATION.split_once(&begin).unwrap().1;
    after.split_once("```").unwrap().0
}

/// The program of the documentation in this language, listening on this port.
fn program(language: &str, port: u16, folder: &Path) -> Command {
    let example = example(language).replace("9000", &port.to_string());
    let [python, node] = peers();
    let peer = match language {
        "python" => python,
        "js" => node,
        _ => {
            // The function that it verifies with is on another page.
            let verify = VERIFYING.split_once("```go\n").unwrap().1;
            let verify = verify.split_once("```").unwrap().0;
            let mut command = Command::new(go::built(folder, &[&example, verify]));
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            return command;
        }
    };
    let file = folder.join("example.cjs");
    std::fs::write(&file, example).unwrap();
    let mut command = peer.command();
    command.arg(file);
    command
}

#[tokio::test]
async fn the_documented_receivers_believe_rowhook_and_nobody_else() {
    for language in ["python", "js", "go"] {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let mut program = program(language, address.port(), folder.path());
        let child = program.env("WEBHOOK_SECRET", SECRET).spawn();
        let mut child = child.unwrap();
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < deadline, "{language} never listened");
            tokio::task::yield_now().await;
        }
        let url = format!("http://{address}/hooks");
        let body = r#"{"hook":{"event":"tenant.created"},"data":{"name":"Größe"}}"#;
        let send = async |body: &'static str| {
            let good = r#"{"hook":{"event":"tenant.created"},"data":{"name":"Größe"}}"#;
            post(&url, signed("msg_1", good, 0), body).await.0
        };
        assert_eq!(send(body).await, 202, "{language}");
        assert_eq!(send(body).await, 202, "{language}");
        assert_eq!(send("{}").await, 401, "{language}");
        // What is done for a request may be printed after it is answered.
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        stdout.read_line(&mut printed).unwrap();
        child.kill().unwrap();
        stdout.read_to_string(&mut printed).unwrap();
        child.wait().unwrap();
        assert_eq!(printed, "created Größe\n", "{language}");
    }
}
