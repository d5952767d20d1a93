//! The words that the stories are told in: a database, a receiver, a rowhook.
//!
//! Nothing here sleeps for luck: every wait is for a fact, has a deadline, and says which fact never came.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
};
use rowhook::demo::cluster::Cluster;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_postgres::{Client, NoTls};

use crate::schemas::Schemas;

/// Longer than anything takes, on a machine that does much else.
pub const DEADLINE: Duration = Duration::from_secs(120);

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A database of its own for one story.
pub struct Database {
    pub name: String,
    pub url: String,
    pub client: Client,
}

/// The cluster that stories share when they do not stop or reconfigure it.
pub fn shared_cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        Cluster::start(&["max_replication_slots=200", "max_wal_senders=200"])
            .expect("start the shared cluster")
    })
}

impl Database {
    pub async fn new() -> Self {
        Self::on(shared_cluster()).await
    }

    pub async fn on(cluster: &Cluster) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("story_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&cluster.url("postgres")).await;
        admin
            .batch_execute(&format!("create database {name}"))
            .await
            .unwrap();
        let url = cluster.url(&name);
        Self {
            client: connect(&url).await,
            name,
            url,
        }
    }

    /// A bookstore: users own shelves, shelves hold books, and a book has an owner of its own too.
    pub async fn bookstore() -> Self {
        let database = Self::new().await;
        database.sql(BOOKSTORE).await;
        database
    }

    pub async fn sql(&self, sql: &str) {
        if let Err(error) = self.client.batch_execute(sql).await {
            panic!("{sql}: {error:?}");
        }
    }

    /// The first column of the first row, as text.
    pub async fn ask(&self, sql: &str) -> String {
        let rows = self
            .client
            .simple_query(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let row = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some(row.get(0).unwrap_or("null").to_owned())
            }
            _ => None,
        });
        row.unwrap_or_else(|| panic!("{sql}: no row"))
    }

    /// Waits until `sql` says true.
    pub async fn until(&self, fact: &str, sql: &str) {
        self.until_within(DEADLINE, fact, sql).await;
    }

    async fn until_within(&self, deadline: Duration, fact: &str, sql: &str) {
        let deadline = Instant::now() + deadline;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while self.ask(sql).await != "t" {
            assert!(Instant::now() < deadline, "never came true: {fact}");
            ticks.tick().await;
        }
    }

    /// Waits until rowhook has confirmed everything that has been written so far.
    pub async fn until_all_is_confirmed(&self) {
        self.until_all_is_confirmed_within(DEADLINE).await;
    }

    /// The same, where there is more to be done than in most stories.
    pub async fn until_all_is_confirmed_within(&self, deadline: Duration) {
        let now = self.ask("select pg_current_wal_insert_lsn()").await;
        // A few bytes of WAL without events are not worth a confirmation; so many are.
        self.sql("select pg_logical_emit_message(true, 'filler', repeat('-', 20000))")
            .await;
        let sql = format!(
            "select confirmed_flush_lsn >= '{now}' from pg_replication_slots where slot_name = '{}'",
            self.name
        );
        let fact = format!("the slot has confirmed {now}");
        self.until_within(deadline, &fact, &sql).await;
    }

    /// Waits until everything that has been written so far is confirmed, and nothing is parked.
    pub async fn until_all_has_arrived(&self) {
        self.until_all_is_confirmed().await;
        let sql = "select count(*) = 0 from rowhook.delivery where state = 'parked'";
        self.until("nothing is parked", sql).await;
    }

    /// The smallest hooks.toml for this database, with `rest` after `[database]`.
    pub fn config(&self, rest: &str) -> String {
        format!(
            "[database]\nurl = \"{}\"\nslot = \"{}\"\n\n[delivery]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\nretries = [\"50ms\", \"100ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\"]\n\n{rest}",
            self.url, self.name
        )
    }

    /// Starts rowhook on this database and waits until it is attached.
    pub async fn rowhook(&self, rest: &str) -> Rowhook {
        let mut rowhook = Rowhook::start(&self.config(rest));
        rowhook.until_log("attached").await;
        // Now, because the story may alter its tables later.
        Schemas::of_story().look(false).await;
        rowhook
    }

    /// Adds a hook as an application would.
    pub async fn hook(&self, owner: Option<&str>, event: &str, target: &str) -> String {
        let owner = owner.map_or("null".into(), |owner| format!("'{owner}'"));
        self.ask(&format!(
            "insert into rowhook.hook (owner, event, target, secret) values ({owner}, '{event}', '{target}', '{SECRET}') returning id"
        ))
        .await
    }
}

