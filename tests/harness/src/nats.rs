//! Servers of NATS with JetStream, for tests of clusters.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::sys::signal::{Signal, kill};
use tempfile::TempDir;

use crate::{DEADLINE, waiting::until_within};

/// Servers of NATS on ports of 127.0.0.1 that nobody else uses. They are killed when this is dropped.
#[derive(Debug)]
#[must_use = "the servers are killed when this is dropped"]
pub struct Nats {
    folder: TempDir,
    /// Where each listens for clients, and for the others.
    ports: Vec<(u16, u16)>,
    servers: Vec<Option<Child>>,
    arguments: Vec<String>,
}

impl Nats {
    /// One server.
    pub async fn start() -> Self {
        Self::start_with(1, &[]).await
    }

    /// Three servers that know each other, as in production.
    pub async fn three() -> Self {
        Self::start_with(3, &[]).await
    }

    /// So many servers with these arguments, beside JetStream.
    pub async fn start_with(servers: usize, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        let mut jetstream = vec!["--jetstream".to_owned()];
        jetstream.extend(arguments);
        Self::start_plain(servers, jetstream).await
    }

    /// So many servers with nothing but these arguments.
    pub async fn start_plain(servers: usize, arguments: Vec<String>) -> Self {
        // All at once, so that none gets a port twice.
        let free: Vec<TcpListener> = (0..2 * servers)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let ports: Vec<u16> = free
            .iter()
            .map(|free| free.local_addr().unwrap().port())
            .collect();
        drop(free);
        let mut nats = Self {
            folder: tempfile::tempdir().unwrap(),
            ports: ports.chunks(2).map(|two| (two[0], two[1])).collect(),
            servers: (0..servers).map(|_| None).collect(),
            arguments,
        };
        for number in 0..servers {
            nats.launch(number);
        }
        for number in 0..servers {
            nats.until_it_listens(number).await;
        }
        nats
    }

    /// How many servers there are.
    pub fn count(&self) -> usize {
        self.ports.len()
    }

    /// The port of a server for clients.
    pub fn port(&self, number: usize) -> u16 {
        self.ports[number].0
    }

    /// The id of a server's process.
    ///
    /// # Panics
    /// When it was killed.
    pub fn pid(&self, number: usize) -> u32 {
        self.servers[number].as_ref().unwrap().id()
    }

    /// All of them, as `nats` of `[cluster]` has it.
    pub fn urls(&self) -> String {
        let urls = self.ports.iter();
        let urls = urls.map(|(port, _)| format!("nats://127.0.0.1:{port}"));
        urls.collect::<Vec<_>>().join(",")
    }

    /// `[cluster]` with these servers, and these lines.
    pub fn section(&self, more: &str) -> String {
        format!("\n[cluster]\nnats = \"{}\"\n{more}\n", self.urls())
    }

    /// Kills a server, as `kill -9` does. What it had in memory is lost.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut server) = self.servers[number].take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
        // What is on its disk is only what it needs to find the others, and none of what we keep.
        let _ = fs::remove_dir_all(self.store(number));
    }

    /// Starts a server that was killed.
    pub async fn start_again(&mut self, number: usize) {
        self.launch(number);
        self.until_it_listens(number).await;
    }

    /// Sends a server this signal.
    pub fn signal(&self, number: usize, signal: Signal) {
        if let Some(server) = &self.servers[number] {
            let pid = nix::unistd::Pid::from_raw(server.id().try_into().unwrap());
            kill(pid, signal).unwrap();
        }
    }

    fn store(&self, number: usize) -> PathBuf {
        self.folder.path().join(number.to_string())
    }

    fn launch(&mut self, number: usize) {
        let (port, route) = self.ports[number];
        let mut command = Command::new(program());
        command
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .args(["--server_name", &format!("nats-{number}")])
            .arg("--store_dir")
            .arg(self.store(number))
            .args(&self.arguments);
        if self.ports.len() > 1 {
            let routes = self.ports.iter();
            let routes = routes.map(|(_, route)| format!("nats-route://127.0.0.1:{route}"));
            let routes: Vec<String> = routes.collect();
            command
                .args(["--cluster_name", "test"])
                .args(["--cluster", &format!("nats://127.0.0.1:{route}")])
                .args(["--routes", &routes.join(",")]);
        }
        let log = fs::File::create(self.folder.path().join(format!("{number}.log"))).unwrap();
        let server = command
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server 2.11 or newer is not installed; run: make peers");
        self.servers[number] = Some(server);
    }

    async fn until_it_listens(&self, number: usize) {
        let port = self.port(number);
        let fact = format!("NATS listens on {port}");
        until_within(DEADLINE, &fact, async || {
            TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(500))
                .is_ok()
        })
        .await;
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        for server in self.servers.iter_mut().flatten() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Where `scripts/install-peers` puts it; Debian's is too old.
fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let ours = root.join("target/peers/nats/bin/nats-server");
    match ours.exists() {
        true => ours,
        false => "nats-server".into(),
    }
}
