//! Runs a program for one attempt.
//!
//! Whatever the program does, the attempt ends: with the program, or with its time-out. The program is killed together
//! with everything that it has started.

use std::{
    io::{self, Write as _},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::reaper::Reaper;

/// How much of the standard error of a program is kept, from its end, in bytes.
pub(super) const STDERR_TAIL: usize = 2048;
/// How long the pipes of a program are used after it has ended. A process that it left behind may keep them open.
const PIPE_GRACE: Duration = Duration::from_millis(200);
/// Waits for a line on standard input and then becomes the program in its arguments. Does nothing where the pipe closes
/// first.
const EXEC_AFTER_LINE: &str = r#"read -r _ && exec "$@""#;

/// What the environment of a program is beside our own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Environment<'a> {
    pub(super) variables: &'a [(&'static str, String)],
    /// What it does not inherit from ours.
    pub(super) hidden: &'a [String],
}

/// Runs the program `words[0]` with the other words as arguments, in this environment, and with `body` on its standard
/// input. Dropped before its end, it kills the program.
///
/// # Errors
/// Why the attempt failed, for a person: the exit status with the end of the standard error, or a time-out.
pub(super) async fn run(
    words: &[String],
    environment: Environment<'_>,
    body: &[u8],
    limit: Duration,
    reaper: Option<&Reaper>,
) -> Result<(), String> {
    let [program, arguments @ ..] = words else {
        return Err("the command is empty".into());
    };
    // The program begins only after the reaper knows of it, so that a receiver that is killed in between leaves nothing
    // behind.
    let (mut command, first_line) = match reaper {
        Some(_) => {
            let mut command = Command::new("sh");
            command.args(["-c", EXEC_AFTER_LINE, "rowhook", program]);
            (command, "\n")
        }
        None => (Command::new(program), ""),
    };
    environment.hidden.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
        .args(arguments)
        .envs(
            environment
                .variables
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .process_group(0)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.map_err(|error| format!("{program} cannot be run: {error}"))?;
    let mut group = ProcessGroup::of(&child, reaper);
    let ended = timeout(limit, communicate(&mut child, first_line, body)).await;
    group.ended = ended.is_ok();
    drop(group);
    match ended {
        Ok(Ok((status, _))) if status.success() => Ok(()),
        Ok(Ok((status, stderr))) if stderr.is_empty() => Err(status.to_string()),
        Ok(Ok((status, stderr))) => Err(format!("{status}: {stderr}")),
        Ok(Err(error)) => Err(format!("{program} cannot be waited for: {error}")),
        Err(_) => Err(timed_out(limit)),
    }
}

/// The error of an attempt that took longer than `limit`.
pub(super) fn timed_out(limit: Duration) -> String {
    format!("timed out after {}", humantime::format_duration(limit))
}

/// A program and what it has started, except for processes that have left its group. Dropped before the program has
/// ended, the whole group is killed.
struct ProcessGroup<'a> {
    id: Option<Pid>,
    ended: bool,
    reaper: Option<&'a Reaper>,
}

impl<'a> ProcessGroup<'a> {
    fn of(child: &Child, reaper: Option<&'a Reaper>) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.map(Pid::from_raw);
        if let (Some(reaper), Some(id)) = (reaper, id) {
            reaper.add(id);
        }
        Self {
            id,
            ended: false,
            reaper,
        }
    }
}

impl Drop for ProcessGroup<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        if !self.ended {
            // An error means that it has just ended by itself.
            let _ = killpg(id, Signal::SIGKILL);
        }
        if let Some(reaper) = self.reaper {
            reaper.remove(id);
        }
    }
}

/// Writes `first_line` and `body` to the program, reads its standard error, and waits for its end.
async fn communicate(
    child: &mut Child,
    first_line: &str,
    body: &[u8],
) -> io::Result<(ExitStatus, String)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let ended = CancellationToken::new();
    let write = async {
        let Some(mut stdin) = stdin else { return };
        tokio::select! {
            // A program need not read its input, so an error is no failure.
            _ = async {
                stdin.write_all(first_line.as_bytes()).await?;
                stdin.write_all(body).await
            } => {}
            () = pipe_grace(&ended) => {}
        }
    };
    let read = async {
        let mut tail = Vec::new();
        if let Some(stderr) = stderr {
            tokio::select! {
                () = keep_tail(stderr, &mut tail) => {}
                () = pipe_grace(&ended) => {}
            }
        }
        tail
    };
    let wait = async {
        let status = child.wait().await;
        ended.cancel();
        status
    };
    let ((), tail, status) = tokio::join!(write, read, wait);
    Ok((status?, String::from_utf8_lossy(&tail).trim().to_owned()))
}

/// Returns [`PIPE_GRACE`] after the end of the program.
async fn pipe_grace(ended: &CancellationToken) {
    ended.cancelled().await;
    sleep(PIPE_GRACE).await;
}

/// Copies everything to our own standard error, and keeps the last [`STDERR_TAIL`] bytes.
async fn keep_tail(mut from: impl AsyncRead + Unpin, tail: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let read = &buffer[..length];
        // Ours may be closed. The tail is kept all the same.
        let _ = io::stderr().write_all(read);
        tail.extend_from_slice(read);
        tail.drain(..tail.len().saturating_sub(STDERR_TAIL));
    }
}
