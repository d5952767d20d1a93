//! `[[tasks]]`: what runs for which events.

use std::{collections::HashSet, num::NonZeroUsize};

use crate::{
    config::{
        Pattern, hooks,
        reader::{Keys, Table, Value},
        retries, target,
    },
    receive::task::{Action, BodyPath, HttpCall, Task},
    signature::SignatureScheme,
};

pub(super) const KEYS: Keys = Keys {
    known: &[
        "name",
        "model",
        "event",
        "command",
        "url",
        "secret",
        "timeout",
        "retries",
        "concurrency",
        "order_by",
    ],
    later: &[],
};

/// Reads all `[[tasks]]`. Those with mistakes are left out; the reader keeps the mistakes.
pub(super) fn read_all(value: &Value<'_>) -> Vec<Task> {
    if value.is_table() {
        value.reader.wrong(
            value.key_place,
            "tasks is a table; write [[tasks]], in double brackets, above each task",
        );
        return Vec::new();
    }
    let tasks = value.list("[[tasks]] above each task").unwrap_or_default();
    let mut names = HashSet::new();
    tasks
        .iter()
        .filter_map(|task| read(&task.table(&KEYS)?, &mut names))
        .collect()
}

/// Reads one task. `names` are the names of the tasks before it.
fn read(table: &Table<'_>, names: &mut HashSet<String>) -> Option<Task> {
    let name = table
        .need("name", "name = \"sync\"")
        .and_then(|value| hooks::name(value, "task", names));
    let models = table.find("model").and_then(patterns);
    let events = table.find("event").and_then(patterns);
    let action = action(table);
    let timeout = table.find("timeout").and_then(Value::positive_duration);
    let retries = table.find("retries").and_then(retries::read);
    let concurrency = table.find("concurrency").and_then(concurrency);
    let order_by = table.find("order_by").and_then(order_by);
    let default = Task::new(name?, action?);
    Some(Task {
        models: models.unwrap_or(default.models),
        events: events.unwrap_or(default.events),
        timeout: timeout.unwrap_or(default.timeout),
        retries: retries.unwrap_or(default.retries),
        concurrency: concurrency.unwrap_or(default.concurrency),
        order_by,
        ..default
    })
}

/// How many attempts may run at once.
pub(super) fn concurrency(value: &Value<'_>) -> Option<NonZeroUsize> {
    let count = value.count().and_then(|count| usize::try_from(count).ok());
    count.and_then(NonZeroUsize::new)
}

/// One pattern, or a list of patterns.
fn patterns(value: &Value<'_>) -> Option<Vec<Pattern>> {
    if value.is_string() {
        return Some(vec![pattern(value)?]);
    }
    let patterns = value.list_of(
        "a name or a list such as [\"created\", \"updated\"]",
        pattern,
    )?;
    if patterns.is_empty() {
        value.wrong(format!(
            "{} is empty; name at least one, or leave it out",
            value.key
        ));
    }
    Some(patterns)
}

fn pattern(value: &Value<'_>) -> Option<Pattern> {
    let text = value.string()?;
    let pattern = Pattern::parse(&text);
    if pattern.is_none() {
        value.wrong(format!(
            "{} is no pattern; write a name, \"clinic.*\" for all that begin so, or \"*\" for all",
            value.quote(&text)
        ));
    }
    pattern
}

fn action(table: &Table<'_>) -> Option<Action> {
    let secret = table.find("secret");
    match (table.find("command"), table.find("url")) {
        (Some(command), None) => {
            if let Some(secret) = secret {
                secret.wrong(format!(
                    "{} signs HTTP calls only; remove it, or write url instead of command",
                    secret.key
                ));
            }
            let words =
                command.list_of("a list such as [\"./sync.sh\", \"--fast\"]", Value::string)?;
            if words.is_empty() {
                command.wrong(format!(
                    "{} is empty; write a program and its arguments",
                    command.key
                ));
                return None;
            }
            Some(Action::Command(words))
        }
        (None, Some(url)) => {
            let secret = secret.map(|value| hooks::secret(value, &SignatureScheme::Standard));
            let url = target::read(url, true)?;
            Some(Action::Http(Box::new(HttpCall {
                url,
                secret: secret.flatten(),
            })))
        }
        (Some(_), Some(url)) => {
            url.wrong(format!(
                "{} stands beside a command; a task does one of the two: write another [[tasks]]",
                url.key
            ));
            None
        }
        (None, None) => {
            table.need(
                "command",
                "command = [\"./sync.sh\"], or url = \"http://127.0.0.1:8000/sync\"",
            );
            None
        }
    }
}

fn order_by(value: &Value<'_>) -> Option<BodyPath> {
    let text = value.string()?;
    let path = BodyPath::parse(&text);
    if path.is_none() {
        value.wrong(format!(
            "{} is no path into a body; write names with dots between them, such as \"data.id\"",
            value.quote(&text)
        ));
    }
    path
}
