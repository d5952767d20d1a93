//! The vocabulary of these tests: a receiver with a receive.toml, the requests sent to it, and the tasks that have run.

use harness::{DEADLINE, Ended, Rowhook, SECRET, rowhook_in};
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use reqwest::header::HeaderMap;
use tempfile::TempDir;
use tokio::{net::TcpListener, time::Instant};

/// A folder with a receive.toml and a queue, and an address to listen on. Receivers come and go in it.
pub struct Place {
    folder: Arc<TempDir>,
    pub address: SocketAddr,
}

/// Writes a line for each attempt, and succeeds.
pub const NOTE: &str = r#"echo "$ROWHOOK_ID $ROWHOOK_ATTEMPT" >>ran"#;

impl Place {
    /// A place whose receive.toml is `listen` and then `config`.
    pub async fn with(config: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let place = Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            address,
        };
        place.configure(config);
        place
    }

    /// Replaces the receive.toml.
    pub fn configure(&self, config: &str) {
        let listen = format!("listen = \"{}\"\n", self.address);
        self.write("receive.toml", &(listen + config));
    }

    /// A place with one task: a shell script, and more keys.
    pub async fn with_task(script: &str, more: &str) -> Self {
        Self::with(&format!("{SIGNED}{}", task("task", script, more))).await
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a receiver and waits until it listens.
    pub async fn receive(&self) -> Rowhook {
        let mut rowhook = Rowhook::start_in(&self.folder, &["receive"]);
        rowhook.until_log("listening on").await;
        rowhook
    }

    /// Runs `rowhook receive` with these arguments until it ends.
    pub fn ask(&self, args: &[&str]) -> Ended {
        let args: Vec<&str> = ["receive"].iter().chain(args).copied().collect();
        rowhook_in(&self.folder, &args)
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Sends a signed request, and returns the status.
    pub async fn send(&self, id: &str, body: &str) -> u16 {
        post(&self.url(), signed(id, body, 0), body.to_owned())
            .await
            .0
    }

    /// What the tasks have written, line by line.
    pub fn ran(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("ran")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until `met` is true of what the tasks have written. `fact` names what is waited for, in the failure.
    pub async fn until_ran(&self, fact: &str, met: impl Fn(&[String]) -> bool) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            let ran = self.ran();
            if met(&ran) {
                return ran;
            }
            assert!(
                Instant::now() < deadline,
                "never came true: {fact}; there is {ran:#?}"
            );
            ticks.tick().await;
        }
    }
}

/// The `secrets` of every place.
pub const SIGNED: &str = "secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\n";

/// One `[[tasks]]` that runs a shell script.
pub fn task(name: &str, script: &str, more: &str) -> String {
    format!(
        "[[tasks]]\nname = \"{name}\"\ncommand = [\"sh\", \"-c\", '''{script}''']\nretries = [\"10ms\", \"10ms\", \"10ms\"]\n{more}\n"
    )
}

/// The body of an event about a book.
pub fn book(event: &str, id: u32) -> String {
    format!(r#"{{"hook":{{"id":"1","event":"book.{event}","target":"x"}},"data":{{"id":{id}}}}}"#)
}

/// The headers of a request that the official library signed `ago` seconds ago.
pub fn signed(id: &str, body: &str, ago: i64) -> HeaderMap {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = i64::try_from(now.unwrap().as_secs()).unwrap() - ago;
    let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
    let signature = webhook.sign(id, at, body.as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", id.parse().unwrap());
    headers.insert("webhook-timestamp", at.to_string().parse().unwrap());
    headers.insert("webhook-signature", signature.parse().unwrap());
    headers.insert("content-type", "application/json".parse().unwrap());
    headers
}

/// Sends a request, and returns the status and the text of the answer.
pub async fn post(url: &str, headers: HeaderMap, body: impl Into<reqwest::Body>) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = client.post(url).headers(headers).body(body).send().await;
    let answer = sent.unwrap_or_else(|error| panic!("{error:?}"));
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Sends fifteen events about three books. Returns the ids of the events of each book, in the order in which they were
/// sent.
pub async fn send_three_books(place: &Place) -> Vec<Vec<String>> {
    let mut sent = vec![Vec::new(); 3];
    for number in 0..15 {
        let book_id = number % 3;
        let id = format!("msg_{book_id}_{number}");
        assert_eq!(place.send(&id, &book("changed", book_id)).await, 202);
        sent[usize::try_from(book_id).unwrap()].push(id);
    }
    sent
}

/// Asserts that exactly what was sent has run, for each book in its order.
pub fn assert_in_order(ran: &[String], sent: &[Vec<String>]) {
    for (book_id, sent) in sent.iter().enumerate() {
        let prefix = format!("msg_{book_id}_");
        let of_book: Vec<&String> = ran.iter().filter(|id| id.starts_with(&prefix)).collect();
        assert_eq!(of_book, sent.iter().collect::<Vec<_>>());
    }
}

/// Writes each id. The first attempt at each event of book 1 fails.
pub const NOTE_BUT_FAIL_FIRST: &str = r#"
    body=$(cat)
    case $body in *'"id":1}'*) [ "$ROWHOOK_ATTEMPT" = 1 ] && exit 1 ;; esac
    echo "$ROWHOOK_ID" >>RAN"#;
