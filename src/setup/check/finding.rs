//! What a check finds.

use crate::{config::Place, setup::plan::problem::Problem};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub topic: Topic,
    /// What was found, in one line.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Where in hooks.toml, if there.
    pub place: Option<Place>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Something will not do what one may expect.
    Warn,
    /// rowhook cannot run.
    Fatal,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Getting in.
    Connection,
    /// The server and its settings.
    Server,
    /// What the role may do.
    Privileges,
    /// The replication slot.
    Slot,
    /// What `rowhook setup` has to do.
    Setup,
    /// Tables and their columns.
    Tables,
    /// Events.
    Events,
    /// Whose rows they are.
    Owners,
    /// Hooks and their targets.
    Hooks,
}

impl Finding {
    pub(super) fn new(level: Level, topic: Topic, what: impl Into<String>) -> Self {
        Self {
            level,
            topic,
            what: what.into(),
            remedy: None,
            place: None,
        }
    }

    pub(super) fn ok(topic: Topic, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, topic, what)
    }

    pub(super) fn note(topic: Topic, what: impl Into<String>) -> Self {
        Self::new(Level::Note, topic, what)
    }

    pub(super) fn warn(topic: Topic, what: impl Into<String>) -> Self {
        Self::new(Level::Warn, topic, what)
    }

    pub(super) fn fatal(topic: Topic, what: impl Into<String>) -> Self {
        Self::new(Level::Fatal, topic, what)
    }

    pub(super) fn problem(topic: Topic, problem: Problem) -> Self {
        Self {
            remedy: problem.remedy,
            place: problem.place,
            ..Self::fatal(topic, problem.what)
        }
    }

    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }

    pub(super) fn at(self, place: Place) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }
}
