//! `rowhook explain`: which events a change of a row would fire, which hooks would receive them, and why not the
//! others.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::{output, preview::Preview, table};
use crate::{
    change::Change,
    config::{Action, Config, EventSource},
    hook::roster::Roster,
    lookup::permission::{Answer, Permission},
    nearest::nearest,
    postgres::{TableName, pgoutput::ReplicaIdentity, relation::Relation},
    preview::{
        explain::{self, Outcome, Skipped},
        rehearsal,
    },
};

/// The change to explain.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The table, with its schema unless it is public.
    table: String,
    /// What happens to the row: created, updated, deleted, or an action of your own.
    action: String,
    /// The row after the change (before it, if deleted), as a JSON object; columns that it does not name are null.
    #[arg(long, value_name = "JSON")]
    row: String,
    /// The row before an update, as a JSON object.
    #[arg(long, value_name = "JSON")]
    old: Option<String>,
}

/// Prints what a change would mean for each event of its table and for each hook.
pub(super) async fn explain(config: &Config, args: &Args, json: bool) -> Result<()> {
    let table = known_table(config, &args.table)?;
    let action = known_action(config, &table, &args.action)?;
    ensure!(
        args.old.is_none() || action == Action::Updated,
        "--old does not fit {action}; only an update has a row before and one after"
    );
    let preview = Preview::open(config).await?;
    let relation = preview.relation(&table).await?;
    let row = rehearsal::row_of_json(&preview.client, &relation, &args.row).await?;
    let old = match &args.old {
        Some(old) => Some(rehearsal::row_of_json(&preview.client, &relation, old).await?),
        None => None,
    };
    let notes = notes(&relation, &action, old.is_some());
    // Before the commit, the whole old row is known.
    let mut whole = relation.clone();
    whole.identity = ReplicaIdentity::Full;
    let whole = rehearsal::change(Arc::new(whole), &action, row.clone(), old.clone());
    let change = Arc::new(rehearsal::change(Arc::new(relation), &action, row, old));
    preview.learn_casts(&change).await?;
    let owner = preview.owner(&change).await?;
    let roster = preview.roster().await?;
    let mut outcomes = explain::explain(config, &preview.events, &change, owner.as_ref(), &roster);
    check_visibility(&preview, &change, &roster, &mut outcomes).await?;
    let asked = explain::asked_before(config, &Arc::new(whole), &roster);
    if json {
        let events: Vec<_> = outcomes.iter().map(as_json).collect();
        let before: Vec<_> = asked.iter().map(as_json).collect();
        return output::json(&json!({
            "table": table.to_string(),
            "action": action.to_string(),
            "owner": owner.as_ref().map(|owner| &*owner.text),
            "before": before,
            "events": events,
            "notes": notes,
        }));
    }
    let owner = match &owner {
        Some(owner) => format!("its owner is {}", owner.text),
        None => "it has no owner, or none that is known".to_owned(),
    };
    output::line(&format!("a row of {table} is {action}; {owner}"))?;
    for note in notes {
        output::line(&format!("note: {note}"))?;
    }
    let rows = outcomes
        .iter()
        .flat_map(|outcome| as_rows(outcome, ["fires", "hears it"]));
    let words = ["is asked about before the commit", "is asked"];
    let asked = asked.iter().flat_map(|outcome| as_rows(outcome, words));
    output::text(&table::rows(asked.chain(rows)))
}

/// Asks, for each hook that would receive the event, whether its owner may see the row.
async fn check_visibility(
    preview: &Preview<'_>,
    change: &Change,
    roster: &Roster,
    outcomes: &mut [Outcome],
) -> Result<()> {
    let permission = Permission::new(preview.config, Arc::default());
    let fired = outcomes.iter_mut().flat_map(|outcome| &mut outcome.result);
    for recipient in fired.flatten() {
        if recipient.skipped.is_some() {
            continue;
        }
        let owner = roster
            .get(recipient.hook.as_str())
            .and_then(|listed| listed.owner.as_deref());
        let Some(question) = owner.and_then(|owner| permission.question(change, owner)) else {
            continue;
        };
        recipient.skipped = match permission.ask(&[&question]).await?.pop() {
            Some(Answer::No) => Some(Skipped::MayNotSee),
            Some(Answer::Unknown(reason)) => Some(Skipped::VisibleFailed(reason)),
            Some(Answer::Yes) | None => None,
        };
    }
    Ok(())
}

