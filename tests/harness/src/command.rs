//! The binary under test: commands that end by themselves, and commands that are killed.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A command that runs until this is dropped, and is killed then.
#[derive(Debug)]
#[must_use = "the command is killed when this is dropped"]
pub struct Running {
    child: Child,
    _folder: TempDir,
}

impl Running {
    /// Starts rowhook with this hooks.toml and these arguments.
    pub fn start(config: &str, args: &[&str]) -> Self {
        let folder = folder(config);
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

/// How a command ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, or -1 after a signal.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Runs rowhook with this hooks.toml and these arguments until it ends.
pub fn rowhook(config: &str, args: &[&str]) -> Ended {
    rowhook_in(&folder(config), args)
}

/// Runs rowhook with these arguments in this folder until it ends.
pub fn rowhook_in(folder: &TempDir, args: &[&str]) -> Ended {
    let output = command(folder, args).output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A new folder with this hooks.toml in it.
pub(crate) fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hooks.toml"), in_cluster(config)).unwrap();
    folder
}

/// This hooks.toml, in a cluster where NATS_OF_TESTS names a server of NATS: then what a single process promises is put
/// to a test there. Rowhooks with the same slot are in the same cluster.
pub(crate) fn in_cluster(config: &str) -> String {
    let Ok(nats) = std::env::var("NATS_OF_TESTS") else {
        return config.to_owned();
    };
    if config.contains("[cluster]") {
        return config.to_owned();
    }
    let slot = config.lines().find_map(|line| line.strip_prefix("slot = "));
    let slot = slot.unwrap_or("rowhook").trim_matches('"');
    let name = format!("{}-{slot}", std::process::id());
    format!(
        "{config}\n[cluster]\nnats = \"{nats}\"\nname = \"{name}\"\npartitions = 4\nlease = \"20s\"\n"
    )
}

/// rowhook in this folder, with its output in a pipe and without colours.
pub(crate) fn command(folder: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(args)
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// The binary that Cargo has built for the test that runs.
///
/// Cargo gives its path only to the tests of rowhook's own package, and so it is looked for where Cargo puts it: in the
/// folder above the tests' own executables.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("rowhook"))
        .find(|path| path.is_file());
    binary.unwrap_or_else(|| panic!("there is no rowhook beside {}", test.display()))
}
