//! Makes one attempt of a task: runs its command, makes its HTTP call, or calls its function.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum::http::HeaderValue;
use ipnet::IpNet;
use tokio::time::timeout;

use super::{
    command::{self, Environment, timed_out},
    envelope::Received,
    reaper::Reaper,
    task::{Action, Handler, HttpCall, Task},
};
use crate::{
    config::{Compression, Delivery},
    secret::Secret,
    send::{Request, Sender, answer::Answer, target::Target},
};

/// Makes attempts.
#[derive(Debug)]
pub struct Runner {
    sender: Sender,
    reaper: Option<Reaper>,
    /// The environment variables that programs do not inherit.
    hidden: Vec<String>,
}

impl Runner {
    /// Creates a runner. With a reaper, programs do not outlive this process, even if it is killed.
    ///
    /// # Errors
    /// When the certificates of the system cannot be read.
    pub fn new(reaper: Option<Reaper>) -> anyhow::Result<Self> {
        // The operator wrote the URLs of tasks, and they mostly point into a private network. So every network is
        // allowed.
        let everywhere = ["0.0.0.0/0", "::/0"].map(str::parse::<IpNet>);
        let everywhere: Result<Vec<IpNet>, _> = everywhere.into_iter().collect();
        let delivery = Delivery {
            allow_http: true,
            allow_networks: everywhere.context("read a network")?,
            ..Delivery::default()
        };
        Ok(Self {
            sender: Sender::new(&delivery)?,
            reaper,
            hidden: Vec::new(),
        })
    }

    /// The same runner, whose programs do not inherit these environment variables.
    #[must_use]
    pub fn hiding(self, hidden: Vec<String>) -> Self {
        Self { hidden, ..self }
    }

    /// Makes one attempt, which ends shortly after the time-out of the task at the latest. `number` counts the attempts
    /// of a job from 1. Dropping the future kills the program or aborts the call.
    ///
    /// # Errors
    /// Why the attempt failed, for a person.
    pub async fn attempt(
        &self,
        task: &Task,
        received: &Received,
        number: u32,
    ) -> Result<(), String> {
        match &task.action {
            Action::Command(words) => {
                let variables = metadata(task, received, number);
                let environment = Environment {
                    variables: &variables,
                    hidden: &self.hidden,
                };
                let (body, reaper) = (&received.body, self.reaper.as_ref());
                command::run(words, environment, body, task.timeout, reaper).await
            }
            Action::Http(call) => self.call(call, task, received, number).await,
            Action::Handler(handler) => handle(handler, task.timeout, received).await,
        }
    }

    async fn call(
        &self,
        call: &HttpCall,
        task: &Task,
        received: &Received,
        number: u32,
    ) -> Result<(), String> {
        // A value that no header can have is left out; the body has it too.
        let metadata: Vec<(String, Secret)> = metadata(task, received, number)
            .into_iter()
            .map(|(name, value)| (name.to_lowercase().replace('_', "-"), value))
            .filter(|(_, value)| HeaderValue::try_from(value).is_ok())
            .map(|(name, value)| (name, Secret::new(value)))
            .collect();
        let headers: Vec<(&str, &Secret)> = metadata
            .iter()
            .map(|(name, value)| (&**name, value))
            .collect();
        let target = Target::new(&call.url, call.secret.as_ref(), &headers);
        let target = target.map_err(|error| error.to_string())?;
        let answer = self.sender.send(Request {
            batch: None,
            target: &target,
            id: &received.id,
            body: received.body.clone(),
            content_type: &received.content_type,
            compress: Compression::None,
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

/// What a task gets beside the body, as environment variables. HTTP calls have the same as headers, such as
/// `rowhook-model`.
fn metadata(task: &Task, received: &Received, number: u32) -> [(&'static str, String); 9] {
    let at = humantime::format_rfc3339_millis(received.received_at).to_string();
    [
        ("ROWHOOK_ID", received.id.clone()),
        ("ROWHOOK_APP", without_nul(&received.envelope.app)),
        ("ROWHOOK_CONTENT_TYPE", received.content_type.clone()),
        ("ROWHOOK_MODEL", without_nul(&received.envelope.model)),
        ("ROWHOOK_EVENT", without_nul(&received.envelope.event)),
        ("ROWHOOK_SHAPE", received.envelope.shape.to_string()),
        ("ROWHOOK_TASK", task.name.clone()),
        ("ROWHOOK_ATTEMPT", number.to_string()),
        ("ROWHOOK_RECEIVED_AT", at),
    ]
}

/// Removes NUL characters. A sender can write them into a body, but an environment variable cannot contain them.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

async fn handle(handler: &Handler, limit: Duration, received: &Received) -> Result<(), String> {
    // In a Tokio task of its own, so that a panic of the handler fails this attempt only.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::receive::{
        command::STDERR_TAIL,
        envelope::{Envelope, Shape},
    };

    fn received(body: impl Into<Bytes>) -> Received {
        Received {
            id: "msg_1".into(),
            envelope: Envelope {
                shape: Shape::Netbox,
                app: "tenancy".into(),
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
            "{\"a\":1}\nROWHOOK_APP=tenancy\nROWHOOK_ATTEMPT=2\nROWHOOK_CONTENT_TYPE=application/json\nROWHOOK_EVENT=created\nROWHOOK_ID=msg_1\nROWHOOK_MODEL=tenant\n\
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
        assert!(failed.unwrap_err().len() < STDERR_TAIL + 30);
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
        // Its entry is gone once the process that inherited it has reaped it.
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
