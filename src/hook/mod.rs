//! Hooks: who is sent which events, and where.

pub mod difference;
pub mod events;
pub mod index;
pub mod off;
pub mod roster;
pub mod row;
pub mod sealed;
mod shared;

use std::{sync::Arc, time::SystemTime};

use serde::Serialize;

use crate::{
    config::{Delivery, FileHook, Pattern},
    expression::filter::Filter,
    send::target::Target,
};

/// A hook whose target, secret, patterns and filter have been checked.
///
/// There may be a million hooks, so each is small, and the index lets them share what many of them have.
#[derive(Debug)]
pub struct Hook {
    /// Its id.
    pub id: HookId,
    /// Whose rows it is sent; `None`: everyone's.
    pub owner: Option<Arc<str>>,
    /// The events that it is sent.
    pub events: Arc<[Pattern]>,
    /// Only events for which this is true are sent.
    pub filter: Option<Arc<Filter>>,
    /// Where and how it is sent.
    pub target: Target,
    /// Its time-outs, retries, order and other settings.
    pub delivery: Arc<Delivery>,
    /// It is sent only what was committed from this time on; `None`: everything. This is set for hooks that were in the
    /// table at the start. Those that come through the stream begin at their place in it.
    pub since: Option<SystemTime>,
    /// Is it enabled now? If not, events that were committed before it was disabled are still kept for it, but nothing
    /// is sent.
    pub active: bool,
    /// Where it is defined.
    pub origin: Origin,
}

impl Hook {
    /// Does it have a template of its own, beside those of hooks.toml?
    pub fn has_own_template(&self) -> bool {
        self.delivery.template_is_own && self.delivery.template.is_some()
    }

    /// Is it sent what was committed at `commit_time`?
    pub fn existed_at(&self, commit_time: SystemTime) -> bool {
        self.since.is_none_or(|since| since <= commit_time)
    }
}

/// The id of a hook: the key of its row, or its name in hooks.toml. Two ids are equal when their texts are.
#[derive(Debug, Clone)]
pub struct HookId {
    text: Arc<str>,
    numeric: bool,
}

impl HookId {
    /// The id with this text. If `numeric`, JSON shows it as a number.
    pub fn new(text: impl Into<Arc<str>>, numeric: bool) -> Self {
        Self {
            text: text.into(),
            numeric,
        }
    }

    /// Whether JSON shows it as a number.
    pub fn is_numeric(&self) -> bool {
        self.numeric
    }

    /// The text, which is unique among all hooks.
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

/// Where a hook is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In hooks.toml.
    File,
    /// In the hook table.
    Table,
}

/// The hook that hooks.toml defines so.
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
