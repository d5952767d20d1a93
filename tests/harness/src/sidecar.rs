//! A rowhook that runs.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};

use crate::{
    DEADLINE,
    command::{command, folder, in_cluster},
    schemas::Schemas,
};

/// The real binary in a folder of its own. It is killed when this is dropped, and its log is printed if the test has
/// failed.
#[derive(Debug)]
#[must_use = "it is killed when it is dropped"]
pub struct Rowhook {
    child: Child,
    folder: Arc<TempDir>,
    log: watch::Receiver<Vec<String>>,
    out: watch::Receiver<Vec<String>>,
}

impl Rowhook {
    /// Starts `rowhook run` with this hooks.toml.
    pub fn start(config: &str) -> Self {
        Schemas::of_test().add(config);
        Self::start_in(&Arc::new(folder(config)), &["run"])
    }

    /// Starts `rowhook run` with this hooks.toml, and a log that is filtered by `filter`, as RUST_LOG is written.
    pub fn start_logging(config: &str, filter: &str) -> Self {
        Schemas::of_test().add(config);
        let folder = Arc::new(folder(config));
        let mut command = command(&folder, &["run"]);
        command.env("RUST_LOG", filter);
        Self::spawn(&folder, command)
    }

    /// Starts `rowhook run` with this hooks.toml. It may have no more than this many files open.
    pub fn start_with_files(config: &str, files: u32) -> Self {
        Schemas::of_test().add(config);
        let folder = Arc::new(folder(config));
        let rowhook = command(&folder, &["run"]);
        let mut limited = Command::new("sh");
        limited
            .args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")])
            .arg(rowhook.get_program())
            .args(rowhook.get_args())
            .current_dir(folder.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Self::spawn(&folder, limited)
    }

    /// Starts rowhook with this hooks.toml and these arguments.
    pub fn start_with_args(config: &str, args: &[&str]) -> Self {
        Schemas::of_test().add(config);
        Self::start_in(&Arc::new(folder(config)), args)
    }

    /// Starts rowhook with these arguments in this folder.
    pub fn start_in(folder: &Arc<TempDir>, args: &[&str]) -> Self {
        Self::spawn(folder, command(folder, args))
    }

    fn spawn(folder: &Arc<TempDir>, mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
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

    /// Replaces its hooks.toml.
    pub fn write_config(&self, config: &str) {
        Schemas::of_test().add(config);
        std::fs::write(self.folder.path().join("hooks.toml"), in_cluster(config)).unwrap();
    }

    /// Waits until a line of its log contains `part`.
    ///
    /// # Panics
    /// When rowhook ends before that, or after [`DEADLINE`]. The message contains the log.
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

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.borrow().join("\n")
    }

    /// Waits until `met` is true of all that it has printed, and returns that.
    ///
    /// # Panics
    /// When it is not true within [`DEADLINE`]. The message contains `fact` and what was printed.
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

    /// The most resident memory that it has had so far, in bytes.
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

    /// Whether this text stands anywhere in its memory.
    pub fn memory_has(&self, text: &str) -> bool {
        let of_process = |file: &str| format!("/proc/{}/{file}", self.child.id());
        let maps = std::fs::read_to_string(of_process("maps")).unwrap();
        let memory = std::fs::File::open(of_process("mem")).unwrap();
        let regions = maps.lines().filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (from, to) = range.split_once('-')?;
            let parsed = |text| u64::from_str_radix(text, 16).unwrap();
            // What the kernel has put there cannot be read.
            (rest.starts_with('r') && !rest.contains("[v")).then(|| (parsed(from), parsed(to)))
        });
        let mut regions = regions;
        regions.any(|(from, to)| {
            let mut region = vec![0; (to - from).try_into().unwrap()];
            // A region may be gone by now.
            let read = memory.read_exact_at(&mut region, from);
            read.is_ok()
                && region
                    .windows(text.len())
                    .any(|window| window == text.as_bytes())
        })
    }

    /// Sends it SIGTERM, and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.child.wait().unwrap()
    }

    /// Kills it as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it as `kill -9` does, and returns all that it has logged.
    pub fn kill_and_log(mut self) -> String {
        self.child.kill().unwrap();
        self.wait().1
    }

    /// Sends it this signal.
    pub fn signal(&self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Waits until it ends by itself, and returns how it ended and what it has logged.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        // The thread that reads the log ends when the pipe is closed.
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
    }
}

/// Reads a pipe line by line in a thread of its own, until the pipe is closed.
fn lines(pipe: impl std::io::Read + Send + 'static) -> watch::Receiver<Vec<String>> {
    let (sender, lines) = watch::channel(Vec::new());
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            sender.send_modify(|lines| lines.push(line));
        }
    });
    lines
}
