//! All hooks as they are now, for people to look at, including those that cannot be used, with the reason.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio_postgres::Client;

use super::{
    Hook, HookId, Origin, from_file,
    index::Index,
    row::{self, Constraints, HookRow},
};
use crate::{
    config::{Config, HookColumns},
    event::EventMap,
    postgres::quote,
};

/// The hooks of hooks.toml, in its order, and then those of the table.
#[derive(Debug)]
pub struct Roster {
    /// All hooks.
    pub hooks: Vec<Listed>,
}

/// A hook of the roster, which may be invalid.
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: HookId,
    /// Where it is defined.
    pub origin: Origin,
    /// Whose rows it is sent; `None`: everyone's.
    pub owner: Option<String>,
    /// The events or patterns that it names, as they are written.
    pub events: Vec<String>,
    /// Is it enabled?
    pub active: bool,
    /// The checked hook, or why it is invalid.
    pub made: Result<Arc<Hook>, String>,
}

impl Roster {
    /// Reads all hooks, and checks them as the reader does.
    ///
    /// # Errors
    /// When the hook table cannot be read. rowhook's own table is empty as long as it does not exist.
    pub async fn read(client: &Client, config: &Config, events: &EventMap) -> Result<Self> {
        config.secrets.prepare().await;
        let mut constraints = Constraints::new(config, events);
        let of_file = config.hooks.iter().map(|hook| Listed {
            id: HookId::new(hook.name.as_str(), false),
            origin: Origin::File,
            owner: hook.owner.clone(),
            events: hook.events.iter().map(ToString::to_string).collect(),
            active: true,
            made: match constraints.guard.check_url(&hook.target) {
                Ok(()) => Ok(Arc::new(from_file(hook))),
                Err(refusal) => Err(refusal.to_string()),
            },
        });
        let mut hooks: Vec<Listed> = of_file.collect();
        constraints.learn_all(client, events).await?;
        let columns = config.hook_columns();
        if config.hook_table.is_some() || exists(client, &columns).await? {
            let take = |row| hooks.push(of_table(row, &constraints));
            row::load_all(client, &columns, |row| row, take).await?;
        }
        Ok(Self { hooks })
    }

    /// The hook with this id.
    pub fn get(&self, id: &str) -> Option<&Listed> {
        self.hooks.iter().find(|listed| listed.id.as_str() == id)
    }

    /// The hooks that can be sent something, indexed as in the reader.
    pub fn index(&self, events: &EventMap) -> Index {
        let mut index = Index::new(events.names().iter().cloned());
        let usable = self.hooks.iter().filter(|listed| listed.active);
        usable
            .filter_map(|listed| listed.made.as_ref().ok())
            .for_each(|hook| index.put(Arc::clone(hook)));
        index
    }
}

fn of_table(row: HookRow, constraints: &Constraints) -> Listed {
    Listed {
        id: row.id.clone(),
        origin: Origin::Table,
        owner: row.owner().map(str::to_owned),
        // Where they cannot be read, the hook is invalid and says so.
        events: row.event_names().unwrap_or_default(),
        active: row.active,
        made: row.into_hook(constraints).map(Arc::new),
    }
}

async fn exists(client: &Client, columns: &HookColumns) -> Result<bool> {
    let sql = "select to_regclass($1::text) is not null";
    let row = client
        .query_one(sql, &[&quote::table(&columns.table)])
        .await;
    let row = row.with_context(|| format!("look for the hook table {}", columns.table))?;
    Ok(row.try_get(0)?)
}
