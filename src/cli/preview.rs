//! What `events`, `schema`, `trigger` and `explain` have in common: they read the rules, the tables and the hooks of a
//! database, without setting anything up in it.

use anyhow::{Context, Result, anyhow, bail};
use tokio_postgres::Client;

use crate::{
    change::Change,
    config::{Config, EventRule},
    event::EventMap,
    hook::roster::Roster,
    lookup::{
        casts::Casts,
        computing::Computing,
        enrich::{EnrichedField, Enrichment},
        owner::{Owner, Owners, Ownership},
    },
    nearest::{listed, nearest},
    postgres::{TableName, relation::Relation},
};

/// A session for reading, and the events of hooks.toml.
pub(super) struct Preview<'a> {
    pub(super) config: &'a Config,
    pub(super) client: Client,
    pub(super) events: EventMap,
}

impl<'a> Preview<'a> {
    /// Connects to the database of the configuration.
    pub(super) async fn open(config: &'a Config) -> Result<Self> {
        let client = config.database.address.connect("rowhook").await?;
        Ok(Self {
            config,
            client,
            events: EventMap::new(config),
        })
    }

    /// Reads all hooks, those of hooks.toml included.
    pub(super) async fn roster(&self) -> Result<Roster> {
        Roster::read(&self.client, self.config, &self.events).await
    }

    /// The rule of an event. It is `None` for an event of rowhook's own, which has no rule in hooks.toml.
    ///
    /// # Errors
    /// When there is no such event.
    pub(super) fn rule(&self, event: &str) -> Result<Option<&'a EventRule>> {
        let rule = self.config.events.iter().find(|rule| rule.name == event);
        if rule.is_none() && self.events.of_message(event).is_none() {
            let names = self.events.names().iter().map(AsRef::as_ref);
            match nearest(event, names) {
                Some(near) => bail!("there is no event {event:?}; did you mean {near:?}?"),
                None => bail!(
                    "there is no event {event:?}; there are {}",
                    listed(self.events.names())
                ),
            }
        }
        Ok(rule)
    }

    /// Reads what a table looks like now.
    ///
    /// # Errors
    /// When there is no such table.
    pub(super) async fn relation(&self, table: &TableName) -> Result<Relation> {
        let relation = Relation::find(&self.client, table).await;
        relation
            .with_context(|| format!("read what {table} looks like"))?
            .with_context(|| format!("there is no table {table} in this database"))
    }

    /// Asks the database for the JSON of values that only it knows.
    pub(super) async fn learn_casts(&self, change: &Change) -> Result<()> {
        let mut computing = Computing::new(self.config.database.address.clone());
        Casts::default().fill(&mut computing, [change]).await
    }

    /// Looks up what `enrich` adds to the row of a change.
    pub(super) async fn added(&self, change: &Change) -> Result<Vec<EnrichedField>> {
        let mut added = Vec::new();
        let mut enrichment = Enrichment::new(self.config);
        enrichment.look_up(vec![(change, &mut added)]).await?;
        Ok(added)
    }

    /// Looks up the owner of the row of a change; `None` if it has none.
    pub(super) async fn owner(&self, change: &Change) -> Result<Option<Owner>> {
        let rule = self
            .events
            .of_table(&change.relation.table())
            .and_then(|events| events.owner.as_ref());
        let mut owners = Owners::new(rule);
        let asked = rule.map(|rule| (rule, change));
        owners.look_up(&self.client, asked).await?;
        match owners.owner(rule, change) {
            Ownership::Owner(owner) => Ok(Some(owner)),
            // Where no table counts as published, what the database says counts.
            Ownership::Nobody | Ownership::Untold => Ok(None),
            Ownership::Unknown(refusal) => Err(anyhow!(
                "the owner of the row cannot be found out: {}",
                refusal.reason
            )),
        }
    }
}
