//! Which events a change fires and which hooks receive them, and why not the others. It checks the same conditions as
//! the reader does, in the same order, and keeps the reasons.

use std::{collections::HashSet, fmt, sync::Arc};

use crate::{
    change::Change,
    config::{Action, Config, EventRule, EventSource, Pattern},
    event::{Event, EventMap, Rule},
    expression::filter::Facts,
    hook::{
        HookId,
        index::{Audience, Index},
        roster::{Listed, Roster},
    },
    lookup::owner::Owner,
    payload::facts::facts,
};

/// What a change means for one event of its table.
#[derive(Debug)]
pub struct Outcome {
    /// The event's name.
    pub event: String,
    /// What each hook makes of the event, or why the change does not fire it.
    pub result: Result<Vec<Recipient>, NotFired>,
}

/// A hook, and whether it receives an event.
#[derive(Debug)]
pub struct Recipient {
    /// The hook's id.
    pub hook: HookId,
    /// Why the hook does not receive the event; `None` if it does.
    pub skipped: Option<Skipped>,
}

/// Why a change does not fire an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFired {
    /// The event is fired by this action, and the change is another.
    Action(Action),
    /// None of these columns, which the event watches, has changed.
    Unchanged(Vec<String>),
    /// The event's `when`, which is this expression, is false.
    When(String),
    /// The event's `when` failed with this error.
    WhenFailed(String),
}

impl fmt::Display for NotFired {
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

/// Why a hook does not receive an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skipped {
    /// The hook cannot be used, for this reason.
    Invalid(String),
    /// The hook is switched off.
    Inactive,
    /// The hook receives the events of these patterns, and this is none of them.
    Pattern(Vec<String>),
    /// The row belongs to somebody else.
    Owner {
        /// The owner whose rows the hook receives.
        wanted: String,
        /// The owner of the row; `None` if it has none or none is known.
        row: Option<String>,
    },
    /// The hook's filter, which is this expression, is false.
    Filter(String),
    /// The hook's filter failed with this error.
    FilterFailed(String),
    /// The hook's owner may not see the row.
    MayNotSee,
    /// It cannot be known whether the hook's owner may see the row, for this reason.
    VisibleFailed(String),
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => write!(f, "invalid: {reason}"),
            Self::Inactive => f.write_str("inactive: it is switched off"),
            Self::Pattern(events) => write!(f, "pattern: it hears {}", events.join(", ")),
            Self::Owner {
                wanted,
                row: Some(row),
            } => write!(
                f,
                "owner: it hears rows of {wanted}, and this one is of {row}"
            ),
            Self::Owner { wanted, row: None } => write!(
                f,
                "owner: it hears rows of {wanted}, and this one has no owner"
            ),
            Self::Filter(text) => write!(f, "filter: {text} is false"),
            Self::FilterFailed(error) => write!(f, "filter: {error}"),
            Self::MayNotSee => f.write_str("visible: its owner may not see the row"),
            Self::VisibleFailed(reason) => write!(f, "visible: {reason}"),
        }
    }
}

/// Explains a change to all events of its table, in the order of hooks.toml. `owner` is the owner of the row.
pub fn explain(
    config: &Config,
    events: &EventMap,
    change: &Arc<Change>,
    owner: Option<&Owner>,
    roster: &Roster,
) -> Vec<Outcome> {
    let table = change.relation.table();
    let Some(of_table) = events.of_table(&table) else {
        return Vec::new();
    };
    let index = roster.index(events);
    let about = |rule: &&EventRule| matches!(&rule.source, EventSource::Row { table: on, .. } if *on == table);
    let of_file = config.events.iter().filter(about);
    let outcome = |written: &EventRule| {
        let mut rules = of_table.rules(&change.row).iter();
        let rule = rules
            .find(|rule| *rule.name == *written.name)
            .ok_or_else(|| other_action(written))?;
        let event = of_table.event(rule, change, Vec::new(), owner.cloned(), 0);
        check_conditions(rule, &event, written)?;
        Ok(recipients(&event, rule.all_owners, &index, roster))
    };
    of_file
        .map(|written| Outcome {
            event: written.name.clone(),
            result: outcome(written),
        })
        .collect()
}

