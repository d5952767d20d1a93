//! Kills the programs that a receiver has started when the receiver itself is killed.
//!
//! The reaper is a small shell. It reads from a pipe which process groups run, and kills those that are left when the
//! pipe closes. It also holds the lock of the queue, so that the next receiver begins only after that, and no task runs
//! beside its own repetition.

use std::{
    fs::File,
    io::Write,
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use nix::unistd::Pid;

use crate::lock::lock;

const SCRIPT: &str = r#"
groups=
while read -r word group; do
    left=
    for each in $groups; do [ "$each" = "$group" ] || left="$left $each"; done
    groups=$left
    [ "$word" = add ] && groups="$groups $group"
done
for each in $groups; do kill -s KILL -- "-$each"; done
"#;

/// The shell that kills what its receiver leaves behind. Dropping it kills the registered process groups, and waits
/// until the shell has ended.
#[derive(Debug)]
pub struct Reaper {
    shell: Child,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Reaper {
    /// Starts the shell, which keeps `lock` open until it ends.
    ///
    /// # Errors
    /// When `sh` cannot be run.
    pub fn start(lock: File) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .current_dir("/")
            // In a group of its own, which Ctrl-C in the terminal does not reach.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(lock)
            .stderr(Stdio::null())
            .spawn()
            .context("run sh")?;
        let pipe = Mutex::new(shell.stdin.take());
        Ok(Self { shell, pipe })
    }

    pub(super) fn add(&self, group: Pid) {
        self.send("add", group);
    }

    pub(super) fn remove(&self, group: Pid) {
        self.send("remove", group);
    }

    fn send(&self, word: &str, group: Pid) {
        let mut pipe = lock(&self.pipe);
        if let Some(pipe) = pipe.as_mut()
            && let Err(error) = pipe.write_all(format!("{word} {group}\n").as_bytes())
        {
            tracing::warn!(%error, "the shell that ends programs when the receiver is killed is gone");
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        let pipe = self.pipe.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(pipe.take());
        // The shell ends without us too, and there is nobody to report an error to.
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_still_runs_is_killed_and_what_has_ended_is_left_alone() {
        let sleeper = || {
            let mut command = Command::new("sleep");
            let child = command.arg("1000").process_group(0).spawn().unwrap();
            let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
            (child, group)
        };
        let (mut running, mut removed, mut other) = (sleeper(), sleeper(), sleeper());
        let reaper = Reaper::start(tempfile::tempfile().unwrap()).unwrap();
        reaper.add(removed.1);
        reaper.add(running.1);
        reaper.remove(removed.1);
        drop(reaper);
        assert!(!running.0.wait().unwrap().success());
        for (child, _) in [&mut removed, &mut other] {
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
