//! `password_command`: a command that prints a password for each connection, such as a token of a cloud.
//!
//! Nothing of what it prints is repeated anywhere, not even of what it prints as an error.

use std::{io, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{io::AsyncReadExt, process::Command};

use crate::secret::Secret;

/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The most bytes of a password: Postgres takes no message of more when somebody logs in.
const LONGEST: usize = 65_000;

/// A program and its arguments. No shell is between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordCommand {
    program: String,
    arguments: Vec<String>,
    limit: Duration,
}

/// Why the command brought no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPassword {
    /// It cannot be run.
    #[error("cannot run {program}: {cause}")]
    NotRun {
        /// The program.
        program: String,
        /// Why not.
        cause: String,
    },
    /// It did not print a password, for the reason given.
    #[error("{program} {what}")]
    Bad {
        /// The program.
        program: String,
        /// What it did instead.
        what: String,
    },
}

impl NoPassword {
    /// Whether it can be different the next time.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Bad { .. })
    }
}

impl PasswordCommand {
    /// The command of a program and its arguments; `None` if there is no program.
    pub fn new(mut words: Vec<String>) -> Option<Self> {
        let arguments = words.split_off(1.min(words.len()));
        let program = words.pop().filter(|program| !program.is_empty())?;
        Some(Self {
            program,
            arguments,
            limit: LIMIT,
        })
    }

    /// Runs it, and returns what it prints, without the end of the line.
    ///
    /// # Errors
    /// If it cannot be run, takes too long, fails, or does not print exactly one line.
    pub async fn run(&self) -> Result<Secret, NoPassword> {
        let not_run = |error: io::Error| NoPassword::NotRun {
            program: self.program.clone(),
            cause: error.to_string(),
        };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(not_run)?;
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let mut printed = Vec::new();
        let ending = async {
            if let Some(stdout) = child.stdout.take() {
                // One byte more than may be, to tell what is too long.
                let mut stdout = stdout.take(LONGEST as u64 + 1);
                stdout.read_to_end(&mut printed).await?;
            }
            if printed.len() > LONGEST {
                return Ok(None);
            }
            child.wait().await.map(Some)
        };
        let ended = tokio::time::timeout(self.limit, ending).await;
        if !matches!(ended, Ok(Ok(Some(_)))) {
            // Whatever it has started ends with it.
            if let Some(group) = group {
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
        }
        match ended {
            Err(_) => Err(self.bad(format!("did not end within {} s", self.limit.as_secs_f32()))),
            Ok(Err(error)) => Err(not_run(error)),
            Ok(Ok(None)) => Err(self.bad(format!("prints more than {LONGEST} bytes"))),
            Ok(Ok(Some(status))) if !status.success() => Err(self.bad(format!(
                "ended with {status}; what it prints is not shown here"
            ))),
            Ok(Ok(Some(_))) => self.password(printed),
        }
    }

    fn password(&self, printed: Vec<u8>) -> Result<Secret, NoPassword> {
        let Ok(text) = String::from_utf8(printed) else {
            return Err(self.bad("prints something that is not UTF-8"));
        };
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() {
            return Err(self.bad("prints nothing"));
        }
        if line.contains(['\n', '\r', '\0']) {
            return Err(self.bad("prints more than one line"));
        }
        Ok(Secret::new(line))
    }

    fn bad(&self, what: impl Into<String>) -> NoPassword {
        NoPassword::Bad {
            program: self.program.clone(),
            what: what.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(script: &str) -> Result<String, String> {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        let mut command = PasswordCommand::new(words).unwrap();
        if script.contains("sleep") {
            command.limit = Duration::from_millis(50);
        }
        let password = command.run().await;
        password
            .map(|password| password.expose().to_owned())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn one_line_is_the_password_and_everything_else_is_named_without_being_shown() {
        for (script, result) in [
            ("echo s3cret", Ok("s3cret")),
            ("printf 's3 cret\\r\\n'", Ok("s3 cret")),
            ("printf ' a '", Ok(" a ")),
            (
                "echo hunter2; echo hunter2 >&2; exit 3",
                Err("sh ended with exit status: 3; what it prints is not shown here"),
            ),
            (
                "echo hunter2; kill -9 $$",
                Err("sh ended with signal: 9 (SIGKILL); what it prints is not shown here"),
            ),
            ("true", Err("sh prints nothing")),
            ("echo", Err("sh prints nothing")),
            ("echo a; echo b", Err("sh prints more than one line")),
            ("printf 'a\\0b'", Err("sh prints more than one line")),
            (
                "printf '\\377'",
                Err("sh prints something that is not UTF-8"),
            ),
            ("yes", Err("sh prints more than 65000 bytes")),
            (
                "echo a; sleep 100 & wait",
                Err("sh did not end within 0.05 s"),
            ),
        ] {
            let result = result.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(run(script).await, result, "{script}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_a_matter_for_a_person() {
        let command = PasswordCommand::new(vec!["/nowhere/at-all".into()]).unwrap();

        let error = command.run().await.unwrap_err();

        assert!(!error.is_transient());
        assert!(
            error
                .to_string()
                .starts_with("cannot run /nowhere/at-all: ")
        );
        assert_eq!(PasswordCommand::new(Vec::new()), None);
        assert_eq!(PasswordCommand::new(vec![String::new()]), None);
    }
}
