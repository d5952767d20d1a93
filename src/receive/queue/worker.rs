//! What both queues do with one job: an attempt, and what follows from how it ended.

use std::time::{Duration, Instant};

use crate::{
    backoff::spread,
    receive::{attempt::Runner, envelope::Received, task::Task},
};

/// By which share of it a pause is spread to either side.
const SPREAD: f64 = 0.1;

/// What is to be kept about a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has succeeded, and must never run again.
    Done,
    /// It is to be tried again.
    Again {
        /// After this time.
        after: Duration,
        /// Why.
        reason: String,
    },
    /// It is given up.
    Dead {
        /// Why.
        reason: String,
    },
}

/// Makes the attempt of this number, from 1, and tells what follows.
pub(super) async fn attempt(
    runner: &Runner,
    task: &Task,
    received: &Received,
    number: u32,
) -> Outcome {
    let begun = Instant::now();
    let result = runner.attempt(task, received, number).await;
    let took = begun.elapsed();
    let outcome = decide(task, number, result, rand::random());
    let (name, id) = (&*task.name, &*received.id);
    // What a program said may be long, and is in the dead list whole.
    let brief = |reason: &str| reason.lines().last().unwrap_or_default().to_owned();
    match &outcome {
        Outcome::Done => tracing::debug!(task = name, id, number, ?took, "a task has succeeded"),
        Outcome::Again { after, reason } => tracing::warn!(
            task = name,
            id,
            number,
            ?after,
            reason = brief(reason),
            "a task has failed and will be tried again"
        ),
        Outcome::Dead { reason } => tracing::error!(
            task = name,
            id,
            number,
            reason = brief(reason),
            "a task is given up; `rowhook receive dead` shows it and can have it tried again"
        ),
    }
    outcome
}

/// What follows from the end of the attempt of this number. `jitter` is from 0 to 1.
fn decide(task: &Task, number: u32, result: Result<(), String>, jitter: f64) -> Outcome {
    match (result, task.pause(number)) {
        (Ok(()), _) => Outcome::Done,
        (Err(reason), None) => Outcome::Dead { reason },
        (Err(reason), Some(pause)) => Outcome::Again {
            after: spread(pause, SPREAD, jitter),
            reason,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::task::Action;

    #[test]
    fn a_failure_waits_as_the_schedule_says_and_the_last_is_the_end() {
        let task = Task {
            retries: vec![Duration::from_secs(10)],
            ..Task::new("t", Action::Command(Vec::new()))
        };
        let failed = |number, jitter| decide(&task, number, Err("no".into()), jitter);
        let again = |seconds| Outcome::Again {
            after: Duration::from_secs(seconds),
            reason: "no".into(),
        };
        assert_eq!(decide(&task, 9, Ok(()), 0.5), Outcome::Done);
        assert_eq!(failed(1, 0.0), again(9));
        assert_eq!(failed(1, 1.0), again(11));
        let reason = "no".into();
        assert_eq!(failed(2, 0.5), Outcome::Dead { reason });
    }
}