/// Explains a change to the events that endpoints are asked about before it is committed. Hooks that are never asked
/// about an event are left out: those of owners, and those that do not name it.
pub fn asked_before(config: &Config, change: &Arc<Change>, roster: &Roster) -> Vec<Outcome> {
    let asked = config.of_before();
    let mut outcomes = explain(&asked, &EventMap::new(&asked), change, None, roster);
    for outcome in &mut outcomes {
        let named = Pattern::Exact(outcome.event.clone());
        let is_asked = |recipient: &Recipient| {
            config.hooks.iter().any(|hook| {
                hook.name == recipient.hook.as_str()
                    && hook.owner.is_none()
                    && hook.events.contains(&named)
            })
        };
        if let Ok(recipients) = &mut outcome.result {
            recipients.retain(is_asked);
        }
    }
    outcomes
}

fn other_action(rule: &EventRule) -> NotFired {
    match &rule.source {
        EventSource::Row { action, .. } => NotFired::Action(action.clone()),
        EventSource::Custom => NotFired::Action(Action::Named("custom".into())),
    }
}

/// Checks `changed` and `when` of an event whose action fits.
fn check_conditions(rule: &Rule, event: &Event, written: &EventRule) -> Result<(), NotFired> {
    if let (Some(change), EventSource::Row { changed, .. }) = (event.change(), &written.source)
        && !rule.touches(change)
    {
        return Err(NotFired::Unchanged(changed.clone()));
    }
    let Some(when) = &rule.when else {
        return Ok(());
    };
    let facts = facts(event, std::iter::once(&**when));
    let answer = facts.and_then(|facts| when.accepts(&facts).map_err(|error| error.to_string()));
    match answer {
        Ok(true) => Ok(()),
        Ok(false) => Err(NotFired::When(when.text().to_owned())),
        Err(error) => Err(NotFired::WhenFailed(error)),
    }
}

/// All hooks, each with whether it receives an event that is fired. Actor may see the row is not asked here.
pub fn recipients(
    event: &Event,
    all_owners: bool,
    index: &Index,
    roster: &Roster,
) -> Vec<Recipient> {
    let reached = |audience| -> HashSet<&HookId> {
        let hooks = index.matches(&event.name, audience, event.commit_time);
        hooks.map(|hook| &hook.id).collect()
    };
    // An event for everyone reaches all hooks whose patterns fit.
    let by_pattern = reached(Audience::Everyone);
    let by_owner = match all_owners {
        true => by_pattern.clone(),
        false => reached(Audience::Owner(
            event.owner.as_deref(),
            event.owner_equality,
        )),
    };
    let hooks = roster.hooks.iter();
    let made = hooks.clone().filter_map(|listed| listed.made.as_ref().ok());
    let facts = facts(event, made.filter_map(|hook| hook.filter.as_deref()));
    hooks
        .map(|listed| Recipient {
            hook: listed.id.clone(),
            skipped: why_skipped(listed, event, &by_pattern, &by_owner, &facts),
        })
        .collect()
}

fn why_skipped(
    listed: &Listed,
    event: &Event,
    by_pattern: &HashSet<&HookId>,
    by_owner: &HashSet<&HookId>,
    facts: &Result<Facts, String>,
) -> Option<Skipped> {
    let hook = match &listed.made {
        Ok(hook) => hook,
        Err(reason) => return Some(Skipped::Invalid(reason.clone())),
    };
    if !listed.active {
        return Some(Skipped::Inactive);
    }
    if !by_pattern.contains(&listed.id) {
        return Some(Skipped::Pattern(listed.events.clone()));
    }
    if !by_owner.contains(&listed.id) {
        return Some(Skipped::Owner {
            wanted: listed.owner.clone().unwrap_or_default(),
            row: event.owner.as_deref().map(str::to_owned),
        });
    }
    let filter = hook.filter.as_ref()?;
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) => return Some(Skipped::FilterFailed(error.clone())),
    };
    match filter.accepts(facts) {
        Ok(true) => None,
        Ok(false) => Some(Skipped::Filter(filter.text().to_owned())),
        Err(error) => Some(Skipped::FilterFailed(error.to_string())),
    }
}
