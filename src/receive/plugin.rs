//! Plugins: programs named `rowhook-plugin-*` that declare which events they want.
//!
//! Each is run once with the argument `describe`, and then for each event with the argument `run`. A broken plugin is
//! reported and left out, without effect on the others.

use std::{
    fs,
    num::NonZeroUsize,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

use super::task::{Action, BodyPath, Task};
use crate::config::{Pattern, duration};

const PREFIX: &str = "rowhook-plugin-";
/// The permission of everybody to write.
const WRITABLE_BY_ALL: u32 = 0o002;
/// How long a plugin may take to describe itself.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a description is read, in bytes: more than any needs.
const MAX_DESCRIPTION: u64 = 64 * 1024;

/// What a plugin prints when it is run with `describe`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    models: Vec<String>,
    events: Vec<String>,
    timeout: Option<String>,
    retries: Option<Vec<String>>,
    concurrency: Option<NonZeroUsize>,
    order_by: Option<String>,
}

/// A plugin that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The program, or the folder that cannot be read.
    pub path: PathBuf,
    /// Why it is left out, for a person.
    pub reason: String,
}

/// Finds the plugins in `folders`. Returns their tasks, and the plugins that are left out. Of several with the same
/// name, the first one counts.
///
/// What everybody may write to is left out, because it would be run with the rights of the receiver. Programs do not
/// inherit the environment variables in `hidden`.
pub async fn find(folders: &[PathBuf], hidden: &[String]) -> (Vec<Task>, Vec<Broken>) {
    let mut tasks: Vec<Task> = Vec::new();
    let mut broken = Vec::new();
    for folder in folders {
        let programs = match programs(folder) {
            Ok(programs) => programs,
            Err(reason) => {
                broken.push(Broken {
                    path: folder.clone(),
                    reason,
                });
                continue;
            }
        };
        for path in programs {
            match load(&path, &tasks, hidden).await {
                Ok(task) => tasks.push(task),
                Err(reason) => broken.push(Broken { path, reason }),
            }
        }
    }
    (tasks, broken)
}

/// The programs that are named like plugins, sorted by name.
fn programs(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("the folder cannot be read: {error}");
    // An absolute path, because a bare name would be looked up in PATH.
    let folder = folder.canonicalize().map_err(unreadable)?;
    let metadata = fs::metadata(&folder).map_err(unreadable)?;
    if metadata.permissions().mode() & WRITABLE_BY_ALL != 0 {
        return Err("everybody may put programs into the folder; chmod o-w it".into());
    }
    let mut programs = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            programs.push(entry.path());
        }
    }
    programs.sort();
    Ok(programs)
}

async fn load(path: &Path, before: &[Task], hidden: &[String]) -> Result<Task, String> {
    let file = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("plugin-{}", file.strip_prefix(PREFIX).unwrap_or(&file));
    if before.iter().any(|task| task.name == name) {
        return Err("another plugin of this name came first".into());
    }
    let metadata = fs::metadata(path).map_err(|error| format!("it cannot be read: {error}"))?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err("it is not executable; chmod +x it".into());
    }
    if metadata.permissions().mode() & WRITABLE_BY_ALL != 0 {
        return Err("everybody may change it; chmod o-w it".into());
    }
    let program = path
        .to_str()
        .ok_or("its path is not UTF-8; move it")?
        .to_owned();
    let output = timeout(DESCRIBE_TIMEOUT, describe(&program, hidden)).await;
    let output =
        output.map_err(|_| format!("describe did not end within {DESCRIBE_TIMEOUT:?}"))??;
    let described = serde_json::from_slice(&output);
    let described: Description =
        described.map_err(|error| format!("what describe prints is no description: {error}"))?;
    described.task(name, program)
}

async fn describe(program: &str, hidden: &[String]) -> Result<Vec<u8>, String> {
    let mut command = Command::new(program);
    hidden.iter().for_each(|name| {
        command.env_remove(name);
    });
    let child = command
        .arg("describe")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| format!("it cannot be run: {error}"))?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(MAX_DESCRIPTION).read_to_end(&mut output).await;
        read.map_err(|error| format!("describe cannot be read: {error}"))?;
    }
    let status = child.wait().await;
    let status = status.map_err(|error| format!("describe cannot be waited for: {error}"))?;
    if status.success() {
        Ok(output)
    } else {
        Err(format!("describe failed: {status}"))
    }
}

