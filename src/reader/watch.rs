//! Where the hook table is: the table that was published stays the same under another name, and another table may take
//! the name.
//!
//! The stream tells of no DDL. Rows of the table are known by its oid, so hooks follow a renamed or moved table at
//! once. A look at the catalog now and then finds one that was dropped or replaced.

use anyhow::{Context, Result};
use tokio_postgres::Client;

use super::Reader;
use crate::postgres::{TableName, quote};

/// What has become of the hook table.
#[derive(Debug, PartialEq, Eq)]
pub enum HookTableNow {
    /// It is there, by the name that is known or by a new one.
    There,
    /// It is gone, and there is no other of its name.
    Gone,
    /// Another table has its name. Hooks must be read from that one.
    Replaced,
}

/// What the catalog says of the hook table.
#[derive(Debug)]
struct Found {
    /// The oid of the table that has the name of hooks.toml.
    named: Option<u32>,
    /// The name of the table whose hooks were loaded.
    known: Option<TableName>,
}

impl Found {
    fn now(&self, oid: u32) -> HookTableNow {
        match (self.named, &self.known) {
            (Some(named), _) if named != oid => HookTableNow::Replaced,
            (_, Some(_)) => HookTableNow::There,
            (_, None) => HookTableNow::Gone,
        }
    }
}

impl Reader {
    /// Remembers which table the hooks are read from.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub(super) async fn learn_hook_table(&mut self, client: &Client) -> Result<()> {
        let found = self.find_hook_table(client, 0).await?;
        self.hooks.oid = found.named;
        Ok(())
    }

    /// Looks at what has become of the hook table. One that has another name now is followed.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn look_for_hook_table(&mut self, client: &Client) -> Result<HookTableNow> {
        let Some(oid) = self.hooks.oid else {
            return Ok(HookTableNow::There);
        };
        let found = self.find_hook_table(client, oid).await?;
        let now = found.now(oid);
        match (&now, found.known) {
            (HookTableNow::There, Some(name)) if name != self.hooks.columns.table => {
                tracing::warn!(
                    table = %name,
                    before = %self.hooks.columns.table,
                    "the hook table has another name now, and is followed; name it in hooks.toml before the next start"
                );
                self.context.store.follow_hook_table(&name);
                self.couriers.follow_hook_table(&name);
                self.hooks.columns.table = name;
            }
            _ => {}
        }
        Ok(now)
    }

    /// Drops the hooks of a hook table that is no more. Those of hooks.toml stay.
    pub fn leave_hook_table(&mut self) {
        self.drop_all_hooks();
    }

    async fn find_hook_table(&self, client: &Client, oid: u32) -> Result<Found> {
        let sql = include_str!("../../sql/catalog/hook_table.sql");
        let name = quote::table(&self.hooks.named);
        let row = client.query_one(sql, &[&name, &oid]).await;
        let row = row.with_context(|| format!("look for the hook table {}", self.hooks.named))?;
        let schema: Option<String> = row.try_get("schema")?;
        let known: Option<String> = row.try_get("name")?;
        Ok(Found {
            named: row.try_get("named")?,
            known: schema
                .zip(known)
                .map(|(schema, name)| TableName { schema, name }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_followed_by_its_oid_unless_another_takes_its_name() {
        let known = || TableName::parse("elsewhere.hook");
        for (named, known, expected) in [
            (Some(7), known(), HookTableNow::There),
            (None, known(), HookTableNow::There),
            (Some(8), known(), HookTableNow::Replaced),
            (Some(8), None, HookTableNow::Replaced),
            (None, None, HookTableNow::Gone),
        ] {
            let found = Found { named, known };
            assert_eq!(found.now(7), expected, "{found:?}");
        }
    }
}
