//! Makes one attempt of a task, and says what came of it.
//!
//! Whatever a task does, the attempt ends: by itself, or with its time-out. A program is ended together with all that it
//! has started.

use std::{
    io::{self, Write as _},
    process::{ExitStatus, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use axum::http::HeaderValue;
use ipnet::IpNet;
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

use super::{
    envelope::Received,
    reaper::Broom,
    task::{Action, Call, Handler, Task},
};
use crate::{
    config::Delivery,
    secret::Secret,
    send::{Request, Sender, answer::Answer, target::Target},
};

/// So much of what a program says on its standard error is kept, from its end.
const KEPT_OF_STDERR: usize = 2048;
/// So long the pipe of a program that has ended is read on. Something that it has left behind may hold the other end.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Becomes the program of its arguments when it is told a line, and nothing when nobody is there to tell it.
const AT_A_WORD: &str = r#"read -r _ && exec "$@""#;

/// Makes attempts.
#[derive(Debug)]
pub struct Runner {
    sender: Sender,
    broom: Option<Broom>,
}

impl Runner {
    /// A runner. With a broom, programs do not outlive this process, however it ends.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(broom: Option<Broom>) -> anyhow::Result<Self> {
        // Where a task calls is written in the operator's own file, and is mostly a neighbour.
        let everywhere = ["0.0.0.0/0", "::/0"].map(str::parse::<IpNet>);
        let everywhere: Result<Vec<IpNet>, _> = everywhere.into_iter().collect();
        let delivery = Delivery {
            allow_http: true,
            allow_networks: everywhere.context("read a network")?,
            ..Delivery::default()
        };
        Ok(Self {
            sender: Sender::new(&delivery)?,
            broom,
        })
    }

    /// Makes the attempt of this number, from 1, and ends within the task's time-out and a moment. Dropped before its end, it
    /// ends the program too.
    ///
    /// # Errors
    /// Why it failed, for a person.
    pub async fn attempt(
        &self,
        task: &Task,
        received: &Received,
        number: u32,
    ) -> Result<(), String> {
        match &task.action {
            Action::Command(words) => self.command(words, task, received, number).await,
            Action::Http(call) => self.call(call, task, received, number).await,
            Action::Handler(handler) => handle(handler, task.timeout, received).await,
        }
    }

    async fn command(
        &self,
        words: &[String],
        task: &Task,
        received: &Received,
        number: u32,
    ) -> Result<(), String> {
        let [program, arguments @ ..] = words else {
            return Err("the command is empty".into());
        };
        // It begins only when the broom knows of it, so that a receiver that is killed just now leaves nothing behind.
        let (mut command, word) = match &self.broom {
            Some(_) => {
                let mut command = Command::new("sh");
                command.args(["-c", AT_A_WORD, "rowhook", program]);
                (command, "\n")
            }
            None => (Command::new(program), ""),
        };
        command
            .args(arguments)
            .envs(facts(task, received, number))
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.map_err(|error| format!("{program} cannot be run: {error}"))?;
        let mut group = Group::of(&child, self.broom.as_ref());
        let ended = timeout(task.timeout, converse(&mut child, word, &received.body)).await;
        group.ended = ended.is_ok();
        drop(group);
        match ended {
            Ok(Ok((status, _))) if status.success() => Ok(()),
            Ok(Ok((status, said))) => Err(explain(status, &said)),
            Ok(Err(error)) => Err(format!("{program} cannot be waited for: {error}")),
            Err(_) => Err(timed_out(task.timeout)),
        }
    }

    async fn call(
        &self,
        call: &Call,
        task: &Task,
        received: &Received,
        number: u32,
    ) -> Result<(), String> {
        // A fact that is no header value is left out; the body has it too.
        let facts: Vec<(String, Secret)> = facts(task, received, number)
            .into_iter()
            .map(|(name, value)| (name.to_lowercase().replace('_', "-"), value))
            .filter(|(_, value)| HeaderValue::try_from(value).is_ok())
            .map(|(name, value)| (name, Secret::new(value)))
            .collect();
        let headers: Vec<(&str, &Secret)> =
            facts.iter().map(|(name, value)| (&**name, value)).collect();
        let target = Target::new(&call.url, call.secret.as_ref(), &headers);
        let target = target.map_err(|error| error.to_string())?;
        let answer = self.sender.send(Request {
            batch: None,
            target: &target,
            id: &received.id,
            body: received.body.clone(),
            content_type: &received.content_type,
            at: SystemTime::now(),
            timeout: task.timeout,
            span: None,
        });
        match answer.await {
            Answer::Status { code, .. } if (200..300).contains(&code) => Ok(()),
            Answer::Status { code, .. } => Err(format!("the answer was {code}")),
            Answer::Failed(failure) => Err(failure.to_string()),
        }
    }
}

/// What a task is told beside the body. An HTTP call has the same as headers: `rowhook-model`.
fn facts(task: &Task, received: &Received, number: u32) -> [(&'static str, String); 7] {
    let at = humantime::format_rfc3339_millis(received.received_at).to_string();
    [
        ("ROWHOOK_ID", received.id.clone()),
        ("ROWHOOK_MODEL", without_nul(&received.envelope.model)),
        ("ROWHOOK_EVENT", without_nul(&received.envelope.event)),
        ("ROWHOOK_SHAPE", received.envelope.shape.to_string()),
        ("ROWHOOK_TASK", task.name.clone()),
        ("ROWHOOK_ATTEMPT", number.to_string()),
        ("ROWHOOK_RECEIVED_AT", at),
    ]
}

/// A NUL cannot stand in an environment, and a stranger can write one into a body.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

async fn handle(handler: &Handler, limit: Duration, received: &Received) -> Result<(), String> {
    // In a task of its own: a handler that panics fails, and nothing else does.
    let mut running = AbortOnDrop(tokio::spawn(handler(received.clone())));
    match timeout(limit, &mut running.0).await {
        Ok(Ok(result)) => result,
        Ok(Err(ended)) => Err(format!("the handler did not end well: {ended}")),
        Err(_) => Err(timed_out(limit)),
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A program and all that it has started, as long as none of it has left. Dropped before it has ended, it is killed.
struct Group<'a> {
    id: Option<Pid>,
    ended: bool,
    broom: Option<&'a Broom>,
}

impl<'a> Group<'a> {
    fn of(child: &Child, broom: Option<&'a Broom>) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.map(Pid::from_raw);
        if let (Some(broom), Some(id)) = (broom, id) {
            broom.add(id);
        }
        Self {
            id,
            ended: false,
            broom,
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        if !self.ended {
            // It may have ended just now.
            let _ = killpg(id, Signal::SIGKILL);
        }
        if let Some(broom) = self.broom {
            broom.remove(id);
        }
    }
}

/// Tells a program the word that it waits for and the body, listens to it, and waits for its end.
async fn converse(child: &mut Child, word: &str, body: &[u8]) -> io::Result<(ExitStatus, String)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let ended = CancellationToken::new();
    let tell = async {
        let Some(mut stdin) = stdin else { return };
        tokio::select! {
            // A program need not read it.
            _ = async {
                stdin.write_all(word.as_bytes()).await?;
                stdin.write_all(body).await
            } => {}
            () = overdue(&ended) => {}
        }
    };
    let listen = async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            tokio::select! {
                () = keep_tail(stderr, &mut said) => {}
                () = overdue(&ended) => {}
            }
        }
        said
    };
    let wait = async {
        let status = child.wait().await;
        ended.cancel();
        status
    };
    let ((), said, status) = tokio::join!(tell, listen, wait);
    Ok((status?, String::from_utf8_lossy(&said).trim().to_owned()))
}

async fn overdue(ended: &CancellationToken) {
    ended.cancelled().await;
    sleep(LAST_WORDS).await;
}

/// Reads to the end, passes all of it on to our own standard error, and keeps the end of it.
async fn keep_tail(mut from: impl AsyncRead + Unpin, kept: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let heard = &buffer[..read];
        // Where ours is closed there is nobody to tell.
        let _ = io::stderr().write_all(heard);
        kept.extend_from_slice(heard);
        kept.drain(..kept.len().saturating_sub(KEPT_OF_STDERR));
    }
}