/// Parses the name of a table that some event is about.
fn known_table(config: &Config, text: &str) -> Result<TableName> {
    let table = TableName::parse(text)
        .with_context(|| format!("{text:?} is no table; write [schema.]table"))?;
    let before = config.before.iter().map(|before| &before.rule);
    let rules = config.events.iter().chain(before);
    let tables = rules.filter_map(|rule| match &rule.source {
        EventSource::Row { table, .. } => Some(table),
        EventSource::Custom => None,
    });
    if !tables.clone().any(|known| *known == table) {
        let known: Vec<String> = tables.map(ToString::to_string).collect();
        match nearest(text, known.iter().map(String::as_str)) {
            Some(near) => bail!("no event is about the table {table}; did you mean {near}?"),
            None => bail!("no event is about the table {table}; name it in [events]"),
        }
    }
    Ok(table)
}

/// Parses an action. One of the user's own has to be named by some event of the table.
fn known_action(config: &Config, table: &TableName, text: &str) -> Result<Action> {
    let action = match text {
        "created" => return Ok(Action::Created),
        "updated" => return Ok(Action::Updated),
        "deleted" => return Ok(Action::Deleted),
        "truncated" => return Ok(Action::Truncated),
        named => Action::Named(named.to_owned()),
    };
    let named = config.events.iter().any(|rule| {
        matches!(&rule.source, EventSource::Row { table: on, action: known, .. } if on == table && *known == action)
    });
    ensure!(
        named,
        "{text:?} is no action of {table}; it is created, updated, deleted, truncated, or one that [events] names"
    );
    Ok(action)
}

/// Remarks on what the old row does not have, which affects the answers.
fn notes(relation: &Relation, action: &Action, has_old: bool) -> Vec<String> {
    let full = relation.identity == ReplicaIdentity::Full;
    let note = match action {
        Action::Updated if !has_old => {
            "without --old nothing is known of the row before: `changed` counts as met, and old is null"
        }
        Action::Updated if !full => {
            "the replica identity is not full: the stream tells at most the key of the row before"
        }
        Action::Deleted if !full => {
            "the replica identity is not full: the stream tells only the key of a deleted row"
        }
        _ => return Vec::new(),
    };
    vec![note.to_owned()]
}

fn as_json(outcome: &Outcome) -> serde_json::Value {
    let hooks = outcome.result.as_ref().map_or(&[][..], Vec::as_slice);
    let hooks: Vec<_> = hooks
        .iter()
        .map(|recipient| {
            json!({
                "hook": recipient.hook,
                "hears": recipient.skipped.is_none(),
                "because": recipient.skipped.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    json!({
        "event": outcome.event,
        "fires": outcome.result.is_ok(),
        "because": outcome.result.as_ref().err().map(ToString::to_string),
        "hooks": hooks,
    })
}

/// The lines of an event: its own, and one for each hook if it is fired. The words say that it is, and that a hook
/// hears of it.
fn as_rows(outcome: &Outcome, [fires, hears]: [&str; 2]) -> Vec<Vec<String>> {
    let event = |result: String| vec![outcome.event.clone(), result];
    match &outcome.result {
        Err(reason) => vec![event(reason.to_string())],
        Ok(hooks) if hooks.is_empty() => vec![event(format!("{fires}, but there is no hook"))],
        Ok(hooks) => {
            let hooks = hooks.iter().map(|recipient| {
                let result = match &recipient.skipped {
                    Some(reason) => reason.to_string(),
                    None => hears.to_owned(),
                };
                vec![format!("  hook {}", recipient.hook), result]
            });
            [event(fires.to_owned())].into_iter().chain(hooks).collect()
        }
    }
}