pub const BOOKSTORE: &str = "
    create table shelf (id bigint primary key, user_id bigint not null);
    create table book (
        id bigint primary key,
        user_id bigint,
        shelf_id bigint references shelf,
        title text not null,
        price numeric(8, 2)
    );
    insert into shelf values (1, 7), (2, 8);
";

pub const BOOK_EVENTS: &str = r#"
[events]
"book.added" = "book.created"
"book.changed" = "book.updated"
"book.removed" = "book.deleted"
"#;

pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}"));
    tokio::spawn(connection);
    client
}

/// An endpoint that keeps what it gets, and answers as it is told.
pub struct Receiver {
    address: SocketAddr,
    kept: Arc<Kept>,
    server: tokio::task::JoinHandle<()>,
}

type Answer = Box<dyn Fn(&Call, usize) -> u16 + Send + Sync>;

struct Kept {
    calls: watch::Sender<Vec<Call>>,
    /// What the bodies have to be, and how many have been looked at.
    schemas: Schemas,
    checked: AtomicUsize,
    answer: Mutex<Answer>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub status: u16,
}

impl Call {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// `data` of a rest-hooks body.
    pub fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    pub fn event(&self) -> String {
        self.json()["hook"]["event"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// Verified by the official library, with the secret that all hooks of the stories have.
    pub fn verify(&self) {
        let webhook = standardwebhooks::Webhook::new(SECRET).unwrap();
        webhook
            .verify(&self.body, &self.headers)
            .unwrap_or_else(|error| panic!("{error}: {self:?}"));
    }
}

impl Receiver {
    /// Answers 200 to everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| 200).await
    }

    /// Answers what `answer` says of a call and of how many came before it.
    pub async fn answering(answer: impl Fn(&Call, usize) -> u16 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Kept {
            calls: watch::Sender::new(Vec::new()),
            schemas: Schemas::of_story(),
            checked: AtomicUsize::new(0),
            answer: Mutex::new(Box::new(answer)),
        });
        let app = axum::Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&kept));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            kept,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn answer(&self, answer: impl Fn(&Call, usize) -> u16 + Send + Sync + 'static) {
        *self.kept.answer.lock().unwrap() = Box::new(answer);
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.kept.calls.borrow().clone()
    }

    /// Waits for so many calls, and returns all there are.
    pub async fn expect(&self, calls: usize) -> Vec<Call> {
        self.until(&format!("{calls} calls"), |all| all.len() >= calls)
            .await
    }

    /// Waits until the calls are as they should be, as long as there are more and more.
    pub async fn until(&self, fact: &str, met: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        let mut calls = self.kept.calls.subscribe();
        let end = Instant::now() + 5 * DEADLINE;
        loop {
            if met(&calls.borrow_and_update()) {
                let seen = self.calls();
                self.check(&seen).await;
                return seen;
            }
            let more = timeout(DEADLINE, calls.changed()).await;
            if more.is_err() || Instant::now() > end {
                let seen = self.calls();
                let last: Vec<_> = seen.iter().rev().take(5).collect();
                panic!(
                    "never came: {fact}; there were {} calls, last of all {last:#?}",
                    seen.len()
                );
            }
        }
    }

    /// Holds the bodies that nobody has looked at yet against their schemas.
    async fn check(&self, calls: &[Call]) {
        let checked = self.kept.checked.swap(calls.len(), Ordering::Relaxed);
        let new = calls.get(checked..).unwrap_or_default();
        let bodies: Vec<Bytes> = new.iter().map(|call| call.body.clone()).collect();
        self.kept.schemas.look(false).await;
        self.kept.schemas.check(&bodies).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(State(kept): State<Arc<Kept>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut call = Call {
        path: parts.uri.to_string(),
        headers: parts.headers,
        body,
        status: 0,
    };
    let before = kept.calls.borrow().len();
    call.status = kept.answer.lock().unwrap()(&call, before);
    let status = StatusCode::from_u16(call.status).unwrap();
    kept.calls.send_modify(|calls| calls.push(call));
    status
}

/// An endpoint that accepts requests and answers none of them until it is opened.
pub struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
    server: tokio::task::JoinHandle<()>,
}

