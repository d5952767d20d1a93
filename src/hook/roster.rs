//! All hooks as they are now, for people to look at: those that cannot be used too, with the reason.

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
    /// All of them.
    pub hooks: Vec<Listed>,
}

/// A hook, be it good or not.
#[derive(Debug)]
pub struct Listed {
    /// What it is known by.
    pub id: HookId,
    /// Where it is kept.
    pub origin: Origin,
    /// Whose rows it hears; `None`: everyone's.
    pub owner: Option<String>,
    /// The events or patterns that it names, as they were written.
    pub events: Vec<String>,
    /// Is it switched on?
    pub active: bool,
    /// The hook, or why it cannot be one.
    pub made: Result<Arc<Hook>, String>,
}

impl Roster {
    /// Reads all hooks, and judges them as the reader does.
    ///
    /// # Errors
    /// When the hook table cannot be read. Where rowhook's own has not been made yet, it holds nothing.
    pub async fn read(client: &Client, config: &Config, events: &EventMap) -> Result<Self> {
        let mut known = Constraints::new(config, events);
        let of_file = config.hooks.iter().map(|hook| Listed {
            id: HookId::new(hook.name.as_str(), false),
            origin: Origin::File,
            owner: hook.owner.clone(),
            events: hook.events.iter().map(ToString::to_string).collect(),
            active: true,
            made: match known.guard.check_url(&hook.target) {
                Ok(()) => Ok(Arc::new(from_file(hook))),
                Err(refusal) => Err(refusal.to_string()),
            },
        });
        let mut hooks: Vec<Listed> = of_file.collect();
        known.learn_all(client, events).await?;
        let columns = config.hook_columns();
        if config.hook_table.is_some() || exists(client, &columns).await? {
            let take = |row| hooks.push(of_table(row, &known));
            row::load_all(client, &columns, |row| row, take).await?;
        }
        Ok(Self { hooks })
    }

    /// The hook with this id.
    pub fn get(&self, id: &str) -> Option<&Listed> {
        self.hooks.iter().find(|listed| listed.id.as_str() == id)
    }

    /// The hooks that can hear something, indexed as the reader has them.
    pub fn index(&self, events: &EventMap) -> Index {
        let mut index = Index::new(events.names().iter().cloned());
        let usable = self.hooks.iter().filter(|listed| listed.active);
        usable
            .filter_map(|listed| listed.made.as_ref().ok())
            .for_each(|hook| index.put(Arc::clone(hook)));
        index
    }
}

fn of_table(row: HookRow, known: &Constraints) -> Listed {
    Listed {
        id: row.id.clone(),
        origin: Origin::Table,
        owner: row.owner().map(str::to_owned),
        events: row.event().map(str::to_owned).into_iter().collect(),
        active: row.active,
        made: row.into_hook(known).map(Arc::new),
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
