//! The functions that are called for events: the tasks of a program that uses rowhook as a library.

use std::{fmt, sync::Arc};

use super::{
    envelope::Received,
    task::{Action, Task},
};
use crate::config::Pattern;

/// Functions by model and event.
///
/// They run behind the queue of a [`Receiver`](super::Receiver), or directly with [`Registry::dispatch`].
#[derive(Debug, Clone, Default)]
pub struct Registry {
    tasks: Vec<Arc<Task>>,
}

impl Registry {
    /// Creates an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `handler` for each `event` of a `model`. Either may be a pattern: `*`, or `clinic.*`. Any other text
    /// matches itself only.
    ///
    /// The name of the task is `model event`, and after a restart its queued jobs are found by that name. Further
    /// handlers of the same pair are numbered in the order in which they were added, from `model event #2`.
    pub fn on<F, R, E>(&mut self, model: &str, event: &str, handler: F) -> &mut Self
    where
        F: Fn(Received) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let pattern =
            |text: &str| Pattern::parse(text).unwrap_or_else(|| Pattern::Exact(text.into()));
        let handler = Arc::new(handler);
        let action = Action::Handler(Arc::new(move |received| {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let ended = handler(received).await;
                ended.map_err(|error| error.to_string())
            })
        }));
        let pair = format!("{model} {event}");
        let same =
            |task: &&Arc<Task>| task.name == pair || task.name.starts_with(&format!("{pair} #"));
        let name = match self.tasks.iter().filter(same).count() {
            0 => pair,
            before => format!("{pair} #{}", before + 1),
        };
        self.add(Task {
            models: vec![pattern(model)],
            events: vec![pattern(event)],
            ..Task::new(name, action)
        })
    }

    /// Adds a task of any kind, with its own time-out, retries and order.
    pub fn add(&mut self, task: Task) -> &mut Self {
        self.tasks.push(Arc::new(task));
        self
    }

    /// All tasks, in the order in which they were added.
    pub fn tasks(&self) -> &[Arc<Task>] {
        &self.tasks
    }

    /// Calls every function that wants this request, one after the other, without a queue.
    ///
    /// A failure is not retried here. Where the sender retries the request, functions that have succeeded are called
    /// again too, with the same id.
    ///
    /// # Errors
    /// The name of the first task that failed, and its error. The functions after it were not called.
    pub async fn dispatch(&self, received: &Received) -> Result<(), String> {
        for task in &self.tasks {
            if let (true, Action::Handler(handler)) = (task.wants(&received.envelope), &task.action)
            {
                let ended = tokio::time::timeout(task.timeout, handler(received.clone())).await;
                let ended = ended.unwrap_or_else(|_| Err("timed out".into()));
                ended.map_err(|reason| format!("{}: {reason}", task.name))?;
            }
        }
        Ok(())
    }
}
