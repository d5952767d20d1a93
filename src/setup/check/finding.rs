//! The findings of a check.

use crate::{config::Location, setup::plan::problem::Problem};

/// The result of checking one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub topic: Topic,
    /// What was found, in one line.
    pub what: String,
    /// What to do about it, if anything.
    pub remedy: Option<String>,
    /// The place in hooks.toml that it is about, if any.
    pub place: Option<Location>,
    /// What it has in common with others; `None`: nothing.
    pub kind: Option<Kind>,
}

/// What findings have in common that say the same of several things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// What they say of all of them, after their number: `tables have no replica identity`.
    pub what: &'static str,
    /// What to do about all of them; `None`: the same as for one.
    pub remedy: Option<&'static str>,
    /// What this one is about: a table, an event, a hook.
    pub about: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything is as it should be.
    Ok,
    /// Something that is good to know.
    Note,
    /// Something may not work as expected.
    Warn,
    /// rowhook cannot run.
    Fatal,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The connection.
    Connection,
    /// The server and its settings.
    Server,
    /// The privileges of the role.
    Privileges,
    /// The replication slot.
    Slot,
    /// What `rowhook setup` has still to do.
    Setup,
    /// Tables and their columns.
    Tables,
    /// Events.
    Events,
    /// The owners of rows.
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
            kind: None,
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

    /// There may be more that say the same, each `about` something else.
    pub(super) fn kind(self, what: &'static str, about: impl ToString) -> Self {
        let kind = Kind {
            what,
            remedy: None,
            about: about.to_string(),
        };
        Self {
            kind: Some(kind),
            ..self
        }
    }

    /// What to do about all findings of its kind at once.
    pub(super) fn remedy_of_all(mut self, remedy: &'static str) -> Self {
        if let Some(kind) = &mut self.kind {
            kind.remedy = Some(remedy);
        }
        self
    }

    pub(super) fn at(self, place: Location) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }
}