impl Description {
    fn task(self, name: String, program: String) -> Result<Task, String> {
        let patterns = |key: &str, texts: &[String]| -> Result<Vec<Pattern>, String> {
            if texts.is_empty() {
                return Err(format!("its {key} are empty; name some, or \"*\" for all"));
            }
            let pattern = |text: &String| {
                Pattern::parse(text).ok_or(format!("{text:?} among its {key} is no pattern"))
            };
            texts.iter().map(pattern).collect()
        };
        let time = |text: &String| {
            let remedy = "is not a duration; write one such as \"15s\"";
            duration(text).ok_or(format!("its {text:?} {remedy}"))
        };
        let command = vec![program, "run".to_owned()];
        let mut task = Task::new(name, Action::Command(command));
        task.models = patterns("models", &self.models)?;
        task.events = patterns("events", &self.events)?;
        if let Some(text) = &self.timeout {
            task.timeout = time(text)?;
        }
        if let Some(pauses) = &self.retries {
            task.retries = pauses.iter().map(time).collect::<Result<_, _>>()?;
        }
        if let Some(concurrency) = self.concurrency {
            task.concurrency = concurrency;
        }
        if let Some(text) = self.order_by {
            let path = BodyPath::parse(&text);
            task.order_by = Some(path.ok_or(format!("its order_by {text:?} is no path"))?);
        }
        Ok(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another process writes the file. If this one had it open for writing, a child that another test starts meanwhile
    /// would inherit the descriptor, and the kernel would refuse to run the file.
    fn write(folder: &Path, name: &str, script: &str, mode: &str) {
        let path = folder.join(name);
        let status = std::process::Command::new("sh")
            .args([
                "-c",
                r#"printf '#!/bin/sh\n%s\n' "$1" >"$0"; chmod "$2" "$0""#,
            ])
            .arg(path)
            .args([script, mode])
            .status();
        assert!(status.unwrap().success());
    }

    #[tokio::test]
    async fn a_broken_plugin_is_reported_and_the_others_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let good = r#"[ "$1" = describe ] && echo '{"models": ["tenant", "ipam.*"], "events": ["*"], "timeout": "5s", "retries": ["1s"], "concurrency": 1, "order_by": "data.id"}'"#;
        write(folder, "rowhook-plugin-good.sh", good, "755");
        write(folder, "rowhook-plugin-good", good, "755");
        write(folder, "rowhook-plugin-fails", "exit 3", "755");
        write(folder, "rowhook-plugin-mumbles", "echo hello", "755");
        write(
            folder,
            "rowhook-plugin-extra",
            r#"echo '{"models":["*"],"events":["*"],"modles":1}'"#,
            "755",
        );
        write(
            folder,
            "rowhook-plugin-wide",
            r#"echo '{"models":["a b"],"events":["*"]}'"#,
            "755",
        );
        write(folder, "rowhook-plugin-plain", good, "644");
        write(folder, "something-else", "exit 1", "755");
        let missing = folder.join("missing");
        let (tasks, broken) = find(&[folder.to_owned(), missing], &[]).await;
        let names: Vec<&str> = tasks.iter().map(|task| &*task.name).collect();
        assert_eq!(names, ["plugin-good"]);
        assert_eq!(tasks[0].timeout, Duration::from_secs(5));
        assert_eq!(tasks[0].retries, [Duration::from_secs(1)]);
        let reported: Vec<String> = broken
            .iter()
            .map(|broken| {
                let name = broken.path.file_name().unwrap().to_string_lossy();
                format!("{}: {}", name.trim_start_matches(PREFIX), broken.reason)
            })
            .collect();
        let begins = [
            "extra: what describe prints is no description: unknown field `modles`",
            "fails: describe failed: exit status: 3",
            "good.sh: another plugin of this name came first",
            "mumbles: what describe prints is no description: expected value",
            "plain: it is not executable; chmod +x it",
            "wide: \"a b\" among its models is no pattern",
            "missing: the folder cannot be read: ",
        ];
        assert_eq!(reported.len(), begins.len(), "{reported:#?}");
        for (report, begin) in reported.iter().zip(begins) {
            assert!(report.starts_with(begin), "{report}");
        }
    }
}