fn explain(status: ExitStatus, said: &str) -> String {
    if said.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {said}")
    }
}

fn timed_out(limit: Duration) -> String {
    format!("timed out after {}", humantime::format_duration(limit))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::receive::envelope::{Envelope, Shape};

    fn received(body: impl Into<Bytes>) -> Received {
        Received {
            id: "msg_1".into(),
            envelope: Envelope {
                shape: Shape::Netbox,
                model: "ten\0ant".into(),
                event: "created".into(),
            },
            content_type: "application/json".into(),
            received_at: SystemTime::UNIX_EPOCH,
            body: body.into(),
        }
    }

    fn shell(script: &str) -> Task {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        Task::new("t", Action::Command(words))
    }

    async fn attempt(task: &Task, body: impl Into<Bytes>) -> Result<(), String> {
        let runner = Runner::new(None).unwrap();
        runner.attempt(task, &received(body), 2).await
    }

    #[tokio::test]
    async fn a_program_gets_the_body_and_the_facts() {
        let out = tempfile::NamedTempFile::new().unwrap();
        let out = out.path();
        let script = format!(
            r#"(cat; echo; env | grep '^ROWHOOK_' | sort) >{}"#,
            out.display()
        );
        attempt(&shell(&script), r#"{"a":1}"#).await.unwrap();
        assert_eq!(
            std::fs::read_to_string(out).unwrap(),
            "{\"a\":1}\nROWHOOK_ATTEMPT=2\nROWHOOK_EVENT=created\nROWHOOK_ID=msg_1\nROWHOOK_MODEL=tenant\n\
             ROWHOOK_RECEIVED_AT=1970-01-01T00:00:00.000Z\nROWHOOK_SHAPE=netbox\nROWHOOK_TASK=t\n"
        );
    }

    #[tokio::test]
    async fn a_program_that_reads_nothing_of_a_large_body_succeeds() {
        attempt(&shell("exit 0"), vec![b' '; 1 << 20])
            .await
            .unwrap();
        attempt(&shell("head -c 10 >/dev/null"), vec![b' '; 1 << 20])
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_failure_has_the_status_and_the_last_words() {
        let failed = attempt(&shell("echo sorry >&2; exit 3"), "").await;
        assert_eq!(failed.unwrap_err(), "exit status: 3: sorry");
        let failed = attempt(&shell("yes no | head -c 6000 >&2; exit 1"), "").await;
        assert!(failed.unwrap_err().len() < KEPT_OF_STDERR + 30);
        let missing = Task::new("t", Action::Command(vec!["/no/such/program".into()]));
        let failed = attempt(&missing, "").await.unwrap_err();
        assert!(
            failed.starts_with("/no/such/program cannot be run: "),
            "{failed}"
        );
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_ended_with_all_that_it_has_started() {
        let out = tempfile::NamedTempFile::new().unwrap();
        let script = format!("sleep 1000 & echo $! >{}; wait", out.path().display());
        let task = Task {
            timeout: Duration::from_millis(500),
            ..shell(&script)
        };
        assert_eq!(
            attempt(&task, "").await.unwrap_err(),
            "timed out after 500ms"
        );
        let sleeper = std::fs::read_to_string(out.path()).unwrap();
        let sleeper = format!("/proc/{}/stat", sleeper.trim());
        // It is gone when whoever inherited it has taken notice.
        let lives = || std::fs::read_to_string(&sleeper).is_ok_and(|state| !state.contains(") Z "));
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while lives() {
            assert!(std::time::Instant::now() < deadline, "it was not ended");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_does_not_hold_up_its_end() {
        let begun = std::time::Instant::now();
        attempt(&shell("sleep 20 & exit 0"), "").await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_handler_that_panics_or_hangs_fails() {
        let task = |handler: Handler| Task {
            timeout: Duration::from_millis(100),
            ..Task::new("t", Action::Handler(handler))
        };
        let panics = task(Arc::new(|_| Box::pin(async { panic!("a test") })));
        let failed = attempt(&panics, "").await.unwrap_err();
        assert!(failed.contains("did not end well"), "{failed}");
        let hangs = task(Arc::new(|_| Box::pin(std::future::pending())));
        assert_eq!(
            attempt(&hangs, "").await.unwrap_err(),
            "timed out after 100ms"
        );
    }
}
