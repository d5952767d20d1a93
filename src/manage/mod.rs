//! The operations on hooks and deliveries: list, create, change, send again. The command line, the API, the page and
//! the console all use [`Admin`], so that they agree.
//!
//! Every operation works on the tables, whether a rowhook is running or not. A running one learns of it from the stream
//! and from the trigger of `delivery`, and nothing here waits for that.

pub mod act;
pub mod attempts;
pub mod audit;
pub mod backfill;
pub mod cluster;
pub mod deliveries;
pub mod edit;
mod error;
pub mod events;
pub mod forget;
pub mod hook_input;
pub mod hooks;
pub mod idempotency;
pub mod identity;
pub mod lanes;
pub mod moment;
pub mod outlook;
mod page;
pub mod ping;
pub mod portal;
pub mod replay;
pub mod retry;
pub mod running;
pub mod scope;
pub mod sealing;
pub mod seen;
pub mod state;
pub mod status;
mod table;
pub mod tokens;
mod waiting;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use http::header::{AUTHORIZATION, USER_AGENT};
use serde_json::{Value, json};
use tokio_postgres::{Client, Transaction};

pub use self::{
    error::{Error, Result},
    page::{Page, PageRequest},
};
use self::{running::Running, table::Table};
use crate::{
    act::Who,
    config::{Compression, Config, FileHook, settings::differences},
    event::EventMap,
    expression::{filter::Filter, template::Template},
    hook::row::Constraints,
    setup::migration,
    store::text::Charset,
};

/// On whose behalf something is done, which decides what they may see and change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The operator, who may see and change everything.
    Operator,
    /// An owner, who may see and change their own hooks and what is sent to those. Everything else does not exist for
    /// them.
    Owner(String),
}

impl Actor {
    /// The owner that queries are limited to; `None` for the operator.
    fn owner(&self) -> Option<&str> {
        match self {
            Self::Operator => None,
            Self::Owner(owner) => Some(owner),
        }
    }
}

/// A connection to rowhook's tables, with the configuration that operations need.
pub struct Admin {
    client: Client,
    config: Arc<Config>,
    table: Table,
    rules: Arc<Rules>,
    /// Who does what is done here, as it goes on record.
    who: Who,
    charset: Charset,
    /// The rowhook of this process, where one runs.
    running: Option<Running>,
}

/// What the configuration says of events, and what rows of the hook table are checked against.
struct Rules {
    events: EventMap,
    constraints: Constraints,
}

impl Rules {
    fn of(config: &Config) -> Self {
        let events = EventMap::new(config);
        let constraints = Constraints::new(config, &events);
        Self {
            events,
            constraints,
        }
    }
}

impl Admin {
    /// Connects to the database; `name` is the application name in pg_stat_activity. What is done here is on record as
    /// done by `who`.
    ///
    /// # Errors
    /// When the connection fails, or the tables are missing or too old; the message says what to do.
    pub async fn open(config: Arc<Config>, name: &str, who: Who) -> anyhow::Result<Self> {
        let schema = &config.database.schema;
        let address = &config.database.address;
        let client = address.connect_to_schema(name, schema).await?;
        check_migrations(&client, schema).await?;
        config.secrets.prepare().await;
        let charset = Charset::of(&client).await;
        Ok(Self {
            charset: charset.context("ask for the encoding of the database")?,
            who,
            table: Table::find(&config, &client).await?,
            client,
            rules: Arc::new(Rules::of(&config)),
            config,
            running: None,
        })
    }

    /// Knows of the rowhook that runs in this process, so that people are told what it waits for.
    pub fn beside(&mut self, running: Running) {
        self.running = Some(running);
    }

