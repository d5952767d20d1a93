//! What the commands need that show what would happen: the rules, the tables as they are, and the hooks.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio_postgres::Client;

use crate::{
    change::Change,
    config::{Action, Config, EventRule},
    event::EventMap,
    hook::roster::Roster,
    lookup::{
        enrich::{EnrichedField, Enrichment},
        owner::Owners,
    },
    nearest::nearest,
    postgres::{TableName, relation::Relation, types},
};

/// A session that reads, and the rules of hooks.toml.
pub(super) struct Stage<'a> {
    pub(super) config: &'a Config,
    pub(super) client: Client,
    pub(super) events: EventMap,
}

impl<'a> Stage<'a> {
    /// Opens it.
    pub(super) async fn open(config: &'a Config) -> Result<Self> {
        let client = config.database.address.connect("rowhook").await?;
        types::pin_settings(&client)
            .await
            .context("prepare the session")?;
        Ok(Self {
            config,
            client,
            events: EventMap::new(config),
        })
    }

    /// All hooks.
    pub(super) async fn roster(&self) -> Result<Roster> {
        Roster::read(&self.client, self.config, &self.events).await
    }

    /// The rule of an event; `None`: the event is one of rowhook's own.
    pub(super) fn rule(&self, event: &str) -> Result<Option<&'a EventRule>> {
        let rule = self.config.events.iter().find(|rule| rule.name == event);
        if rule.is_none() && self.events.of_message(event).is_none() {
            let names = self.events.names().iter().map(AsRef::as_ref);
            match nearest(event, names) {
                Some(near) => bail!("there is no event {event:?}; did you mean {near:?}?"),
                None => bail!(
                    "there is no event {event:?}; there are {}",
                    self.events.names().join(", ")
                ),
            }
        }
        Ok(rule)
    }

    /// A table as it is now.
    pub(super) async fn relation(&self, table: &TableName) -> Result<Relation> {
        let relation = Relation::find(&self.client, table).await;
        relation
            .with_context(|| format!("read what {table} looks like"))?
            .with_context(|| format!("there is no table {table} in this database"))
    }

    /// What is shown beside the row of a change.
    pub(super) async fn added(&self, change: &Change) -> Result<Vec<EnrichedField>> {
        let mut added = Vec::new();
        let mut enrichment = Enrichment::new(self.config);
        enrichment.look_up(vec![(change, &mut added)]).await?;
        Ok(added)
    }

    /// Whose row a change is about.
    pub(super) async fn owner(&self, change: &Change) -> Result<Option<Arc<str>>> {
        let rule = self
            .events
            .of_table(&change.relation.table())
            .and_then(|events| events.owner.as_ref());
        let mut owners = Owners::new(rule, []);
        let asked = rule.map(|rule| (rule, change));
        owners.look_up(&self.client, asked).await?;
        Ok(owners.owner(rule, change))
    }
}

/// The action that a person means.
pub(super) fn action(text: &str) -> Action {
    match text {
        "created" => Action::Created,
        "updated" => Action::Updated,
        "deleted" => Action::Deleted,
        other => Action::Named(other.to_owned()),
    }
}

/// Prints JSON for a person or a program to read.
pub(super) fn print_json(value: &Value) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Lines whose cells stand below each other.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other_and_lines_end_without_spaces() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = aligned(&[row(["event", "hooks", ""]), row(["ä", "12", "x"])]);
        assert_eq!(text, "event  hooks\nä      12     x\n");
    }
}