impl Gate {
    pub async fn closed() -> Self {
        let (open, opened) = watch::channel(false);
        let app = axum::Router::new().fallback(move || {
            let mut opened = opened.clone();
            async move {
                let _ = opened.wait_for(|open| *open).await;
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            open,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Answers 200 to all that have waited, and at once to the others.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The real binary, with a hooks.toml of its own.
pub struct Rowhook {
    child: Child,
    folder: Arc<tempfile::TempDir>,
    log: watch::Receiver<Vec<String>>,
    #[allow(dead_code, reason = "only the stories of the receiver look at it")]
    out: watch::Receiver<Vec<String>>,
}

impl Rowhook {
    /// Starts `rowhook run` with this hooks.toml.
    pub fn start(config: &str) -> Self {
        Schemas::of_story().add(config);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hooks.toml"), config).unwrap();
        Self::start_in(&Arc::new(folder), &["run"])
    }

    /// Starts the binary with these arguments in a folder that outlives it.
    pub fn start_in(folder: &Arc<tempfile::TempDir>, args: &[&str]) -> Self {
        let mut child = command(folder, args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = lines(child.stderr.take().unwrap());
        let out = lines(child.stdout.take().unwrap());
        let folder = Arc::clone(folder);
        Self {
            child,
            folder,
            log,
            out,
        }
    }

    /// Writes another hooks.toml in place of the first.
    pub fn write_config(&self, config: &str) {
        Schemas::of_story().add(config);
        std::fs::write(self.folder.path().join("hooks.toml"), config).unwrap();
    }

    /// Waits for a line of the log.
    pub async fn until_log(&mut self, part: &str) {
        let met = |lines: &Vec<String>| lines.iter().any(|line| line.contains(part));
        let seen = timeout(DEADLINE, self.log.wait_for(met))
            .await
            .map(|lines| lines.is_ok());
        match seen {
            Ok(true) => {}
            Ok(false) => panic!(
                "rowhook ended before its log said {part:?}:\n{}",
                self.log()
            ),
            Err(_) => panic!("the log never said {part:?}:\n{}", self.log()),
        }
    }

    pub fn log(&self) -> String {
        self.log.borrow().join("\n")
    }

    /// Waits until what it has printed is as it should be.
    #[allow(dead_code, reason = "only the stories of the receiver look at it")]
    pub async fn until_out(&mut self, fact: &str, met: impl Fn(&str) -> bool) -> String {
        let met = |lines: &Vec<String>| met(&lines.join("\n"));
        let seen = timeout(DEADLINE, self.out.wait_for(met))
            .await
            .map(|lines| lines.is_ok());
        assert!(
            matches!(seen, Ok(true)),
            "never printed: {fact}; printed was:\n{}",
            self.out.borrow().join("\n")
        );
        self.out.borrow().join("\n")
    }

    /// The most memory that it has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes: u64 = peak
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kibibytes << 10
    }

    /// SIGTERM, and the way it ends.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.child.wait().unwrap()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// kill -9, and all that it has logged.
    #[allow(dead_code, reason = "only the stories of the receiver look at it")]
    pub fn kill_and_log(mut self) -> String {
        self.child.kill().unwrap();
        self.wait().1
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Waits for its end by itself.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        // The thread that reads the log ends with the pipe.
        let mut log = self.log.clone();
        while log.has_changed().is_ok() {
            std::thread::yield_now();
        }
        log.mark_unchanged();
        (status, self.log())
    }
}

impl Drop for Rowhook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- rowhook said:\n{}\n---", self.log());
        }
        let _ = &self.folder;
    }
}

/// What comes out of a pipe, line by line, until it is closed.
fn lines(pipe: impl std::io::Read + Send + 'static) -> watch::Receiver<Vec<String>> {
    let (sender, lines) = watch::channel(Vec::new());
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            sender.send_modify(|lines| lines.push(line));
        }
    });
    lines
}

/// A command that runs until it is dropped, and is killed then.
pub struct Running {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Running {
    pub fn start(config: &str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hooks.toml"), config).unwrap();
        let child = command(&folder, args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            _folder: folder,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command that ends by itself printed, and how it ended.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the binary with this hooks.toml and these arguments until it ends.
pub fn rowhook(config: &str, args: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hooks.toml"), config).unwrap();
    rowhook_in(&folder, args)
}

/// Runs the binary with these arguments in this folder until it ends.
pub fn rowhook_in(folder: &tempfile::TempDir, args: &[&str]) -> Ended {
    let output = command(folder, args).output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn command(folder: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rowhook"));
    command
        .args(args)
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}
