//! What is to be done about what was received: a command, an HTTP call, or a function of the program.

use std::{fmt, num::NonZeroUsize, pin::Pin, sync::Arc, time::Duration};

use serde_json::Value;

use super::envelope::{Envelope, Received};
use crate::{config::Pattern, secret::Secret};

/// Something to do about what was received.
///
/// Success is kept before the next thing begins, so that nothing is done again that has succeeded. What can happen twice is
/// an attempt: when the receiver dies after a task has done its work and before that is kept, the task begins again, with
/// the same id. A task for which that matters looks at the id.
#[derive(Debug, Clone)]
pub struct Task {
    /// What it is called in the queue and the log. What is queued for it is found by its name after a restart.
    pub name: String,
    /// The models that it is about.
    pub models: Vec<Pattern>,
    /// The events that it is about.
    pub events: Vec<Pattern>,
    /// What it does.
    pub action: Action,
    /// So long may one attempt take; it is ended then, with all that it has started.
    pub timeout: Duration,
    /// The pauses between attempts; empty for one attempt. After the last one it is dead.
    pub retries: Vec<Duration>,
    /// So many of it may run at once.
    pub concurrency: NonZeroUsize,
    /// What must not overtake what; `None`: anything may.
    pub order_by: Option<Path>,
}

/// What a task does.
#[derive(Clone)]
pub enum Action {
    /// Runs a program, with the body on its standard input and facts in its environment.
    Command(Vec<String>),
    /// POSTs the body.
    Http(Box<Call>),
    /// Calls a function.
    Handler(Handler),
}

/// Where a body is POSTed to.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where to. It may carry credentials.
    pub url: url::Url,
    /// Signs the request anew; `None`: it is not signed.
    pub secret: Option<Secret>,
}

/// A function that is called with what was received. `Err` says for a person why it failed.
pub type Handler = Arc<dyn Fn(Received) -> Running + Send + Sync>;

/// A [`Handler`] at work.
pub type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Where in a body something stands: `data.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<String>);

impl Task {
    /// A task with the defaults of receive.toml, about everything.
    pub fn new(name: impl Into<String>, action: Action) -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let retries = [5, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR];
        Self {
            name: name.into(),
            models: vec![Pattern::Any],
            events: vec![Pattern::Any],
            action,
            timeout: Duration::from_secs(MINUTE),
            retries: retries.map(Duration::from_secs).to_vec(),
            concurrency: NonZeroUsize::MIN.saturating_add(3),
            order_by: None,
        }
    }

    /// Is it about this?
    pub fn wants(&self, envelope: &Envelope) -> bool {
        let any =
            |patterns: &[Pattern], name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        any(&self.models, &envelope.model) && any(&self.events, &envelope.event)
    }

    /// The lane of a body: what is in one lane is done one after the other, as it came. `None`: it has no order.
    pub fn lane(&self, body: &Value) -> Option<String> {
        let path = self.order_by.as_ref()?;
        Some(path.find(body).unwrap_or(&Value::Null).to_string())
    }

    /// How long to wait after so many attempts have failed; `None`: it is dead.
    pub fn pause(&self, attempts: u32) -> Option<Duration> {
        let failed = usize::try_from(attempts).unwrap_or(usize::MAX);
        self.retries.get(failed.saturating_sub(1)).copied()
    }
}

impl Path {
    /// Reads `data.id`; `None` when a part of it is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        (!parts.iter().any(String::is_empty)).then_some(Self(parts))
    }

    fn find<'a>(&self, body: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(body, |value, part| match value {
            Value::Array(list) => list.get(part.parse::<usize>().ok()?),
            value => value.get(part),
        })
    }
}

/// Of a call only where it goes to: the rest of the URL may carry a token.
impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(words) => f.debug_tuple("Command").field(words).finish(),
            Self::Http(call) => write!(f, "Http({})", call.url.origin().ascii_serialization()),
            Self::Handler(_) => f.write_str("Handler"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::receive::envelope::Shape;

    fn task() -> Task {
        Task::new("t", Action::Command(vec!["true".into()]))
    }

    #[test]
    fn a_task_wants_what_both_its_patterns_match() {
        let patterns = |texts: &[&str]| -> Vec<Pattern> {
            texts
                .iter()
                .map(|text| Pattern::parse(text).unwrap())
                .collect()
        };
        let wants = |models: &[&str], events: &[&str], model: &str, event: &str| {
            let task = Task {
                models: patterns(models),
                events: patterns(events),
                ..task()
            };
            task.wants(&Envelope {
                shape: Shape::Other,
                model: model.into(),
                event: event.into(),
            })
        };
        assert!(wants(
            &["tenant"],
            &["created", "updated"],
            "tenant",
            "updated"
        ));
        assert!(wants(&["clinic.*"], &["*"], "clinic.pet", "deleted"));
        assert!(wants(&["*"], &["*"], "", ""));
        assert!(!wants(&["tenant"], &["created"], "tenant", "deleted"));
        assert!(!wants(&["tenant"], &["*"], "tenants", "created"));
    }

    #[test]
    fn a_lane_is_what_stands_at_the_path_and_what_lacks_it_shares_one() {
        let lane = |path: &str, body: Value| {
            let order_by = Path::parse(path);
            assert!(order_by.is_some());
            Task { order_by, ..task() }.lane(&body).unwrap()
        };
        assert_eq!(lane("data.id", json!({"data": {"id": 7}})), "7");
        assert_eq!(lane("data.id", json!({"data": {"id": "7"}})), "\"7\"");
        assert_eq!(lane("list.1", json!({"list": [1, [2]]})), "[2]");
        assert_eq!(lane("data.id", json!([])), "null");
        assert_eq!(task().lane(&json!({})), None);
        assert!(
            ["", ".", "a.", ".a", "a..b"]
                .into_iter()
                .all(|path| Path::parse(path).is_none())
        );
    }

    #[test]
    fn after_the_last_pause_it_is_dead() {
        let retries = [1, 2].map(Duration::from_secs).to_vec();
        let task = Task { retries, ..task() };
        let pauses = [1, 2, 3].map(|failed| task.pause(failed).map(|pause| pause.as_secs()));
        assert_eq!(pauses, [Some(1), Some(2), None]);
    }
}