    /// Has Postgres give up each statement that takes longer than this.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn bound_statements(&self, limit: Duration) -> anyhow::Result<()> {
        let sql = format!("set statement_timeout = {}", limit.as_millis());
        let set = self.client.batch_execute(&sql).await;
        set.context("bound how long statements take")
    }

    /// Whether the connection is still open.
    pub fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// What rows of the hook table are checked against, with the tables as they are now.
    async fn fresh_constraints(&self) -> Result<Constraints> {
        let mut constraints = self.rules.constraints.clone();
        constraints
            .learn_all(&self.client, &self.rules.events)
            .await?;
        Ok(constraints)
    }

    /// Puts a CTE `all_hooks` before a query: the hooks of the file and those of the table. The query's first parameter
    /// has to be [`Self::file_hooks`].
    ///
    /// A row is `shadowed` where its id is the name of a hook of the file. It never hears anything, and all that is on
    /// record under the id is that hook's.
    fn with_all_hooks(&self, rest: &str) -> String {
        format!(
            "with all_hooks as (\nwith file_hooks as (\n{}\n)\n\n\
             select of_table.*, of_table.id in (select id from file_hooks) as shadowed from (\n{}\n) as of_table\n\
             union all\nselect *, false as shadowed from file_hooks\n),\n\n{rest}",
            table::FILE_HOOKS,
            self.table.select(),
        )
    }

    /// The hooks of hooks.toml as a JSON array, for the query that [`Self::with_all_hooks`] begins.
    fn file_hooks(&self) -> String {
        let usual = &self.config.delivery;
        let rows = self.config.hooks.iter().map(|hook| {
            let (payload, content) = (hook.delivery.payload, &hook.delivery.content);
            let template = hook.delivery.template.as_deref();
            let template = template.filter(|_| hook.delivery.template_is_own);
            let events: Vec<String> = hook.events.iter().map(ToString::to_string).collect();
            let headers: serde_json::Map<String, Value> = hook
                .header_names
                .iter()
                .map(|name| (name.clone(), Value::Null))
                .collect();
            let mut row = json!({
                "id": hook.name,
                "owner": hook.owner,
                "event": events.join(", "),
                "target": hook.target.as_str(),
                "signed": hook.signer.is_some(),
                "filter": hook.filter.as_deref().map(Filter::text),
                "headers": headers,
                "payload": (payload != usual.payload).then(|| payload.name()),
                "content": (*content != usual.content).then(|| content.encoding.name()),
                "content_type": content.content_type.as_deref().filter(|_| *content != usual.content),
                "rate": hook.delivery.rate.filter(|_| hook.delivery.rate != usual.rate).map(|rate| rate.to_string()),
                "user_agent": hook.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()),
                "compress": Some(hook.delivery.compress)
                    .filter(|compress| *compress != usual.compress)
                    .map(Compression::name),
                "template": template.map(Template::text),
                "events": events,
                "method": Some(hook.method.as_str()).filter(|method| *method != "POST"),
                "auth": key_of_auth(hook).map(|key| json!({ key: true })),
                "description": hook.description,
            });
            for (setting, value) in differences(&hook.delivery, usual) {
                row[setting.name()] = value;
            }
            row
        });
        Value::Array(rows.collect()).to_string()
    }
}

/// The key of `auth` that a hook of hooks.toml has, or of credentials that stand elsewhere but come to the same.
fn key_of_auth(hook: &FileHook) -> Option<&'static str> {
    let header = hook.headers.get(AUTHORIZATION);
    let scheme = header.map(|value| value.as_bytes());
    match (&hook.oauth2, scheme) {
        (Some(_), _) => Some("oauth2"),
        (None, Some(value)) if value.starts_with(b"Bearer ") => Some("bearer"),
        (None, Some(value)) if value.starts_with(b"Basic ") => Some("user"),
        (None, _) => None,
    }
}

async fn begin(client: &mut Client) -> Result<Transaction<'_>> {
    Ok(client.transaction().await.context("begin a transaction")?)
}

/// Refuses tables that are missing, or that lack migrations of this version.
async fn check_migrations(client: &Client, schema: &str) -> anyhow::Result<()> {
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
