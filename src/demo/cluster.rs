//! A throwaway Postgres: a cluster of its own in a temporary folder, on a free port, gone when it is dropped.
//!
//! It does not outlive a process that is killed either: a small shell, the reaper, waits on a pipe that we hold, and
//! cleans up when the pipe closes. Postgres refuses to run as root, so a root process runs the server as `postgres`, or
//! else as `nobody`.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{Uid, User};
use tempfile::TempDir;

/// A running Postgres server with one superuser, `postgres`, who needs no password.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    bin: PathBuf,
    port: u16,
    settings: Vec<String>,
    /// Its standard input is the pipe.
    reaper: Child,
}

/// How [`Cluster::stop`] ends the server. The names are those of pg_ctl's modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Disconnects all clients and shuts down cleanly, after the walsenders have sent everything.
    Fast,
    /// Stops as a crash would: the next start recovers from the WAL.
    Immediate,
}

impl Cluster {
    /// Creates and starts a cluster with `wal_level = logical`. Each of `settings` is a `name=value` that overrides it.
    ///
    /// # Errors
    /// When no Postgres is installed, or the server does not start. In the latter case the error ends with its log.
    pub fn start(settings: &[&str]) -> Result<Self> {
        Self::start_from(&find_bin()?, settings)
    }

    /// The same, with the server's programs in the folder `bin`.
    ///
    /// # Errors
    /// When they are not there, or the server does not start. In the latter case the error ends with its log.
    pub fn start_from(bin: &Path, settings: &[&str]) -> Result<Self> {
        let mut cluster = Self::empty(bin, settings)?;
        cluster.make(&[])?;
        cluster.start_again()?;
        Ok(cluster)
    }

    /// A cluster without a data directory, for the programs in `bin`. [`make`](Self::make) or another program makes it.
    ///
    /// # Errors
    /// When the programs are not there, or its folder or its port cannot be had.
    pub fn empty(bin: &Path, settings: &[&str]) -> Result<Self> {
        ensure!(
            bin.join("initdb").exists(),
            "{} has no initdb",
            bin.display()
        );
        let folder = tempfile::Builder::new()
            .prefix("rowhook-postgres-")
            .tempdir()
            .context("make a temporary folder")?;
        if let Some((uid, gid)) = server_user()? {
            chown(folder.path(), Some(uid), Some(gid))
                .context("hand the folder to the server's user")?;
        }
        let reaper = start_reaper(folder.path(), bin)?;
        Ok(Self {
            folder,
            bin: bin.to_owned(),
            port: free_port()?,
            settings: settings.iter().map(|s| (*s).to_owned()).collect(),
            reaper,
        })
    }

