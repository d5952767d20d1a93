//! `rowhook events`: lists the events, and how many hooks receive each.

use std::{sync::Arc, time::SystemTime};

use anyhow::Result;
use serde_json::{Value, json};

use super::{databases::Said, preview::Preview, table};
use crate::{
    config::{Config, EventRule, EventSource},
    hook::index::{Audience, Index},
};

/// An event of the list.
struct Listed {
    event: String,
    source: String,
    heard_by: &'static str,
    /// The number of active hooks whose patterns fit, whoever owns them.
    hooks: usize,
    condition: String,
}

/// The events in the order of hooks.toml, rowhook's own last.
pub(super) async fn events(config: &Arc<Config>) -> Result<Said> {
    let preview = Preview::open(config).await?;
    let index = preview.roster().await?.index(&preview.events);
    // The names are in the order of the rules; rowhook's own events have none.
    let rules = config
        .events
        .iter()
        .map(Some)
        .chain(std::iter::repeat(None));
    let events = preview.events.names().iter().zip(rules);
    let listed: Vec<Listed> = events
        .map(|(name, rule)| list(&preview, &index, name, rule))
        .collect();
    let json = listed.iter().map(as_json).collect();
    let head = ["event", "source", "heard by", "hooks", "only"].map(str::to_owned);
    let rows = listed.into_iter().map(as_row);
    let text = table::rows([head].into_iter().chain(rows).map(Vec::from));
    Ok(Said {
        text,
        json,
        failed: None,
    })
}

fn list(preview: &Preview<'_>, index: &Index, name: &str, rule: Option<&EventRule>) -> Listed {
    let (source, condition) = match rule.map(|rule| &rule.source) {
        Some(source) => (source.to_string(), condition(source)),
        None => ("rowhook".into(), String::new()),
    };
    let all_owners = match rule {
        Some(rule) => rule.all_owners,
        None => preview
            .events
            .of_message(name)
            .is_some_and(|(_, all_owners)| all_owners),
    };
    let hooks = index.matches(name, Audience::Everyone, SystemTime::now());
    Listed {
        event: name.to_owned(),
        source,
        heard_by: if all_owners { "everyone" } else { "owner" },
        hooks: hooks.count(),
        condition,
    }
}

fn as_json(listed: &Listed) -> Value {
    json!({
        "event": listed.event,
        "source": listed.source,
        "heard_by": listed.heard_by,
        "hooks": listed.hooks,
        "only": listed.condition,
    })
}

fn as_row(listed: Listed) -> [String; 5] {
    [
        listed.event,
        listed.source,
        listed.heard_by.to_owned(),
        listed.hooks.to_string(),
        listed.condition,
    ]
}

/// The conditions of an event beyond its action, as text.
fn condition(source: &EventSource) -> String {
    let EventSource::Row { changed, when, .. } = source else {
        return String::new();
    };
    let changed = match &changed[..] {
        [] => None,
        columns => Some(format!("changed: {}", columns.join(", "))),
    };
    let when = when.as_ref().map(|when| format!("when: {}", when.text()));
    let both: Vec<String> = changed.into_iter().chain(when).collect();
    both.join("; ")
}
