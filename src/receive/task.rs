//! A task: the command, HTTP call or function that runs for certain events.

use std::{fmt, num::NonZeroUsize, pin::Pin, sync::Arc, time::Duration};

use super::{
    content::field,
    envelope::{Envelope, Received},
};
use crate::{
    config::Pattern,
    expression::document::{Document, Item, Kind},
    secret::Secret,
};

/// A command, HTTP call or function that runs for certain events.
///
/// A task that has succeeded does not run again for the same request, because its success is recorded durably. An
/// attempt can happen twice: when the receiver is killed after the task has done its work and before the success is
/// recorded, the task runs again, with the same id. A task for which that matters must check the id.
#[derive(Debug, Clone)]
pub struct Task {
    /// The name in the queue and the log. After a restart, queued jobs find their task by its name.
    pub name: String,
    /// The models that the task is about.
    pub models: Vec<Pattern>,
    /// The events that the task is about.
    pub events: Vec<Pattern>,
    /// What the task does.
    pub action: Action,
    /// How long one attempt may take. Then it is ended, with everything that it has started.
    pub timeout: Duration,
    /// The delays between attempts; empty for one attempt only. When the attempt after the last delay fails, the job is
    /// dead.
    pub retries: Vec<Duration>,
    /// How many attempts of this task may run at once.
    pub concurrency: NonZeroUsize,
    /// Where a body has the value that orders jobs: those with the same value run one after the other. `None`: jobs run
    /// in any order.
    pub order_by: Option<BodyPath>,
}

/// What a task does.
#[derive(Clone)]
pub enum Action {
    /// Runs a program, with the body on its standard input and metadata in its environment.
    Command(Vec<String>),
    /// POSTs the body.
    Http(Box<HttpCall>),
    /// Calls a function.
    Handler(Handler),
}

/// Where a body is POSTed to.
#[derive(Debug, Clone)]
pub struct HttpCall {
    /// The URL, which may contain credentials.
    pub url: url::Url,
    /// Signs the request; `None`: it is not signed.
    pub secret: Option<Secret>,
}

/// A function that is called with a request. Its error says, for a person, why the attempt failed.
pub type Handler = Arc<dyn Fn(Received) -> HandlerFuture + Send + Sync>;

/// The future that a [`Handler`] returns.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The path to a value in a JSON body, such as `data.id`. A number selects an element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyPath(Vec<String>);

impl Task {
    /// Creates a task for all models and events, with the defaults of receive.toml.
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

    /// Whether the task runs for this model and event.
    pub fn wants(&self, envelope: &Envelope) -> bool {
        let mut events = self.events.iter();
        envelope.is_about(&self.models) && events.any(|pattern| pattern.matches(&envelope.event))
    }

    /// The lane of a body. Jobs in the same lane run one after the other, in the order of arrival. `None`: the task has
    /// no order.
    pub fn lane(&self, body: &Document) -> Option<String> {
        let path = self.order_by.as_ref()?;
        Some(path.find(body).map_or_else(|| "null".to_owned(), lane))
    }

    /// How long to wait when this many attempts have failed. `None`: there are no more attempts, and the job is dead.
    pub fn retry_delay(&self, attempts: u32) -> Option<Duration> {
        let failed = usize::try_from(attempts).unwrap_or(usize::MAX);
        self.retries.get(failed.saturating_sub(1)).copied()
    }
}

impl BodyPath {
    /// Parses a path such as `data.id`. Returns `None` when a part of it is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        (!parts.iter().any(String::is_empty)).then_some(Self(parts))
    }

    fn find<'a>(&self, body: &'a Document) -> Option<Item<'a>> {
        let mut parts = self.0.iter();
        parts.try_fold(body.root(), |value, part| match value.kind() {
            Kind::List => value.items().nth(part.parse().ok()?),
            _ => field(value, part),
        })
    }
}

/// A value as a lane: the same for all ways to write a text.
fn lane(value: Item<'_>) -> String {
    match (value.kind(), value.text()) {
        (Kind::Plain | Kind::Escaped, Ok(text)) => serde_json::Value::from(text).to_string(),
        _ => format!("{value:?}"),
    }
}

/// Shows only the origin of a call, since the rest of its URL may contain a token.
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
    use serde_json::{Value, json};

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
                app: String::new(),
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
            let body = Document::parse(body.to_string()).unwrap();
            let order_by = BodyPath::parse(path);
            assert!(order_by.is_some());
            Task { order_by, ..task() }.lane(&body).unwrap()
        };
        assert_eq!(lane("data.id", json!({"data": {"id": 7}})), "7");
        assert_eq!(lane("data.id", json!({"data": {"id": "7"}})), "\"7\"");
        assert_eq!(lane("list.1", json!({"list": [1, [2]]})), "[2]");
        assert_eq!(lane("data.id", json!([])), "null");
        assert_eq!(task().lane(&Document::default()), None);
        let of_text = |text: &str| {
            let order_by = BodyPath::parse("a");
            Task { order_by, ..task() }.lane(&Document::parse(text).unwrap())
        };
        assert_eq!(of_text(r#"{"a": "\u0078"}"#), of_text(r#"{"a":"x"}"#));
        assert_eq!(of_text(r#"{"a": [1, 1e400]}"#).unwrap(), "[1,1e400]");
        assert_eq!(of_text(r#"{"a": "\ud800"}"#).unwrap(), r#""\ud800""#);
        assert!(
            ["", ".", "a.", ".a", "a..b"]
                .into_iter()
                .all(|path| BodyPath::parse(path).is_none())
        );
    }

    #[test]
    fn after_the_last_delay_the_job_is_dead() {
        let retries = [1, 2].map(Duration::from_secs).to_vec();
        let task = Task { retries, ..task() };
        let delays = [1, 2, 3].map(|failed| task.retry_delay(failed).map(|delay| delay.as_secs()));
        assert_eq!(delays, [Some(1), Some(2), None]);
    }
}