    /// Makes the data directory, with `options` of initdb beside ours.
    ///
    /// # Errors
    /// When initdb fails.
    pub fn make(&self, options: &[&str]) -> Result<()> {
        let made = self
            .program("initdb")?
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .args(options)
            .arg("--pgdata")
            .arg(self.data())
            .output()
            .context("run initdb")?;
        ensure!(
            made.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&made.stderr).trim()
        );
        Ok(())
    }

    /// One of the server's programs, as the server's user, in the folder of the cluster.
    ///
    /// # Errors
    /// When there is no user to run it as.
    pub fn program(&self, name: &str) -> Result<Command> {
        let mut program = as_server_user(Command::new(self.bin.join(name)))?;
        program.current_dir(self.folder.path()).stdin(Stdio::null());
        Ok(program)
    }

    /// Starts the server after [`stop`](Self::stop), on the same port, and waits until it answers.
    ///
    /// # Errors
    /// When the server does not accept connections within 60 s; the error ends with its log.
    pub fn start_again(&mut self) -> Result<()> {
        let mut options = format!("-k {} -p {}", self.folder.path().display(), self.port);
        let defaults = [
            "wal_level=logical",
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "max_connections=200",
        ];
        for setting in defaults
            .into_iter()
            .chain(self.settings.iter().map(String::as_str))
        {
            options.push_str(&format!(" -c {setting}"));
        }
        let started = self.pg_ctl(&["start", "--wait", "--timeout=60", "--options", &options])?;
        ensure!(started, "postgres did not start: {}", self.log());
        Ok(())
    }

    /// Stops the server and waits for its end; [`start_again`](Self::start_again) brings it back.
    ///
    /// # Errors
    /// When it is not running, or does not end within 60 s.
    pub fn stop(&mut self, how: Stop) -> Result<()> {
        let mode = match how {
            Stop::Fast => "--mode=fast",
            Stop::Immediate => "--mode=immediate",
        };
        ensure!(
            self.pg_ctl(&["stop", "--wait", "--timeout=60", mode])?,
            "postgres did not stop: {}",
            self.log()
        );
        Ok(())
    }

    fn pg_ctl(&self, args: &[&str]) -> Result<bool> {
        let status = as_server_user(Command::new(self.bin.join("pg_ctl")))?
            .args(args)
            .args(["--silent", "--pgdata"])
            .arg(self.data())
            .arg("--log")
            .arg(self.folder.path().join("log"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("run pg_ctl")?;
        Ok(status.success())
    }

    /// The URL of `database` for the superuser, over TCP.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgresql://postgres@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    /// The port of the server on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the unix socket.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory, with pg_hba.conf and the rest.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of the server's programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log"))
            .unwrap_or_else(|error| format!("(its log cannot be read: {error})"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.reaper.stdin.take());
        // An error has nowhere to go, and the reaper works without us.
        let _ = self.reaper.wait();
    }
}

/// Finds the folder of the server's programs: PG_BIN if it is set, else the newest version in Debian's folders, else
/// the first on the PATH.
fn find_bin() -> Result<PathBuf> {
    if let Some(bin) = std::env::var_os("PG_BIN") {
        let bin = PathBuf::from(bin);
        ensure!(
            bin.join("initdb").exists(),
            "PG_BIN = {} has no initdb",
            bin.display()
        );
        // The server's programs run in another folder.
        return std::path::absolute(bin).context("find the folder of PG_BIN");
    }
    let version = |bin: &PathBuf| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(version)
        .or_else(|| std::env::split_paths(&path).find(|bin| bin.join("initdb").exists()))
        .context("no Postgres server is installed here (initdb was not found): apt-get install postgresql, or set PG_BIN")
}

/// The user and group ids to run the server as, if we are root; `None` if we are not.
fn server_user() -> Result<Option<(u32, u32)>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name).context("look up the server's user")? {
            return Ok(Some((user.uid.as_raw(), user.gid.as_raw())));
        }
    }
    bail!(
        "Postgres refuses to run as root, and there is neither a user postgres nor nobody to run it as"
    )
}

fn as_server_user(mut command: Command) -> Result<Command> {
    if let Some((uid, gid)) = server_user()? {
        command.uid(uid).gid(gid);
    }
    // In a process group of its own, so that Ctrl-C in the terminal reaches only us. We stop the server when we are
    // done.
    command.process_group(0);
    Ok(command)
}

/// Starts the shell that stops the server and removes `folder` once the pipe to its standard input closes.
fn start_reaper(folder: &Path, bin: &Path) -> Result<Child> {
    let script =
        r#"read -r _; "$1/pg_ctl" stop --silent --mode=immediate --pgdata "$0/data"; rm -rf "$0""#;
    as_server_user(Command::new("sh"))?
        .args(["-c", script])
        .args([folder, bin])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("run sh")
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(listener.local_addr().context("read the free port")?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_starts_survives_a_crash_and_leaves_nothing_behind() {
        let mut cluster = Cluster::start(&[]).unwrap();
        cluster.stop(Stop::Immediate).unwrap();
        cluster.start_again().unwrap();
        assert!(cluster.log().contains("not properly shut down"));
        assert!(std::net::TcpStream::connect(("127.0.0.1", cluster.port())).is_ok());
        let folder = cluster.folder.path().to_owned();
        drop(cluster);
        assert!(!folder.exists());
    }
}
