//! What people do with hooks and deliveries: look, make, change, send again. The command line, the API and the console all
//! come here, so that they agree.
//!
//! Everything is done in the tables, whether a rowhook is running or not. One that runs hears of it through the stream and
//! the trigger of `delivery`, and nothing here waits for it.

pub mod attempts;
pub mod backfill;
pub mod deliveries;
mod error;
pub mod events;
pub mod hook_input;
pub mod hooks;
pub mod idempotency;
pub mod lanes;
mod page;
pub mod ping;
pub mod replay;
pub mod status;
mod table;
pub mod tokens;

use std::sync::Arc;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio_postgres::{Client, Transaction};

use self::table::Table;
pub use self::{
    error::{Error, Result},
    page::{Page, PageRequest},
};
use crate::{
    config::Config, event::EventMap, expression::filter::Filter, hook::row::Constraints,
    postgres::quote, setup::migration,
};

/// For whom something is done, and so what they may see and touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The operator: everything.
    Operator,
    /// An owner: their own hooks and what is sent to those. For all else it is as if it were not there.
    Owner(String),
}

impl Who {
    /// The owner whose things they are, as queries want it; `None`: everyone's.
    fn owner(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::Owner(owner) => Some(owner),
        }
    }
}

/// A session with rowhook's tables, and what is known from hooks.toml.
pub struct Office {
    client: Client,
    config: Arc<Config>,
    table: Table,
    rules: Arc<Rules>,
}

/// What the configuration says of events and of rows of the hook table.
struct Rules {
    map: EventMap,
    known: Constraints,
}

impl Rules {
    fn of(config: &Config) -> Self {
        let map = EventMap::new(config);
        let known = Constraints::new(config, &map);
        Self { map, known }
    }
}

impl Office {
    /// Opens a session, which is called `name` in pg_stat_activity.
    ///
    /// # Errors
    /// When there is no connection, or the tables are not those of this version; the message says what to do.
    pub async fn open(config: Arc<Config>, name: &str) -> anyhow::Result<Self> {
        let client = config.database.address.connect(name).await?;
        let schema = &config.database.schema;
        let path = format!("set search_path to {}, pg_temp", quote::name(schema));
        client
            .batch_execute(&path)
            .await
            .context("prepare the session")?;
        refuse_other_tables(&client, schema).await?;
        Ok(Self {
            client,
            table: Table::from_config(&config),
            rules: Arc::new(Rules::of(&config)),
            config,
        })
    }

    /// Is the session still open?
    pub fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// What rows are checked against, with the tables as they are now.
    async fn known_now(&self) -> Result<Constraints> {
        let mut known = self.rules.known.clone();
        known.learn_all(&self.client, &self.rules.map).await?;
        Ok(known)
    }

    /// The beginning of a query over all hooks, those of the file and those of the table. Its first parameter is
    /// [`Self::hooks_of_file`].
    fn known(&self, rest: &str) -> String {
        format!(
            "with known as (\n{}\nunion all\n{}\n),\n\n{rest}",
            self.table.select(),
            table::FILE_HOOKS
        )
    }

    /// The hooks of hooks.toml as rows of the query that [`Self::known`] begins.
    fn hooks_of_file(&self) -> String {
        let rows = self.config.hooks.iter().map(|hook| {
            let events: Vec<String> = hook.events.iter().map(ToString::to_string).collect();
            let headers: serde_json::Map<String, Value> = hook
                .header_names
                .iter()
                .map(|name| (name.clone(), Value::Null))
                .collect();
            json!({
                "id": hook.name,
                "owner": hook.owner,
                "event": events.join(", "),
                "target": hook.target.as_str(),
                "signed": hook.signer.is_some(),
                "filter": hook.filter.as_deref().map(Filter::text),
                "headers": headers,
            })
        });
        Value::Array(rows.collect()).to_string()
    }
}

async fn begin(client: &mut Client) -> Result<Transaction<'_>> {
    Ok(client.transaction().await.context("begin a transaction")?)
}

/// The tables of another version have other columns, or are not there at all.
async fn refuse_other_tables(client: &Client, schema: &str) -> anyhow::Result<()> {
    let exists = client
        .query_one("select to_regclass('migration') is not null", &[])
        .await
        .context("look for rowhook's tables")?;
    ensure!(
        exists.try_get::<_, bool>(0)?,
        "the database has no tables of rowhook's in the schema {schema}; run: rowhook setup"
    );
    let applied = client
        .query_one("select array_agg(version) from migration", &[])
        .await
        .with_context(|| format!("look how old the tables in the schema {schema} are"))?;
    let applied: Option<Vec<i32>> = applied.try_get(0)?;
    let applied = applied.unwrap_or_default();
    let missing = migration::MIGRATIONS
        .iter()
        .any(|file| !applied.contains(&file.version));
    ensure!(
        !missing,
        "the tables in the schema {schema} are those of an older rowhook; run: rowhook setup"
    );
    Ok(())
}
