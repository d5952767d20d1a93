//! What follows from an attempt: success, another attempt later, or death. Both kinds of queue decide it here.

use std::time::{Duration, Instant};

use crate::{
    backoff::spread,
    panics::caught,
    receive::{attempt::Runner, envelope::Received, task::Task},
};

/// A delay before a retry varies by up to this fraction in either direction, so that jobs which failed together do not
/// all return at once.
const JITTER: f64 = 0.1;

/// How an attempt ended, and what is to happen to its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It succeeded. The job must never run again.
    Succeeded,
    /// It failed, and the job is to be retried.
    Retry {
        /// How long to wait before the next attempt.
        after: Duration,
        /// Why this attempt failed.
        reason: String,
    },
    /// It failed, and was the last one.
    Dead {
        /// Why this attempt failed.
        reason: String,
    },
}

/// Makes one attempt, logs how it ended, and decides what follows. `number` counts the attempts of a job from 1.
pub(super) async fn attempt(
    runner: &Runner,
    task: &Task,
    received: &Received,
    number: u32,
) -> Outcome {
    let begun = Instant::now();
    // A panic fails this attempt only.
    let result = caught(runner.attempt(task, received, number)).await;
    let result = result.unwrap_or_else(|panic| Err(format!("rowhook panicked on it: {panic}")));
    let took = begun.elapsed();
    let outcome = decide(task, number, result, rand::random());
    let (name, id) = (&*task.name, &*received.id);
    // The error output of a program may be long; the list of dead jobs shows all of it.
    let brief = |reason: &str| reason.lines().last().unwrap_or_default().to_owned();
    match &outcome {
        Outcome::Succeeded => {
            tracing::debug!(task = name, id, number, ?took, "a task has succeeded")
        }
        Outcome::Retry { after, reason } => tracing::warn!(
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

/// Decides what follows from the result of attempt `number`, which counts from 1. `jitter` is from 0 to 1.
fn decide(task: &Task, number: u32, result: Result<(), String>, jitter: f64) -> Outcome {
    match (result, task.retry_delay(number)) {
        (Ok(()), _) => Outcome::Succeeded,
        (Err(reason), None) => Outcome::Dead { reason },
        (Err(reason), Some(delay)) => Outcome::Retry {
            after: spread(delay, JITTER, jitter),
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
        let again = |seconds| Outcome::Retry {
            after: Duration::from_secs(seconds),
            reason: "no".into(),
        };
        assert_eq!(decide(&task, 9, Ok(()), 0.5), Outcome::Succeeded);
        assert_eq!(failed(1, 0.0), again(9));
        assert_eq!(failed(1, 1.0), again(11));
        let reason = "no".into();
        assert_eq!(failed(2, 0.5), Outcome::Dead { reason });
    }
}
