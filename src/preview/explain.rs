//! Why a change is an event or not, and why a hook hears of it or not. It asks what the reader asks, one question after the
//! other, and keeps the answers.

use std::{collections::HashSet, fmt, sync::Arc};

use crate::{
    change::Change,
    config::{Action, Config, EventRule, EventSource},
    event::{Event, EventMap, Rule},
    expression::filter::Facts,
    hook::{
        HookId,
        index::{Audience, Index},
        roster::{Listed, Roster},
    },
    payload::facts,
};

/// One event of the table, and what came of the change.
#[derive(Debug)]
pub struct Outcome {
    /// The event's name.
    pub event: String,
    /// Why it does not happen; `None`: it does.
    pub silent: Option<Silent>,
    /// What each hook makes of it; empty where it does not happen.
    pub hooks: Vec<(HookId, Option<Deaf>)>,
}

/// Why a change is not this event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silent {
    /// It is about something else that happens to rows.
    Action(Action),
    /// None of these columns changed.
    Unchanged(Vec<String>),
    /// This expression is not true.
    When(String),
    /// The expression gave no answer.
    WhenFailed(String),
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(action) => write!(f, "action: it fires when a row is {action}"),
            Self::Unchanged(columns) => {
                write!(f, "changed: {} did not change", columns.join(", "))
            }
            Self::When(text) => write!(f, "when: {text} is false"),
            Self::WhenFailed(error) => write!(f, "when: {error}"),
        }
    }
}

/// Why a hook does not hear an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deaf {
    /// It cannot be used.
    Invalid(String),
    /// It is switched off.
    Inactive,
    /// It listens to other events.
    Pattern(Vec<String>),
    /// The row belongs to somebody else.
    Owner {
        /// Whose rows the hook hears.
        hears: String,
        /// Whose row it is; `None`: nobody knows.
        row: Option<String>,
    },
    /// This expression is not true.
    Filter(String),
    /// The expression gave no answer.
    FilterFailed(String),
    /// Its owner may not see the row.
    MayNotSee,
    /// Nobody can tell whether its owner may see the row, for this reason.
    VisibleFailed(String),
}

impl fmt::Display for Deaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => write!(f, "invalid: {reason}"),
            Self::Inactive => f.write_str("inactive: it is switched off"),
            Self::Pattern(events) => write!(f, "pattern: it hears {}", events.join(", ")),
            Self::Owner {
                hears,
                row: Some(row),
            } => write!(
                f,
                "owner: it hears rows of {hears}, and this one is of {row}"
            ),
            Self::Owner { hears, row: None } => write!(
                f,
                "owner: it hears rows of {hears}, and this one has no owner"
            ),
            Self::Filter(text) => write!(f, "filter: {text} is false"),
            Self::FilterFailed(error) => write!(f, "filter: {error}"),
            Self::MayNotSee => f.write_str("visible: its owner may not see the row"),
            Self::VisibleFailed(reason) => write!(f, "visible: {reason}"),
        }
    }
}

/// What comes of a change, event by event, in the order of the file. `owner` is the row's.
pub fn explain(
    config: &Config,
    events: &EventMap,
    change: &Arc<Change>,
    owner: Option<&Arc<str>>,
    roster: &Roster,
) -> Vec<Outcome> {
    let table = change.relation.table();
    let Some(of_table) = events.of_table(&table) else {
        return Vec::new();
    };
    let index = roster.index(events);
    let about = |rule: &&EventRule| matches!(&rule.source, EventSource::Row { table: on, .. } if *on == table);
    let of_file = config.events.iter().filter(about);
    of_file
        .map(|written| {
            let mut rules = of_table.rules(&change.row).iter();
            let Some(rule) = rules.find(|rule| *rule.name == *written.name) else {
                return Outcome::silent(written, other_action(written));
            };
            let event = of_table.event(rule, change, Vec::new(), owner.cloned(), 0);
            match silence(rule, &event, written) {
                Some(silent) => Outcome::silent(written, silent),
                None => Outcome {
                    event: written.name.clone(),
                    silent: None,
                    hooks: listen(&event, rule.all_owners, &index, roster),
                },
            }
        })
        .collect()
}

impl Outcome {
    fn silent(rule: &EventRule, silent: Silent) -> Self {
        Self {
            event: rule.name.clone(),
            silent: Some(silent),
            hooks: Vec::new(),
        }
    }
}

fn other_action(rule: &EventRule) -> Silent {
    match &rule.source {
        EventSource::Row { action, .. } => Silent::Action(action.clone()),
        EventSource::Custom => Silent::Action(Action::Named("custom".into())),
    }
}

fn silence(rule: &Rule, event: &Event, written: &EventRule) -> Option<Silent> {
    if let (Some(change), EventSource::Row { changed, .. }) = (event.change(), &written.source)
        && !rule.touches(change)
    {
        return Some(Silent::Unchanged(changed.clone()));
    }
    let when = rule.when.as_ref()?;
    match when.accepts(&facts(event)) {
        Ok(true) => None,
        Ok(false) => Some(Silent::When(when.text().to_owned())),
        Err(error) => Some(Silent::WhenFailed(error.to_string())),
    }
}

/// What each hook makes of an event that happens.
pub fn listen(
    event: &Event,
    all_owners: bool,
    index: &Index,
    roster: &Roster,
) -> Vec<(HookId, Option<Deaf>)> {
    let reached = |audience| -> HashSet<&HookId> {
        let hooks = index.matches(&event.name, audience, event.commit_time);
        hooks.map(|hook| &hook.id).collect()
    };
    // What everyone's rows would reach is a question of patterns alone.
    let by_pattern = reached(Audience::Everyone);
    let by_owner = match all_owners {
        true => by_pattern.clone(),
        false => reached(Audience::Owner(event.owner.as_deref())),
    };
    let facts = facts(event);
    let judged = roster.hooks.iter().map(|listed| {
        let deaf = judge(listed, event, &by_pattern, &by_owner, &facts);
        (listed.id.clone(), deaf)
    });
    judged.collect()
}

fn judge(
    listed: &Listed,
    event: &Event,
    by_pattern: &HashSet<&HookId>,
    by_owner: &HashSet<&HookId>,
    facts: &Facts,
) -> Option<Deaf> {
    let hook = match &listed.made {
        Ok(hook) => hook,
        Err(reason) => return Some(Deaf::Invalid(reason.clone())),
    };
    if !listed.active {
        return Some(Deaf::Inactive);
    }
    if !by_pattern.contains(&listed.id) {
        return Some(Deaf::Pattern(listed.events.clone()));
    }
    if !by_owner.contains(&listed.id) {
        return Some(Deaf::Owner {
            hears: listed.owner.clone().unwrap_or_default(),
            row: event.owner.as_deref().map(str::to_owned),
        });
    }
    let filter = hook.filter.as_ref()?;
    match filter.accepts(facts) {
        Ok(true) => None,
        Ok(false) => Some(Deaf::Filter(filter.text().to_owned())),
        Err(error) => Some(Deaf::FilterFailed(error.to_string())),
    }
}
