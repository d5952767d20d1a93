//! Which function is called for what: the tasks of a program that uses rowhook as a library.

use std::{fmt, sync::Arc};

use super::{
    envelope::Received,
    task::{Action, Task},
};
use crate::config::Pattern;

/// Functions by model and event.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    tasks: Vec<Arc<Task>>,
}

impl Registry {
    /// A registry without functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `handler` for each `event` of a `model`. Either may be a pattern: `*`, or `clinic.*`. What is no pattern matches
    /// itself alone.
    ///
    /// The task is named after the two, and behind a queue what waits for it is found by that name after a restart. Where
    /// two handlers have the same pair, their order is part of their names.
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

    /// Adds a task of any kind, with its own time-out, schedule and order.
    pub fn add(&mut self, task: Task) -> &mut Self {
        self.tasks.push(Arc::new(task));
        self
    }

    /// All tasks.
    pub fn tasks(&self) -> &[Arc<Task>] {
        &self.tasks
    }

    /// Calls every function that wants this, one after the other, without a queue: what fails is not tried again, unless the
    /// sender does. A function that has succeeded is then called again too, with the same id.
    ///
    /// # Errors
    /// What the first that failed says, after its task's name. Those after it were not called.
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
