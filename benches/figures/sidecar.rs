//! The rowhook binary, as users run it.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use harness::DEADLINE;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::process;

/// A running `rowhook run`.
pub struct Sidecar {
    child: Child,
    _folder: TempDir,
    log: Receiver<(SystemTime, String)>,
    said: Vec<String>,
    ended: bool,
}

impl Sidecar {
    /// Starts it on this hooks.toml.
    pub fn start(config: &str) -> Result<Self> {
        let folder = folder(config)?;
        let mut child = command(&folder, &["run"])
            .stderr(Stdio::piped())
            .spawn()
            .context("start rowhook")?;
        let stderr = child.stderr.take().context("rowhook has no stderr")?;
        let (lines, log) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Nobody listens any more when it is being stopped.
                let _ = lines.send((SystemTime::now(), line));
            }
        });
        Ok(Self {
            child,
            _folder: folder,
            log,
            said: Vec::new(),
            ended: false,
        })
    }

    /// Starts it and waits until it is attached. Returns when that was.
    pub fn attach(config: &str) -> Result<(Self, SystemTime)> {
        let mut sidecar = Self::start(config)?;
        let attached = sidecar.until("attached")?;
        Ok((sidecar, attached))
    }

    /// Waits until its log says this. Returns when it did.
    pub fn until(&mut self, part: &str) -> Result<SystemTime> {
        loop {
            match self.log.recv_timeout(DEADLINE) {
                Ok((at, line)) => {
                    let met = line.contains(part);
                    self.said.push(line);
                    if met {
                        return Ok(at);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("rowhook never said {part:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("rowhook ended:\n{}", self.said.join("\n"))
                }
            }
        }
    }

    /// Its time on processors so far.
    pub fn cpu(&self) -> Result<Duration> {
        process::cpu(self.child.id())
    }

    /// What it has in memory now, in MiB.
    pub fn resident(&self) -> Result<f64> {
        process::resident(self.child.id())
    }

    /// The most that it has had, in MiB.
    pub fn peak(&self) -> Result<f64> {
        process::peak(self.child.id())
    }

    /// SIGTERM, and waits for its end. A log with warnings or errors in it makes the figure worthless.
    pub fn stop(mut self) -> Result<()> {
        self.end()?;
        let complaint = self.said.iter().find(|line| complains(line));
        ensure!(
            complaint.is_none(),
            "rowhook complained: {}",
            complaint.map_or("", String::as_str)
        );
        Ok(())
    }

    /// The same, whatever it has complained of.
    pub fn stop_complaining(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?);
        kill(pid, Signal::SIGTERM).context("stop rowhook")?;
        let status = self.child.wait().context("wait for rowhook")?;
        self.ended = true;
        self.said.extend(self.log.iter().map(|(_, line)| line));
        ensure!(
            status.success(),
            "rowhook ended with {status}:\n{}",
            self.said.join("\n")
        );
        Ok(())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Something has gone wrong, and it may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.said.extend(self.log.iter().map(|(_, line)| line));
        eprintln!("--- rowhook said:\n{}\n---", self.said.join("\n"));
    }
}

fn complains(line: &str) -> bool {
    line.contains(" WARN ") || line.contains(" ERROR ")
}

/// Runs a command that ends by itself, and says whether it did well.
pub fn rowhook(config: &str, args: &[&str]) -> Result<Result<(), String>> {
    let folder = folder(config)?;
    let ended = command(&folder, args).output().context("run rowhook")?;
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    Ok(if ended.status.success() {
        Ok(())
    } else {
        Err(told)
    })
}

fn folder(config: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir().context("make a folder")?;
    fs::write(folder.path().join("hooks.toml"), config).context("write hooks.toml")?;
    Ok(folder)
}

fn command(folder: &TempDir, args: &[&str]) -> Command {
    // The binary that users get. Cargo's own for benchmarks has in it what dev-dependencies ask of the libraries.
    let binary =
        std::env::var_os("ROWHOOK").unwrap_or_else(|| env!("CARGO_BIN_EXE_rowhook").into());
    let mut command = Command::new(binary);
    command
        .args(args)
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}
