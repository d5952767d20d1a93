//! The three streams of a queue: the jobs, the dead jobs, and the markers of what is done.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};

use crate::receive::queue::limits::Limits;

/// The stream of dead jobs.
pub(super) const DEAD: &str = "rowhook-receive-dead";
/// For how long NATS itself recognizes a message that is published twice. Ids are known for longer, by their markers.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(60 * 60);

/// The jobs that wait or run. A message is deleted when it is acknowledged.
pub(super) fn jobs(limits: Limits) -> Config {
    Config {
        name: "rowhook-receive".into(),
        subjects: vec!["rowhook.receive.>".into()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_bytes: i64::try_from(limits.size).unwrap_or(i64::MAX),
        duplicate_window: limits.remember.min(DUPLICATE_WINDOW),
        ..Config::default()
    }
}

/// The jobs whose attempts are used up.
pub(super) fn dead(limits: Limits) -> Config {
    Config {
        name: DEAD.into(),
        subjects: vec!["rowhook.dead.>".into()],
        max_age: limits.keep_dead,
        ..Config::default()
    }
}

/// A marker for each request that was accepted and each job that has succeeded.
pub(super) fn done(limits: Limits) -> Config {
    Config {
        name: "rowhook-receive-done".into(),
        subjects: vec!["rowhook.done.>".into()],
        max_age: limits.remember,
        max_messages_per_subject: 1,
        ..Config::default()
    }
}
