//! Sweeps up behind a receiver that was killed: programs that it has started do not outlive it.
//!
//! A small shell reads the process groups that run from a pipe that we hold, and kills what is left of them when the pipe
//! closes. It holds the queue's lock together with us, so that the next receiver begins only when all is swept, and no task
//! runs beside its own repetition.

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

/// The shell. Dropped, it sweeps and ends.
#[derive(Debug)]
pub struct Broom {
    shell: Child,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Broom {
    /// Starts the shell. It keeps `lock` open, and with it what is locked, until it has swept.
    ///
    /// # Errors
    /// When there is no `sh` to run.
    pub fn start(lock: File) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .current_dir("/")
            // Ctrl-C in the terminal is for us.
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
        self.tell("add", group);
    }

    pub(super) fn remove(&self, group: Pid) {
        self.tell("remove", group);
    }

    fn tell(&self, word: &str, group: Pid) {
        let mut pipe = lock(&self.pipe);
        if let Some(pipe) = pipe.as_mut()
            && let Err(error) = pipe.write_all(format!("{word} {group}\n").as_bytes())
        {
            tracing::warn!(%error, "the shell that ends programs when the receiver is killed is gone");
        }
    }
}

impl Drop for Broom {
    fn drop(&mut self) {
        let pipe = self.pipe.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(pipe.take());
        // An error has nowhere to go, and it ends without us too.
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_still_runs_is_swept_and_what_has_ended_is_left_alone() {
        let sleeper = || {
            let mut command = Command::new("sleep");
            let child = command.arg("1000").process_group(0).spawn().unwrap();
            let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
            (child, group)
        };
        let (mut running, mut removed, mut other) = (sleeper(), sleeper(), sleeper());
        let broom = Broom::start(tempfile::tempfile().unwrap()).unwrap();
        broom.add(removed.1);
        broom.add(running.1);
        broom.remove(removed.1);
        drop(broom);
        assert!(!running.0.wait().unwrap().success());
        for (child, _) in [&mut removed, &mut other] {
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
