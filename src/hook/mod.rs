//! A subscription: who hears which events, and where they are sent.

pub mod index;
pub mod off;
pub mod roster;
pub mod row;

use std::{sync::Arc, time::SystemTime};

use serde::Serialize;

use crate::{
    config::{Delivery, FileHook, Pattern},
    expression::filter::Filter,
    send::target::Target,
};

/// A hook that is known to be good: its target, secret, pattern and filter have been checked.
///
/// There may be a million, so it is kept small, and the index has them share what many of them have.
#[derive(Debug)]
pub struct Hook {
    /// What it is known by.
    pub id: HookId,
    /// Whose rows it hears; `None`: everyone's.
    pub owner: Option<Arc<str>>,
    /// What it listens to.
    pub events: Arc<[Pattern]>,
    /// Which of those it wants.
    pub filter: Option<Arc<Filter>>,
    /// Where and how it is sent.
    pub target: Target,
    /// Time-outs, retries, order and the rest.
    pub delivery: Arc<Delivery>,
    /// It hears what was committed from this time on; `None`: everything. Set for hooks that were in the table at start:
    /// those that come through the stream begin where they stand in it.
    pub since: Option<SystemTime>,
    /// Is it switched on by now? If not, it hears what was committed before it was switched off, and nothing is sent.
    pub active: bool,
    /// Where it is kept.
    pub origin: Origin,
}

impl Hook {
    /// Does it hear what was committed at `commit_time`?
    pub fn existed_at(&self, commit_time: SystemTime) -> bool {
        self.since.is_none_or(|since| since <= commit_time)
    }
}

/// A hook's id: the key of its row, or its name in hooks.toml.
///
/// Two are the same when their texts are.
#[derive(Debug, Clone)]
pub struct HookId {
    text: Arc<str>,
    numeric: bool,
}

impl HookId {
    /// The id of a row. `numeric` says that the column is a number, and shows as one in JSON.
    pub fn new(text: impl Into<Arc<str>>, numeric: bool) -> Self {
        Self {
            text: text.into(),
            numeric,
        }
    }

    /// As text: unique among all hooks.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for HookId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for HookId {}

impl std::hash::Hash for HookId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl std::fmt::Display for HookId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for HookId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text.parse::<i64>() {
            Ok(number) if self.numeric => serializer.serialize_i64(number),
            _ => serializer.serialize_str(&self.text),
        }
    }
}

/// Where a hook is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In hooks.toml.
    File,
    /// In the hook table.
    Table,
}

/// Makes a hook of one in hooks.toml.
pub fn from_file(hook: &FileHook) -> Hook {
    Hook {
        id: HookId::new(hook.name.as_str(), false),
        owner: hook.owner.as_deref().map(Arc::from),
        events: hook.events.clone().into(),
        filter: hook.filter.clone(),
        target: Target::of_file(hook),
        delivery: Arc::new(hook.delivery.clone()),
        since: None,
        active: true,
        origin: Origin::File,
    }
}
