//! `rowhook events`: lists the events, and how many hooks receive each.

use std::time::SystemTime;

use anyhow::Result;
use serde_json::json;

use super::{output, preview::Preview, table};
use crate::{
    config::{Config, EventSource},
    hook::index::Audience,
};

/// Prints the events in the order of hooks.toml, rowhook's own last.
pub(super) async fn events(config: &Config, json: bool) -> Result<()> {
    let preview = Preview::open(config).await?;
    let index = preview.roster().await?.index(&preview.events);
    let mut listed = Vec::new();
    for name in preview.events.names() {
        let rule = preview.rule(name)?;
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
        let heard_by = if all_owners { "everyone" } else { "owner" };
        let hooks = index
            .matches(name, Audience::Everyone, SystemTime::now())
            .count();
        listed.push((name, source, heard_by, hooks, condition));
    }
    if json {
        let listed: Vec<_> = listed
            .iter()
            .map(|(event, source, heard_by, hooks, condition)| {
                json!({"event": &***event, "source": source, "heard_by": heard_by, "hooks": hooks, "only": condition})
            })
            .collect();
        return output::json(&listed);
    }
    let head = ["event", "source", "heard by", "hooks", "only"].map(str::to_owned);
    let rows = listed
        .into_iter()
        .map(|(event, source, heard_by, hooks, condition)| {
            [
                event.to_string(),
                source,
                heard_by.to_owned(),
                hooks.to_string(),
                condition,
            ]
        });
    table::print_rows([head].into_iter().chain(rows).map(Vec::from))
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
    let when = when.as_ref().map(|when| format!("when: {when}"));
    let both: Vec<String> = changed.into_iter().chain(when).collect();
    both.join("; ")
}
