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
    /// The lines of the log that have been read.
    lines: Vec<String>,
    ended: bool,
}

impl Sidecar {
    /// Starts it with this hooks.toml.
    pub fn start(config: &str) -> Result<Self> {
        Self::start_with(config, &["run"])
    }

    /// Starts it with this hooks.toml and these arguments.
    pub fn start_with(config: &str, args: &[&str]) -> Result<Self> {
        let folder = folder(config)?;
        let mut child = command(&folder, args)
            .stderr(Stdio::piped())
            .spawn()
            .context("start rowhook")?;
        let stderr = child.stderr.take().context("rowhook has no stderr")?;
        let (sender, log) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // The other end is gone once the sidecar is being stopped.
                let _ = sender.send((SystemTime::now(), line));
            }
        });
        Ok(Self {
            child,
            _folder: folder,
            log,
            lines: Vec::new(),
            ended: false,
        })
    }

    /// Starts it and waits until it is attached. Returns the time of that.
    pub fn attach(config: &str) -> Result<(Self, SystemTime)> {
        let mut sidecar = Self::start(config)?;
        let attached = sidecar.until("attached slot=")?;
        Ok((sidecar, attached))
    }

    /// Waits until a line of its log contains `part`. Returns the time of that line.
    pub fn until(&mut self, part: &str) -> Result<SystemTime> {
        loop {
            match self.log.recv_timeout(DEADLINE) {
                Ok((at, line)) => {
                    let found = line.contains(part);
                    self.lines.push(line);
                    if found {
                        return Ok(at);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("rowhook never said {part:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("rowhook ended:\n{}", self.lines.join("\n"))
                }
            }
        }
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processor time that it has used so far.
    pub fn cpu(&self) -> Result<Duration> {
        process::cpu(self.child.id())
    }

    /// Its resident memory now, in MiB.
    pub fn resident(&self) -> Result<f64> {
        process::resident(self.child.id())
    }

    /// Its peak resident memory, in MiB.
    pub fn peak(&self) -> Result<f64> {
        process::peak(self.child.id())
    }

    /// Sends SIGTERM and waits for the end. Fails if the log has warnings or errors, because the figure is then
    /// worthless.
    pub fn stop(mut self) -> Result<()> {
        self.end()?;
        let complaint = self.lines.iter().find(|line| is_complaint(line));
        ensure!(
            complaint.is_none(),
            "rowhook complained: {}",
            complaint.map_or("", String::as_str)
        );
        Ok(())
    }

    /// Stops it in the same way, whatever its log has.
    pub fn stop_despite_warnings(mut self) -> Result<()> {
        self.end()
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("kill rowhook")?;
        self.child.wait().context("wait for rowhook")?;
        self.ended = true;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?);
        kill(pid, Signal::SIGTERM).context("stop rowhook")?;
        let status = self.child.wait().context("wait for rowhook")?;
        self.ended = true;
        self.lines.extend(self.log.iter().map(|(_, line)| line));
        ensure!(
            status.success(),
            "rowhook ended with {status}:\n{}",
            self.lines.join("\n")
        );
        Ok(())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Something has gone wrong, and the process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.lines.extend(self.log.iter().map(|(_, line)| line));
        eprintln!("--- rowhook said:\n{}\n---", self.lines.join("\n"));
    }
}

fn is_complaint(line: &str) -> bool {
    line.contains(" WARN ") || line.contains(" ERROR ")
}

/// Runs a command of rowhook to its end. The inner error is its standard error, if it failed.
pub fn rowhook(config: &str, args: &[&str]) -> Result<Result<(), String>> {
    let folder = folder(config)?;
    let ended = command(&folder, args).output().context("run rowhook")?;
    let message = String::from_utf8_lossy(&ended.stderr).into_owned();
    Ok(if ended.status.success() {
        Ok(())
    } else {
        Err(message)
    })
}

/// What a command of rowhook prints.
pub fn output(config: &str, args: &[&str]) -> Result<String> {
    let folder = folder(config)?;
    let ended = command(&folder, args).stdout(Stdio::piped()).output();
    let ended = ended.context("run rowhook")?;
    let message = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "rowhook failed: {message}");
    String::from_utf8(ended.stdout).context("rowhook printed no UTF-8")
}

fn folder(config: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir().context("make a folder")?;
    fs::write(folder.path().join("hooks.toml"), config).context("write hooks.toml")?;
    Ok(folder)
}

fn command(folder: &TempDir, args: &[&str]) -> Command {
    // ROWHOOK is a binary as users get it. The one that Cargo builds for benchmarks has features that only
    // dev-dependencies ask for.
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
